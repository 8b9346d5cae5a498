import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hf_lesion.classifier import LesionClassifier
from hf_lesion.evaluation.explanations.cases import Case, compare_models
from hf_lesion.evaluation.explanations.record import read_explanations
from hf_lesion.labels import CODES
from hf_lesion.synthetic.lesions import draw_lesion

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "explain_images.py"


@pytest.fixture(scope="module")
def model(tiny_timm_model, tmp_path_factory):
    return shutil.copytree(tiny_timm_model, tmp_path_factory.mktemp("explained") / "tiny")


def test_a_split_is_scored_next_to_baselines(call, model, sample_dataset):
    options = ["--subset", 8, "--faithful", 1, "--road", 0, "--methods", "gradcam", "eigencam"]
    code, out, err = call("score", "--model", model, "--dataset", sample_dataset, *options)
    assert code == 0, err
    record = read_explanations(model)["test"]
    located = record["localisation"]
    maps, images = located["maps"], located["images"]
    assert list(maps) == ["gradcam", "eigencam", "fine", "gaussian", "random", "untrained"]
    assert located["outside"]["images"] == 0  # drawn lesions lie in the middle
    assert "In 0 of these images more than 10% of the lesion is outside" in out
    assert record["preprocessing"] == {"height": 64, "width": 64, "crop_mode": "centre"}
    for name, own in maps.items():
        assert own["right"]["images"] + own["wrong"]["images"] == own["all"]["images"]
        if name in ("gradcam", "eigencam"):
            assert own["all"]["images"] == images
    assert maps["fine"]["all"]["images"] == 8
    value, low, high = maps["gaussian"]["all"]["energy"]
    assert 0 < low <= value <= high < 1
    assert set(located["against_gaussian"]) == {"gradcam", "eigencam", "fine"}
    faithful = record["faithfulness"]
    assert faithful["images"] > faithful["road_images"] == 0
    assert faithful["maps"]["gradcam"]["road"] == [None, None, None]
    # With nothing deleted, and with everything inserted, it is the image itself.
    for own in faithful["maps"].values():
        curves = own["curves"]
        assert curves["deletion"][0] == pytest.approx(curves["insertion"][-1], abs=0.02)
    assert len(record["shortcuts"]["changes"]) == 6
    assert record["shortcuts"]["images"] == 8
    assert (model / "explanations_test.png").stat().st_size > 10_000
    assert "the Gaussian" in out


def test_parts_are_measured_one_by_one_and_of_several_models(
    call, model, tiny_cnn_model, sample_dataset, tmp_path
):
    options = ["--parts", "shortcuts", "--images", 4, "--output", tmp_path / "found"]
    code, out, err = call(
        "score", "--model", model, tiny_cnn_model, "--dataset", sample_dataset, *options
    )
    assert code == 0, err
    for name in (model.name, tiny_cnn_model.name):
        record = read_explanations(tmp_path / "found" / name)["test"]
        assert record["model"]["name"] == name
        assert "localisation" not in record
        assert record["shortcuts"]["images"] == 4
    assert out.count("Written:") == 2


def test_models_are_compared_on_any_images(call, tiny_timm_model, tiny_cnn_model, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for name, part in zip(("mel", "mel_segmentation"), draw_lesion("mel", seed=0), strict=True):
        part.save(images / f"{name}.png")
    options = ["--models", tiny_timm_model, tiny_cnn_model, "--images", images]
    code, out, err = call("compare", *options, "--output", "figure.png")
    assert code == 0, err
    assert re.search(r"^mel: .*tiny_resnet–tiny_cnn r .*, IoU 0\.", out)
    assert Image.open("figure.png").width > 600


def test_each_image_keeps_its_proportions_and_its_name_whatever_it_is(
    call, tiny_timm_model, tmp_path
):
    """A round lesion is round in a tall and in a turned image; `$` does not begin a formula."""
    folder = tmp_path / "images"
    (folder / "masks").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    names = ("b tall $x^{ {0}\ntwo lines", os.fsdecode(b"c turned \xff"))
    for name, size in zip(names, ((300, 900), (400, 300)), strict=True):
        image = Image.new("RGB", size, (220, 180, 160))
        x, y = size[0] // 2, size[1] // 2
        ImageDraw.Draw(image).ellipse((x - 75, y - 75, x + 75, y + 75), fill=(60, 20, 20))
        image.save(folder / f"{name}.tif", exif=exif if name == names[1] else Image.Exif())
        image.convert("L").save(folder / "masks" / f"{name}.png")
    (folder / "notes.txt").touch()
    options = ["--models", tiny_timm_model, "--images", folder, "--masks", folder / "masks"]
    code, out, err = call("compare", *options, "--output", "figure.png")
    assert code == 0, err
    assert out == "1 other file was left out: notes.txt\nWritten: figure.png\n"
    picture = np.asarray(Image.open("figure.png").convert("RGB")).astype(int)
    dark = abs(picture - [60, 20, 20]).sum(axis=2) < 40
    dark[:, picture.shape[1] // 2 :] = False
    rows = np.flatnonzero(dark.any(axis=1))
    parts = np.split(rows, np.flatnonzero(np.diff(rows) > 20) + 1)
    assert len(parts) == len(names)
    for part in parts:
        width = np.ptp(np.flatnonzero(dark[part].any(axis=0))) + 1
        assert abs(width - (np.ptp(part) + 1)) <= 2


def test_a_caption_names_the_answer_the_chosen_class_and_what_is_unseen(tiny_timm_model):
    classifier = LesionClassifier.from_pretrained(tiny_timm_model)
    mask = Image.new("L", (200, 150))
    mask.paste(255, (5, 50, 45, 90))  # half of it left of the centre square
    case = Case("a", draw_lesion("nv", seed=1, size=(200, 150))[0], mask)
    own = classifier.predict([case.image])[0]
    answer, last = CODES[own.argmax()], CODES[own.argmin()]
    rows = compare_models([classifier], [case], target=last)
    cell = rows[0].cells[1]
    assert cell.caption.startswith(f"answer: {answer} {own.max():.0%}, {last} {own.min():.0%}\n")
    assert cell.caption.endswith("\n50% of lesion unseen")
    assert cell.marked == [cell.caption.count("\n")]
    assert cell.box == (0.125, 0, 0.875, 1)


def test_a_sheet_for_each_diagnosis(call, model, sample_dataset, tmp_path):
    options = ["--each", 1, "--output", tmp_path / "cases"]
    code, out, err = call("sheet", "--model", model, "--dataset", sample_dataset, *options)
    assert code == 0, err
    files = sorted((tmp_path / "cases").glob("tiny_*.png"))
    assert len(files) == out.count("Written") > 3


def test_drawn_lesions_are_changed(call, tiny_timm_model):
    code, out, err = call("shortcuts", "--models", tiny_timm_model, "--output", "changes.png")
    assert (code, err) == (0, "")
    assert out == "Written: changes.png\n"
    assert Image.open("changes.png").width > 1200


def test_mistakes_are_found_before_the_work(refusal, model, sample_dataset, tmp_path):
    data = ["--model", model, "--dataset", sample_dataset]
    options = ["--models", model, "--images", tmp_path, "--output", "figure.png"]
    message = refusal("compare", *options)
    assert message.startswith("error: No image (.jpg, .jpeg, .jfif, .png, ")
    message = refusal("sheet", *data, "--each", 0)
    assert message.startswith("error: argument --each: expected an integer of at least 1, got 0.")
    (tmp_path / "explanations.json").write_text("{")
    message = refusal("score", *data, "--output", tmp_path)
    assert "explanations.json is not a valid record" in message
