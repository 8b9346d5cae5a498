import json
import os
import runpy
import shutil
import sys
from argparse import Namespace
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
import transformers
from points import melanoma_points

from hf_lesion.calibration.thresholds import FILE as POINTS
from hf_lesion.data.build import Selection, prepare
from hf_lesion.data.record import read_fingerprint, read_split_sum
from hf_lesion.evaluation import metrics
from hf_lesion.evaluation.predictions import parse_predictions
from hf_lesion.evaluation.report.build import weights_sha256
from hf_lesion.evaluation.report.record import read_report
from hf_lesion.evaluation.report.tables import format_table
from hf_lesion.io.decoding import IMAGE_SUFFIXES
from hf_lesion.io.records import write_record
from hf_lesion.labels import CODES

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "score.py"


@pytest.fixture(scope="module")
def scored(run_script, tiny_timm_model, sample_dataset, tmp_path_factory):
    """A copy of the tiny model, scored on the test split."""
    model = tmp_path_factory.mktemp("scored") / "tiny"
    shutil.copytree(tiny_timm_model, model)
    arguments = ["--model", model, "--dataset", sample_dataset, "--split", "test"]
    return model, run_script(SCRIPT, *arguments, "--batch_size", 4)


def test_a_split_is_scored_and_everything_is_kept(scored, sample_dataset):
    model, (code, out, err) = scored
    assert (code, err) == (0, "")
    record = read_report(model)["test"]
    assert out.startswith(format_table(record))
    prepared = json.loads((sample_dataset / "prepared.json").read_text())
    assert record["data"] == {
        "source": sample_dataset.name,
        "description": prepared["description"],
        "split": "test",
        "fingerprint": read_fingerprint(sample_dataset),
        "same_as_training": None,
    }
    assert record["model"] == {"name": "tiny", "weights_sha256": weights_sha256(model)}
    geometry = {"height": 64, "width": 64, "crop_mode": "centre", "views": 1}
    assert record["preprocessing"] == geometry
    assert record["provenance"]["command"].startswith("score.py --model")
    assert record["lesions"] == prepared["lesions"]["test"]
    assert record["class_counts"] == prepared["counts"]["test"]
    assert len(list((model / "figures").glob("*_test.png"))) == 6
    assert set(record["subgroups"]) >= {"sex", "age", "localization", "dx_type", "dataset"}
    assert record["calibration"]["temperature"] is None
    assert record["operating_points"] == {}
    for name in ("report.md", "report.html"):
        assert record["data"]["description"] in (model / name).read_text(encoding="utf-8")


def test_predictions_are_those_of_the_pipeline_and_give_the_report(scored, sample_dataset):
    model, _ = scored
    with (model / "predictions_test.csv").open() as stream:
        predictions = parse_predictions(stream)
    record = read_report(model)["test"]
    found = metrics.compute_metrics(predictions.probabilities, predictions.references)
    assert str(found) == str(record["metrics"])
    assert len(set(predictions.lesion_ids)) == record["lesions"]
    classify = transformers.pipeline("image-classification", model=str(model), device="cpu")
    table = pd.read_csv(model / "predictions_test.csv").set_index("image_id")
    rows = datasets.load_dataset(str(sample_dataset), split="test").select(range(3))
    for row in rows:
        expected = {found["label"]: found["score"] for found in classify(row["image"], top_k=7)}
        assert CODES[row["label"]] == table.loc[row["image_id"], "reference"]
        for code in CODES:
            assert table.loc[row["image_id"], code] == pytest.approx(expected[code], abs=1e-5)


def test_another_prevalence_needs_no_second_run(scored, call, sample_dataset, tmp_path):
    """The same answers give the same scores; thresholds beside the weights are measured."""
    model, _ = scored
    copied = shutil.copytree(model, tmp_path / "tiny")
    write_record(copied / POINTS, melanoma_points(weights_sha256(copied), threshold=0.5))
    trained_on = {"fingerprint": "0" * 64}
    (copied / "training.json").write_text(json.dumps({"dataset": trained_on}))
    answers = ("--predictions", model / "predictions_test.csv", "--melanoma_prevalence", 0.25)
    code, _, err = call("--model", copied, "--dataset", sample_dataset, *answers)
    assert code == 0, err
    assert "was trained on another preparation of the data" in err
    before, after = (read_report(folder)["test"] for folder in (model, copied))
    assert after["data"]["same_as_training"] is False
    assert str(after["metrics"]) == str(before["metrics"])
    assert str(after["calibration"]["answers"]) == str(before["calibration"]["answers"])
    found = after["operating_points"]["melanoma"]
    assert found["prevalence"] == 0.25
    missed = 1 - found["metrics"]["sensitivity"]
    assert found["metrics"]["misses_per_1000"] == pytest.approx(250 * missed)
    code, _, err = call(
        "--model", copied, "--dataset", sample_dataset, "--split", "train", *answers
    )
    assert code == 2
    assert f"error: {model / 'predictions_test.csv'} is of " in err
    write_record(copied / POINTS, melanoma_points("b" * 64))
    code, _, err = call("--model", copied, "--dataset", sample_dataset, *answers)
    assert code == 2
    assert "was fitted on other weights than those next to it" in err


