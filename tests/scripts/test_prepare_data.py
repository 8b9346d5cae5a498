import hashlib
import importlib.util
import io
import json
import os
import resource
import shutil
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from hf_lesion.data import checksums
from hf_lesion.data.download import BASE_URL
from hf_lesion.data.splits import FRACTIONS, SUBSETS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "prepare_data.py"


def load_script():
    spec = importlib.util.spec_from_file_location("prepare_data", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_run_prints_the_counts_and_how_to_load(call, sample_folder, sample_dataset, tmp_path):
    os.symlink(sample_folder, tmp_path / "raw")
    code, out, err = call("--source", "raw", "--output", "data/ham")
    assert (code, err) == (0, "")
    record = json.loads((tmp_path / "data/ham/prepared.json").read_text())
    before = json.loads((sample_dataset / "prepared.json").read_text())
    assert record["fingerprint"] == before["fingerprint"]
    lines = out.splitlines()
    assert lines[0].split() == ["train", "validation", "test", "all"]
    melanomas = [part["mel"] for part in record["counts"].values()]
    (row,) = [line.split()[1:] for line in lines if line.startswith("mel ")]
    assert row == [*map(str, [*melanomas, sum(melanomas)])]
    assert lines[-2:] == ["Dataset: data/ham", 'Load it:  datasets.load_dataset("data/ham")']
    assert call("--source", "raw", "--output", "data/ham") == (
        2,
        "",
        "error: data/ham already exists. Pass --overwrite to replace it, or another --output.\n",
    )


def test_originals_are_cut_as_asked(call, sample_folder, tmp_path):
    options = ("--source", sample_folder, "--output", tmp_path / "out")
    code, out, err = call(*options, "--image_size", 64, "--centre_crop")
    assert (code, err) == (0, "")
    assert "drawn sample set, 84 images, 64×64 px, centre square of the frame" in out


def test_left_out_images_and_absent_masks_are_said(call, sample_folder, tmp_path):
    raw = shutil.copytree(sample_folder, tmp_path / "raw")
    rows = pd.read_csv(raw / "HAM10000_metadata.csv")  # the commonest dx: none is left empty
    nevi = sorted(rows["image_id"][rows["dx"] == "nv"])
    images = [next(raw.rglob(f"{image_id}.jpg")) for image_id in nevi]
    images[0].write_bytes(b"")
    images[5].unlink()
    next(raw.rglob(f"{images[7].stem}_segmentation.png")).unlink()
    options = ("--source", raw, "--output", tmp_path / "out")
    assert call(*options) == (
        2,
        "",
        f"error: 1 image_ids have no file under {raw}: {images[5].stem}. Pass the folder that "
        "contains both image parts, or --allow_missing to leave them out.\n",
    )
    code, out, _ = call(*options, "--allow_missing")
    assert code == 0
    names = ", ".join(sorted([images[0].stem, images[5].stem]))
    assert f"\nLeft out: 2 images: {names}\n" in out
    assert "\nWithout mask: 1 images\n" in out


def test_defaults_that_are_copied_are_those_of_the_library(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["prepare_data.py", "--source", "a", "--output", "b"])
    script = load_script()
    assert script.parse_arguments().fractions == FRACTIONS
    assert script.SUBSETS == SUBSETS
    assert script.DATAVERSE == BASE_URL


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "one of the arguments --source --download is required"),
        ("--source a --with_masks", "--with_masks needs --download"),
        ("--source . --image_size 0", "Expected an image size of at least 1 pixel, got 0."),
        ("--source .", ". has neither HAM10000_metadata.csv nor ISIC2018_Task3_Training_Ground"),
    ],
)
def test_wrong_options_are_one_line(refusal, words, message):
    assert refusal(*words.split(), "--output", "b").startswith(f"error: {message}")


def offer(server, raw):
    """Offer the drawn sample as Dataverse offers the original: two archives and a table."""
    table = (raw / "HAM10000_metadata.csv").read_bytes()
    server.offer(4338392, table, originalFileFormat="text/csv")
    folders = ("images_part_1", "images_part_2", "segmentations_lesion_tschandl")
    for file_id, folder in zip((3172585, 3172584, 3838943), folders, strict=True):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for path in sorted((raw / f"HAM10000_{folder}").iterdir()):
                archive.write(path, path.name)
        server.offer(file_id, stream.getvalue())


@pytest.fixture
def sums_of_sample(sample_folder, monkeypatch, tmp_path):
    """The sums of the sample in place of those of the published files."""
    lines = ["image_id,image_sha256,mask_sha256"]
    for path in sorted(sample_folder.rglob("*.jpg")):
        mask = next(sample_folder.rglob(f"{path.stem}_segmentation.png"))
        sums = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (path, mask)]
        lines.append(",".join([path.stem, *sums]))
    (tmp_path / "checksums.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(checksums, "CHECKSUMS_FILE", str(tmp_path / "checksums.csv"))


@pytest.mark.usefixtures("sums_of_sample")
def test_download_goes_on_to_prepare_and_again_without_network(
    call, dataverse, sample_folder, sample_dataset, tmp_path
):
    offer(dataverse, sample_folder)
    options = ("--download", "--with_masks", "--base_url", dataverse.url)
    code, _, err = call(*options, "--output", tmp_path / "data" / "ham")
    assert (code, err) == (0, "")
    record = json.loads((tmp_path / "data/ham/prepared.json").read_text())
    before = json.loads((sample_dataset / "prepared.json").read_text())
    assert record["content"] == before["content"]
    assert record["published"] == sum(record["images"].values())
    archives = {path.name for path in (tmp_path / "data/HAM10000_download").iterdir()}
    assert "HAM10000_segmentations_lesion_tschandl.zip" in archives
    dataverse.asked.clear()
    code, _, err = call(*options, "--output", tmp_path / "data/other", "--subset", "one-per-lesion")
    assert (code, err, dataverse.asked) == (0, "", [])
    code, _, err = call(*options, "--output", tmp_path / "data/ham")
    assert code == 2
    assert err.startswith(f"error: {tmp_path}/data/ham already exists. Pass --overwrite")


def test_downloaded_images_that_were_never_published_are_refused(
    call, dataverse, sample_folder, tmp_path
):
    """A mirror whose archives have the MD5 it states, but not the images that were published."""
    offer(dataverse, sample_folder)
    options = ("--download", "--base_url", dataverse.url, "--download_dir", tmp_path / "cache")
    code, _, err = call(*options, "--output", tmp_path / "out")
    assert code == 2
    assert err.startswith("error: 84 of 84 files differ from the published ones (SHA-256)")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_one_line_and_spares_the_dataset_to_be_replaced(
    refusal, sample_folder, sample_dataset, tmp_path
):
    output = shutil.copytree(sample_dataset, tmp_path / "prepared" / "ham")
    before = {file: file.read_bytes() for file in output.rglob("*") if file.is_file()}
    arguments = ["--source", sample_folder, "--output", output, "--seed", "1", "--overwrite"]
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, most))  # the images do not fit
    try:
        message = refusal(*arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert message.startswith("error: ")
    assert "File too large" in message
    assert {file: file.read_bytes() for file in output.rglob("*") if file.is_file()} == before
    assert [entry.name for entry in output.parent.iterdir()] == ["ham"]
