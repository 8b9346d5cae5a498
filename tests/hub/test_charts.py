import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from hf_lesion.hub.charts import write_charts
from hf_lesion.ood.gate import GATE_RECORD

SHIPPED = Path(__file__).resolve().parents[2] / "space" / "models" / "cnn"
RECORD = {
    "model": {"name": "a"},
    "real": {"test": {"images": 9, "refused": 0.1}},
    "strange": {"drawn": {"images": 9, "refused": 1.0}},
}


def test_a_folder_without_records_has_no_charts(tmp_path):
    assert write_charts(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["gate", "explanations"])
def test_each_record_has_a_chart_that_matplotlib_signed(tmp_path, name):
    if name == "gate":
        (tmp_path / GATE_RECORD).write_text(json.dumps(RECORD))
        expected = ["figures/gate.png"]
    elif not (SHIPPED / "explanations.json").is_file():
        pytest.skip("the heatmaps of the shipped models have not been measured yet")
    else:
        shutil.copyfile(SHIPPED / "explanations.json", tmp_path / "explanations.json")
        found = json.loads((tmp_path / "explanations.json").read_text())
        splits = sorted(split for split, part in found.items() if "localisation" in part)
        expected = [f"figures/explanations_{split}.png" for split in splits]
    assert write_charts(tmp_path) == expected
    with Image.open(tmp_path / expected[0]) as image:
        assert image.info["Software"].startswith("Matplotlib")
        assert min(image.size) > 300
