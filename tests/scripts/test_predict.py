import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from damaged import FORMATS, damage
from PIL import Image

from hf_lesion.io.files import storable_name
from hf_lesion.labels import CODES

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "predict.py"


def test_a_dataset_is_predicted_and_submitted(
    call, refusal, tiny_cnn_model, sample_dataset, tmp_path
):
    output, submission = tmp_path / "p.parquet", tmp_path / "s.csv"
    arguments = ["--model", tiny_cnn_model, "--input", sample_dataset, "--output", output]
    code, out, err = call(*arguments, "--submission", submission)
    assert code == 0, err
    images = json.loads((sample_dataset / "prepared.json").read_text())["images"]["test"]
    table = pd.read_parquet(output)
    assert len(table) == len(pd.read_csv(submission)) == images
    assert table[list(CODES)].sum(axis=1).round(5).eq(1).all()
    assert out.startswith(f"{images} images, 0 unreadable: {output}\n")
    assert refusal(*arguments) == f"error: {output} already exists. Pass --overwrite to replace it."


# Names of any bytes that Linux allows, and how they are read back.
NAMES = {
    b'arm, left 5" scar': 'arm, left 5" scar',
    b"two\nlines, return\r": "two\nlines, return\r",
    b"=1+1": "=1+1",
    b"$math$ {x} %s": "$math$ {x} %s",
    b" blank a.b..c ": " blank a.b..c ",
    b"caf\xe9": "caf\\udce9",
    "café 💥".encode(): "café 💥",
    b"x" * 251: "x" * 251,
}


@pytest.mark.skipif(sys.platform != "linux", reason="names are of any bytes on Linux only")
def test_names_of_any_bytes_are_predicted_and_submitted(call, tiny_cnn_model, tmp_path):
    images, folder = (tmp_path / os.fsdecode(name) for name in (b"in, \n $ [1] \xff", b"out \xff"))
    images.mkdir()
    for name in NAMES:
        Image.new("RGB", (8, 6)).save(os.fsdecode(os.fsencode(images) + b"/" + name + b".png"))
    output, submission = folder / "p.parquet", folder / "s.csv"
    options = ["--model", tiny_cnn_model, "--input", images, "--output", output]
    code, out, err = call(*options, "--submission", submission)
    assert code == 0, err
    assert out.startswith(f"{len(NAMES)} images, 0 unreadable: {storable_name(output)}\n")
    with output.open("rb") as stream:
        assert sorted(pd.read_parquet(stream)["image_id"]) == sorted(NAMES.values())
    table = pd.read_csv(submission, keep_default_na=False)
    assert sorted(table["image"]) == sorted(NAMES.values())
    assert table.drop(columns="image").sum(axis=1).round(5).eq(1).all()


def test_equal_names_are_refused_before_the_model_is_loaded(refusal, tmp_path):
    for folder in ("p1", "p2"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        Image.new("RGB", (8, 6)).save(tmp_path / "in" / folder / "a.jpg")
    options = ["--model", "absent", "--input", "in", "--output", "p.parquet"]
    assert refusal(*options, "--submission", "s.csv") == (
        "error: 1 names occur in more than one folder: a. A submission names images without their "
        "folders: rename them, or leave out --submission."
    )


def test_damaged_files_are_rows_and_never_the_end(call, tiny_cnn_model, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for kind in FORMATS:
        for seed in range(10):
            (folder / f"{kind}_{seed}.{kind.lower()}").write_bytes(damage(kind, seed))
    Image.new("RGB", (8, 6)).save(folder / "sound.png")
    (folder / "linked.png").symlink_to(folder / "absent.png")
    (folder / "notes.txt").touch()
    code, out, err = call("--model", tiny_cnn_model, "--input", folder, "--output", "p.parquet")
    assert code == 0, err
    table = pd.read_parquet("p.parquet").set_index("image_id")
    assert len(table) == 10 * len(FORMATS) + 2
    refused = table["error"].notna()
    assert out.startswith("1 other file was left out: notes.txt\n")
    assert f"{len(table)} images, {refused.sum()} unreadable" in out
    assert not refused["sound"]
    assert 20 < refused.sum() < len(table) - 10
    assert "No such file" in table["error"]["linked"]
    assert np.array_equal(refused, table[list(CODES)].isna().all(axis=1))


@pytest.mark.slow
def test_two_processes_share_the_work_and_give_the_same_answers(
    tiny_cnn_model, sample_folder, tmp_path
):
    tables = []
    for processes in (1, 2):
        output = tmp_path / f"{processes}.parquet"
        arguments = ["--model", tiny_cnn_model, "--input", sample_folder, "--output", output]
        launch = ["-m", "accelerate.commands.launch", "--num_processes", processes]
        launch += ["--multi_gpu"] if processes > 1 else []
        command = [sys.executable, *launch, SCRIPT, *arguments]
        done = subprocess.run(
            list(map(str, command)), check=True, timeout=300, stdout=subprocess.PIPE, text=True
        )
        # One of them joins and reports; strangers to each other, both would.
        assert done.stdout.count(" unreadable: ") == 1
        tables.append(pd.read_parquet(output))
    assert tables[0]["image_id"].tolist() == tables[1]["image_id"].tolist()
    assert (tables[0][list(CODES)] - tables[1][list(CODES)]).abs().max().max() < 1e-5
