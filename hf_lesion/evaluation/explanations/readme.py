"""Tables of the documentation on heatmaps and shortcuts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hf_lesion.evaluation.explanations.comparison import compare_localisation, compare_shortcuts
from hf_lesion.evaluation.explanations.record import EXPLANATIONS, read_explanations
from hf_lesion.evaluation.report.build import weights_sha256
from hf_lesion.evaluation.report.record import say_images

MISSING = "Not measured yet: `scripts/explain_images.py score`."
TEST = "test"


def read_current(folder: Path) -> dict[str, Any] | None:
    """Return the test entry of a model's `explanations.json`.

    Returns:
        None if there is no record of it, or it is of other weights than those in the folder.

    Raises:
        InputError: If the record can't be read.
    """
    if not (folder / EXPLANATIONS).is_file():
        return None
    record = read_explanations(folder).get(TEST)
    if record is None or record["model"]["weights_sha256"] != weights_sha256(folder):
        return None
    return record


def render_block(folders: Sequence[Path]) -> str:
    """Return the tables on heatmaps and shortcuts, as Markdown.

    Args:
        folders: Of models, in the order of the tables.

    Raises:
        InputError: If a record can't be read.
    """
    records = {folder.name: read_current(folder) for folder in folders}
    tables = [compare_localisation(records), compare_shortcuts(records)]
    said: dict[str, list[str]] = {}
    for name, record in records.items():
        if record:
            said.setdefault(say_images(record), []).append(f"`{name}`")
    parts = [f"{', '.join(names)}: {images}" for images, names in said.items()]
    images = " ".join(parts if len(said) > 1 else said) or MISSING
    return "\n\n".join(part for part in (*tables, images) if part)
