import pytest
import torch

from hf_lesion.benchmark import timing
from hf_lesion.benchmark.data import write_images
from hf_lesion.benchmark.steps import WARM_UP, Setting
from hf_lesion.benchmark.training import candidates, option_candidates

SETTING = Setting("test_resnet", image_size=32, batch_size=2, steps=2)


@pytest.fixture
def rows(tmp_path):
    return write_images(tmp_path, (48, 36), count=10)


def test_every_way_to_train_takes_its_steps_and_says_how_long(rows):
    found = timing.take_turns(candidates(rows, SETTING), rounds=1)
    assert list(found) == [
        "bare loop, tensors in memory",
        "ours",
        "transformers' example",
        "timm's loader and defaults",
    ]
    assert all(0 < seconds < 60 for (seconds,) in found.values())


def test_the_cnn_is_not_timms(rows):
    setting = Setting("cnn", image_size=32, batch_size=2, steps=1)
    names = [candidate.name for candidate in candidates(rows, setting)]
    assert names[-1] == "transformers' example"


def test_settings_are_changed_one_at_a_time_and_put_back(rows):
    threads = torch.get_num_threads()
    found = option_candidates(rows, SETTING)
    assert found[0].name == "ours"
    for candidate in found:
        if "worker" not in candidate.name:  # a process each, for seconds
            assert candidate.run() > 0
    assert torch.get_num_threads() == threads


def test_warm_up_does_not_count():
    setting = Setting("cnn", image_size=32, batch_size=4, steps=3)
    assert setting.images == 12
    assert setting.for_trainer()["max_steps"] == 3 + WARM_UP
