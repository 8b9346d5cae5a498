import json
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from hf_lesion.classifier import LesionClassifier

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "experiments" / "compare_crops.py"


@pytest.fixture(scope="module")
def frames(sample_dataset, tmp_path_factory):
    """The images of half a split with other margins; as they are, they stand in for squares."""
    folder = tmp_path_factory.mktemp("frames")
    rows = datasets.load_dataset(str(sample_dataset), split="train")
    rng = np.random.default_rng(0)
    for row in rows.select(range(0, len(rows), 2)):
        image = row["image"]
        frame = Image.fromarray(rng.integers(0, 256, (3, 4, 3), dtype=np.uint8))
        frame = frame.resize(image.size, Image.Resampling.NEAREST)
        left, side = (image.width - image.height) // 2, image.height
        frame.paste(image.crop((left, 0, left + side, side)), (left, 0))
        frame.save(folder / f"{row['image_id']}.png")
    return folder


def test_crop_modes_are_compared_on_whole_frames(
    call, frames, sample_dataset, tiny_timm_model, tiny_cnn_model
):
    line = ("--model", tiny_timm_model, tiny_cnn_model, "--frames", frames)
    data = ("--squares", sample_dataset, "--split", "train", "--output", "crops.json")
    code, out, err = call(*line, *data)
    assert code == 0, err
    found = json.loads(Path("crops.json").read_text())
    assert [one["model"] for one in found["models"]] == ["tiny_resnet", "tiny_cnn"]
    count = len(list(frames.iterdir()))
    for one in found["models"]:
        assert one["images"] == count
        # The models were saved to see the centre, where frames and "squares" are alike.
        assert one["centre"]["same_answer"][0] > 0.9
        assert one["square images"]["same_answer"] == [1, 1, 1]
        assert one["squash"]["minus_squash"] == [0, 0, 0]
        low, high = one["centre"]["minus_squash"][1:]
        assert low <= one["centre"]["minus_squash"][0] <= high
    of_resnet = found["models"][0]
    assert of_resnet["squash"]["same_answer"][0] < of_resnet["centre"]["same_answer"][0]
    assert out.count("| `tiny_cnn` | ") == 4
    assert f"{count} images of" in out
    assert LesionClassifier.from_pretrained(tiny_cnn_model).preprocessing.crop_mode == "centre"


def test_a_folder_without_frames_is_one_line(call, sample_dataset, tiny_cnn_model, tmp_path):
    line = ("--model", tiny_cnn_model, "--frames", tmp_path, "--squares", sample_dataset)
    code, out, err = call(*line)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {tmp_path} has no image <image_id>.jpg of the split validation")