def test_another_set_is_added_next_to_the_first(call, scored, sample_folder, tmp_path):
    model, _ = scored
    before = (model / "predictions_test.csv").read_bytes()
    first = json.loads((model / "report.json").read_text())["test"]
    table = pd.read_csv(sample_folder / "HAM10000_metadata.csv").head(9)
    one_hot = pd.DataFrame({code.upper(): (table["dx"] == code).astype(float) for code in CODES})
    one_hot.insert(0, "image", table["image_id"])
    one_hot.to_csv(tmp_path / "outside.csv", index=False)
    options = ["--images", sample_folder, "--ground_truth", tmp_path / "outside.csv"]
    code, _, err = call("--model", model, *options)
    assert code == 0, err
    report = json.loads((model / "report.json").read_text())
    assert list(report) == ["test", "outside"]
    assert report["test"] == first
    assert (model / "predictions_test.csv").read_bytes() == before
    assert (report["outside"]["images"], report["outside"]["lesions"]) == (9, None)
    assert report["outside"]["data"]["source"] == "outside.csv"
    assert (model / "predictions_outside.csv").is_file()
    page = (model / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 6 + 5  # no subgroups outside
    assert "cannot be measured" in page


OFFICIAL = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization", "dataset"]


def write_official_test(folder, sample_folder):
    """Write 14 drawn images as the official test set, one more row, and its table as rows."""
    images = folder / "ISIC2018_Task3_Test_Images"
    images.mkdir(parents=True)
    drawn = sorted(sample_folder.rglob("*.jpg"))[:14]
    rows = []
    for number, file in enumerate(drawn):
        image_id = f"ISIC_{34524 + number:07d}"
        shutil.copy(file, images / f"{image_id}.jpg")
        lesion = f"HAMTEST_{number // 2}" if number < 10 else ""  # four are of unknown lesions
        patient = ["histo", "50.0", "male", "back", "vidir_modern"]
        rows.append([lesion, image_id, CODES[(number // 2) % 7], *patient])
    rows.append(["", "ISIC_0035068", "nv", "histo", "", "", "", ""])
    return images, rows


def test_the_official_test_set_is_scored_alike_from_files_and_as_prepared(
    call, refusal, tiny_cnn_model, sample_folder, tmp_path
):
    images, rows = write_official_test(tmp_path / "official", sample_folder)
    raw = shutil.copytree(sample_folder, tmp_path / "raw")
    shutil.copytree(images, raw / images.name)
    truth = raw / "ISIC2018_Task3_Test_GroundTruth.tab"
    pd.DataFrame(rows, columns=OFFICIAL).to_csv(truth, sep="\t", index=False)
    prepare(raw, tmp_path / "set", selection=Selection(official_test=True))
    found = []
    files = ["--images", images, "--ground_truth", truth]
    for name, data in (("files", files), ("set", ["--dataset", tmp_path / "set"])):
        arguments = ["--model", tiny_cnn_model, *data, "--split", "official_test"]
        code, out, err = call(*arguments, "--output", tmp_path / name / "out")
        assert code == 0, err
        found.append(read_report(tmp_path / name / "out")["official_test"])
        if name == "files":
            left_out = "Left out, since the challenge does not score it: ISIC_0035068."
            assert left_out in " ".join(out.split())
            assert found[0]["data"]["left_out"] == ["ISIC_0035068"]
    first, prepared = found
    assert first["images"] == 14
    assert first["lesions"] == 9  # five are known; four images are of a lesion each
    for part in ("metrics", "lesions", "class_counts", "intervals", "subgroups"):
        assert str(prepared[part]) == str(first[part]), part
    assert prepared["data"]["description"] == (
        "official ISIC 2018 Task 3 test set, 14 images, 200×150 px, whole frame (4:3)"
    )
    for name in ("ISIC_0034525", "ISIC_0034530"):  # any other missing image is an error
        (images / f"{name}.jpg").unlink()
    assert refusal("--model", tiny_cnn_model, *files, "--output", tmp_path / "out") == (
        f"error: 2 of 14 images have no file under {images}: ISIC_0034525, ISIC_0034530. Pass the "
        f"folder that holds all of them as {', '.join(IMAGE_SUFFIXES)}."
    )


BOTH = "error: Pass either --dataset, or both --images and --ground_truth."


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", BOTH),
        ("--images a", BOTH),
        ("--dataset a --images b --ground_truth c", BOTH),
        ("--dataset a --batch_size 0", "error: argument --batch_size: expected an integer of at"),
        ("--dataset a --split ../up", "error: --split '../up' can't be part of a file's name."),
        ("--dataset a --melanoma_prevalence 2", "error: --melanoma_prevalence is 2.0; pass a sh"),
        ("--dataset . --output .", "error: . is not a prepared dataset"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(refusal, tiny_timm_model, words, message):
    assert refusal("--model", tiny_timm_model, *words.split()).startswith(message)


def test_wrong_folders_and_a_damaged_report_are_found_before_the_work(
    refusal, scored, sample_dataset, tmp_path
):
    data = ("--dataset", sample_dataset, "--output", tmp_path)
    assert "is not a model folder: it lacks config.json and" in refusal("--model", tmp_path, *data)
    assert refusal("--model", scored[0], *data, "--split", "exam") == (
        f"error: {sample_dataset} has no split 'exam'. Pass one of its splits as --split: "
        "train, validation, test."
    )
    (tmp_path / "report.json").write_text("{")
    message = refusal("--model", scored[0], *data)
    assert message.startswith(f"error: {tmp_path / 'report.json'} is not a valid record: ")
    assert (tmp_path / "report.json").read_text() == "{"


def test_a_failed_run_leaves_nothing_behind(refusal, tiny_timm_model, sample_folder, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    source = sorted(sample_folder.rglob("*.jpg"))
    shutil.copy(source[0], images)
    (images / "broken.jpg").write_bytes(source[1].read_bytes()[:500])
    truth = tmp_path / "truth.csv"
    truth.write_text(f"image_id,dx\n{source[0].stem},nv\nbroken,mel\n")
    arguments = ["--model", tiny_timm_model, "--images", images, "--ground_truth", truth]
    message = refusal(*arguments, "--output", tmp_path / "out")
    assert message.startswith(f"error: {images / 'broken.jpg'} can't be read as an image")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="names are of any bytes on Linux only")
def test_names_of_any_bytes_are_scored_and_left_out_files_are_listed(
    call, tiny_timm_model, sample_folder, tmp_path
):
    folder = tmp_path / os.fsdecode(b"caf\xe9, $x^{ [1]\n")
    folder.mkdir()
    names = ["arm, left", 'a "scar"', "-x", "$y_{", "💥", "5"]
    for name, file in zip(names, sorted(sample_folder.rglob("*.jpg")), strict=False):
        shutil.copy(file, folder / f"{name}.jpg")
    (folder / os.fsdecode(b"\xff.txt")).touch()
    truth = tmp_path / os.fsdecode(b"truth \xff $x^{.csv")
    pd.DataFrame({"image_id": names, "dx": "nv"}).to_csv(truth.open("w"), index=False)
    options = ["--images", folder, "--ground_truth", truth, "--output", folder / "out"]
    code, out, err = call("--model", tiny_timm_model, *options)
    assert code == 0, err
    assert out.startswith("1 other file was left out: \\udcff.txt\n")
    (record,) = read_report(folder / "out").values()
    assert record["images"] == len(names)
    (written,) = (folder / "out").glob("predictions_*.csv")
    with written.open(encoding="utf-8", newline="") as stream:
        assert list(parse_predictions(stream).image_ids) == names


def test_one_source_is_scored_on_the_classes_that_it_has(
    call, refusal, tiny_timm_model, sample_dataset, tmp_path
):
    words = ("--model", tiny_timm_model, "--dataset", sample_dataset, "--split", "validation")
    code, _, err = call(*words, "--only_source", "vidir_modern", "--output", tmp_path)
    assert code == 0, err
    record = read_report(tmp_path)["validation_vidir_modern"]
    rows = datasets.load_dataset(str(sample_dataset), split="validation")
    own = [row for row in rows if row["dataset"] == "vidir_modern"]
    table = pd.read_csv(tmp_path / "predictions_validation_vidir_modern.csv")
    assert set(table["image_id"]) == {row["image_id"] for row in own}
    present = {CODES[row["label"]] for row in own}
    assert 0 < len(present) < len(CODES)
    found = record["metrics"]
    sensitivities = [found[f"sensitivity_{code}"] for code in sorted(present)]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(sensitivities), abs=1e-4)
    message = refusal(*words, "--only_source", "atlas", "--output", tmp_path)
    assert message.startswith("error: No validation image is of the source 'atlas'; the sources ")


@pytest.mark.parametrize(
    ("same_pixels", "same_splits"), [(True, False), (False, True), (False, False)]
)
def test_a_score_on_another_split_is_marked(same_pixels, same_splits, sample_dataset, capsys):
    """Another split of the same images may test a model on what it was trained on."""
    is_same = same_pixels or same_splits
    own = read_fingerprint(sample_dataset)
    data = {
        "fingerprint": own if same_pixels else "0" * 64,
        "splits_sha256": read_split_sum(sample_dataset) if same_splits else "0" * 64,
    }
    arguments = Namespace(model=Path("model"), dataset=sample_dataset)
    compare_data = runpy.run_path(str(SCRIPT))["compare_data"]
    assert compare_data({"dataset": data}, own, arguments) is is_same
    assert ("trained on another preparation" in capsys.readouterr().err) is not is_same
