import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from datasets import load_dataset

from hf_lesion.data.splits import FRACTIONS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "prepare_data.py"
START_SECONDS = 60.0


def run(*arguments, cwd=None):
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def load_script():
    spec = importlib.util.spec_from_file_location("prepare_data", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def partials(folder):
    return [path for path in folder.iterdir() if path.name.startswith(".partial-")]


def wait_until(condition, process):
    end = time.monotonic() + START_SECONDS
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.02)


def test_run_prints_the_counts_and_how_to_load(sample_folder, sample_dataset, tmp_path):
    """The whole way as a user goes it, with relative paths."""
    os.symlink(sample_folder, tmp_path / "raw")
    done = run("--source", "raw", "--output", "data/ham", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    record = json.loads((tmp_path / "data/ham/prepared.json").read_text())
    before = json.loads((sample_dataset / "prepared.json").read_text())
    assert record["fingerprint"] == before["fingerprint"]
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["train", "validation", "test", "all"]
    melanomas = [part["mel"] for part in record["counts"].values()]
    assert [*map(str, [*melanomas, sum(melanomas)])] == next(
        line.split()[1:] for line in lines if line.startswith("mel ")
    )
    assert next(line for line in lines if line.startswith("lesions ")).split()[-1] == str(
        sum(record["lesions"].values())
    )
    assert lines[-2:] == ["Dataset: data/ham", 'Load it:  datasets.load_dataset("data/ham")']
    again = run("--source", "raw", "--output", "data/ham", cwd=tmp_path)
    assert (again.returncode, again.stdout, again.stderr) == (
        2,
        "",
        "error: data/ham is there already. Pass --overwrite to replace it, or another --output.\n",
    )


def test_left_out_images_and_absent_masks_are_said(sample_folder, tmp_path):
    raw = shutil.copytree(sample_folder, tmp_path / "raw")
    images = sorted(raw.rglob("*.jpg"))
    images[0].write_bytes(b"")
    images[5].unlink()
    next(raw.rglob(f"{images[7].stem}_segmentation.png")).unlink()
    options = ("--source", raw, "--output", tmp_path / "out")
    done = run(*options)
    assert (done.returncode, done.stderr) == (
        2,
        f"error: 1 image_ids have no file under {raw}: {images[5].stem}. "
        "Pass the folder that holds both image parts, or --allow_missing to leave them out.\n",
    )
    done = run(*options, "--allow_missing")
    assert done.returncode == 0
    names = ", ".join(sorted([images[0].stem, images[5].stem]))
    assert f"\nLeft out: 2 images: {names}\n" in done.stdout
    assert "\nWithout mask: 1 images\n" in done.stdout


def test_wrong_source_is_one_line(tmp_path):
    done = run("--source", tmp_path, "--output", tmp_path / "out")
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        f"error: {tmp_path / 'HAM10000_metadata.csv'} is not there. "
        "Pass the folder that holds HAM10000_metadata.csv and the image folders.\n",
    )


def test_help_is_quick_and_its_default_is_the_true_one(monkeypatch):
    start = time.monotonic()
    done = run("--help")
    assert time.monotonic() - start < 2  # 0.2 s on an idle machine; importing datasets takes 2
    assert "examples:" in done.stdout
    arguments = ["prepare_data.py", "--source", "a", "--output", "b"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert load_script().parse_arguments().fractions == FRACTIONS


@pytest.fixture
def stopped_midway(sample_folder, sample_dataset, tmp_path):
    """A run that waits, with the shards of train and validation written, for a file of test."""
    raw = shutil.copytree(sample_folder, tmp_path / "raw")
    splits = pd.read_csv(sample_dataset / "splits.csv")
    blocker = next(raw.rglob(f"{splits['image_id'][splits['split'] == 'test'].iloc[0]}.jpg"))
    whole = blocker.read_bytes()
    blocker.unlink()
    os.mkfifo(blocker)  # reading it waits until somebody writes
    output = tmp_path / "prepared" / "ham"
    command = [sys.executable, SCRIPT, "--source", raw, "--output", output]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    shard = ".partial-ham-*/data/test-00000-of-00001.parquet"
    wait_until(lambda: list(output.parent.glob(shard)), process)
    yield process, raw, output, blocker, whole
    process.kill()
    process.communicate()


def test_killed_run_leaves_no_dataset_and_the_next_one_cleans_up(stopped_midway, sample_dataset):
    process, raw, output, blocker, whole = stopped_midway
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not output.exists()
    assert len(partials(output.parent)) == 1
    blocker.unlink()
    blocker.write_bytes(whole)
    assert run("--source", raw, "--output", output).returncode == 0
    assert partials(output.parent) == []
    rows = load_dataset(str(output))
    assert rows.num_rows == load_dataset(str(sample_dataset)).num_rows


def test_interrupted_run_leaves_nothing(stopped_midway):
    process, _, output, blocker, whole = stopped_midway
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)  # the main thread takes the signal before its reader gets the file
    with blocker.open("wb") as stream:
        stream.write(whole)
    _, message = process.communicate(timeout=START_SECONDS)
    assert (process.returncode, message) == (130, "interrupted\n")
    assert list(output.parent.iterdir()) == []
