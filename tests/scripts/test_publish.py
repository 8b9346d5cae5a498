"""The command line; what goes over the wire stands in tests/hub."""

import json
import shutil
from pathlib import Path

import pytest

from hf_lesion.io.checksums import check_manifest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "publish.py"


@pytest.fixture
def finished(tiny_cnn_model, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(tiny_cnn_model, folder)
    (folder / "training.json").write_text(json.dumps({"dataset": {"synthetic": True}}))
    (folder / "training_args.bin").write_bytes(b"pickled")
    return folder


def test_the_folder_alone_is_built_and_kept(call, finished, tmp_path):
    output = tmp_path / "built"
    code, out, err = call("model", "--model", finished, "--output", output)
    assert code == 0, err
    assert out.startswith("Built and checked: 7 files, 0.")
    assert out.endswith(f"Written: {output}\n")
    check_manifest(output)
    assert not (output / "training_args.bin").exists()
    code, _, err = call("model", "--model", finished, "--output", output)
    assert code == 2
    assert err.startswith(f"error: {output} already exists. Pass --overwrite to replace it")


def test_a_dry_run_needs_no_hub(call, finished):
    code, out, err = call("model", "--model", finished, "--repo_id", "me/cnn", "--dry_run")
    assert code == 0, err
    assert out.startswith("The account was not checked: ")
    assert "  model.safetensors\n" in out
    assert out.endswith("Nothing was sent: this is a dry run.\n")


def test_what_cannot_be_published_is_one_line_before_anything_is_built(
    call, finished, monkeypatch, tmp_path
):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    code, out, err = call("model", "--model", finished, "--repo_id", "me/cnn")
    assert (code, out) == (2, "")
    assert err == "error: You are not logged in to the Hub. Run `hf auth login`, or set HF_TOKEN.\n"
    code, _, err = call("model", "--model", finished)
    assert code == 2
    assert "Pass --repo_id owner/name to publish, or --output DIR to build only." in err
    code, _, err = call("dataset", "--dataset", tmp_path, "--output", tmp_path / "out")
    assert code == 2
    assert "is not a prepared dataset: it has no prepared.json" in err
    assert not (tmp_path / "out").exists()
