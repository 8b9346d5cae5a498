import json
import logging

import torch
from safetensors.torch import save_file

from hf_lesion.training.checkpoints import FILES, describe_damage, find_checkpoint


def make_checkpoint(output_dir, step):
    folder = output_dir / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_text(json.dumps({"global_step": step}))
    save_file({"weight": torch.zeros(100)}, folder / "model.safetensors")
    return folder


def test_the_newest_by_number_not_by_name(tmp_path):
    make_checkpoint(tmp_path, 9)
    newest = make_checkpoint(tmp_path, 10)
    (tmp_path / "checkpoint-best").mkdir()
    assert find_checkpoint(tmp_path) == newest


def test_a_run_without_checkpoints(tmp_path):
    assert find_checkpoint(tmp_path) is None
    assert find_checkpoint(tmp_path / "never") is None


def test_half_written_checkpoints_are_skipped_with_a_line(tmp_path, caplog):
    whole = make_checkpoint(tmp_path, 10)
    cut = make_checkpoint(tmp_path, 20) / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:50])
    (make_checkpoint(tmp_path, 30) / "trainer_state.json").unlink()
    (make_checkpoint(tmp_path, 40) / "trainer_state.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        assert find_checkpoint(tmp_path) == whole
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert lines[1] == f"Skipping {tmp_path}/checkpoint-30: it has no trainer_state.json."
    assert "checkpoint-20: it is damaged (" in lines[2]


def test_a_whole_checkpoint_has_no_damage(tmp_path):
    assert describe_damage(make_checkpoint(tmp_path, 1)) is None
