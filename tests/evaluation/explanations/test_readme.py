import hashlib

import pytest

from hf_lesion.errors import InputError
from hf_lesion.evaluation.explanations.readme import MISSING, read_current, render_block
from hf_lesion.evaluation.explanations.record import write_explanations

WEIGHTS = b"weights"
OWN = {"same_answer": [0.9, 0.8, 1.0], "balanced_accuracy": [0.4, 0.3, 0.5]}


def write(folder, weights=WEIGHTS, description="HAM10000, 60 of them"):
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    parts = {
        "data": {"source": "ham10000", "description": description},
        "model": {"weights_sha256": hashlib.sha256(weights).hexdigest()},
        "shortcuts": {"images": 60, "changes": {"ruler": OWN}},
    }
    write_explanations(folder, "test", parts)
    return folder


def test_a_record_of_other_weights_is_not_shown(tmp_path):
    ours, stale = write(tmp_path / "ours"), write(tmp_path / "stale", b"other weights")
    assert read_current(stale) is None
    text = render_block([stale, ours])
    assert text.startswith("| change of the image | `ours` |\n")
    assert text.endswith("Not measured: `stale`.\n\nImages: HAM10000, 60 of them.")


def test_the_images_of_every_model_are_named_where_they_differ(tmp_path):
    folders = [
        write(tmp_path / "a"),
        write(tmp_path / "b"),
        write(tmp_path / "c", WEIGHTS, "Others"),
    ]
    text = render_block(folders)
    assert text.endswith("\n\n`a`, `b`: Images: HAM10000, 60 of them. `c`: Images: Others.")


def test_models_without_a_record_and_a_damaged_one(tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    assert render_block([bare]) == MISSING
    write_explanations(bare, "validation", {"model": {"weights_sha256": ""}})
    assert read_current(bare) is None
    (bare / "explanations.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        render_block([bare])
