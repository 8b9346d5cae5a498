import json
from pathlib import Path

import pytest
from PIL import Image

from hf_lesion.data.dataset import prepare, read_fingerprint
from hf_lesion.data.sharper import SHARP_BOX
from hf_lesion.evaluation.record import weights_sha256

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "probe_copies.py"
EVERY = 2


@pytest.fixture(scope="module")
def sharp_dataset(sample_folder, tmp_path_factory):
    """The sample set with sharper copies of every second image."""
    folder = tmp_path_factory.mktemp("sharp")
    (folder / "sharper").mkdir()
    for file in sorted(sample_folder.rglob("*.jpg"))[::EVERY]:
        image = Image.open(file)
        box = [share * side for share, side in zip(SHARP_BOX, image.size * 2, strict=True)]
        image.crop(box).resize((96, 96)).save(folder / "sharper" / file.name)
    prepare(sample_folder, folder / "dataset", seed=0, sharper=folder / "sharper")
    return folder / "dataset"


def test_the_probe_is_measured_and_recorded(
    call, tiny_timm_model, sharp_dataset, sample_dataset, tmp_path
):
    code, out, err = call(
        "--model", tiny_timm_model, "--dataset", sharp_dataset, "--split", "test",
        "--soft_dataset", sample_dataset, "--output", tmp_path,
    )  # fmt: skip
    assert code == 0, err
    record = json.loads((tmp_path / "copies.json").read_text())
    assert set(record["copy"]) == {"features", "diagnosis", "diagnosis_and_source"}
    assert all(0 <= found["auroc"] <= 1 for found in record["copy"].values())
    prepared = json.loads((sharp_dataset / "prepared.json").read_text())
    assert sum(record["images"].values()) == prepared["images"]["test"]
    assert record["data"]["fingerprint"] == read_fingerprint(sharp_dataset)
    assert record["model"]["weights_sha256"] == weights_sha256(tiny_timm_model)
    assert f"{record['copy']['features']['auroc']:.3f}" in out
    assert "diagnosis and source alone" in out
    assert record["pairs"]["images"] == record["images"]["sharp"]
    assert f"{record['pairs']['shift']['nv']['mean']:+.3f} [" in out


def test_a_dataset_without_copies_is_refused(call, tiny_timm_model, sample_dataset):
    code, out, err = call("--model", tiny_timm_model, "--dataset", sample_dataset)
    assert (code, out) == (2, "")
    assert err.startswith("error: dataset has no column copy: all its images are of one kind.")
    assert err.count("\n") == 1
