"""What the tests of scripts share with those of the data room: the Dataverse on loopback."""

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location(
    "dataverse_on_loopback", Path(__file__).resolve().parent.parent / "data" / "conftest.py"
)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
dataverse = _module.dataverse
faults = _module.faults
