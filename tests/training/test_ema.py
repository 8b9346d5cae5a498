from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from hf_lesion.training.ema import RAW_WEIGHTS, EmaCallback


def control(*, evaluate=False, save=False):
    return SimpleNamespace(should_evaluate=evaluate, should_save=save)


def state(step, best=None):
    return SimpleNamespace(global_step=step, is_world_process_zero=True, best_model_checkpoint=best)


class Walk:
    """A model with one weight that is set by hand, and a callback that follows it."""

    def __init__(self, folder, decay=0.5, checkpoint=None, start=0.0):
        self.model = nn.Linear(1, 1, bias=False)
        self.args = SimpleNamespace(output_dir=str(folder))
        self.callback = EmaCallback(decay, checkpoint)
        self.put(start)
        self.callback.on_train_begin(self.args, state(0), control(), model=self.model)

    def put(self, value):
        with torch.no_grad():
            self.model.weight.fill_(value)

    @property
    def weight(self):
        return self.model.weight.item()

    def step(self, number, value, **wishes):
        self.callback.on_step_begin(self.args, state(number - 1), control(), model=self.model)
        self.put(value)
        now = control(**wishes)
        self.callback.on_step_end(self.args, state(number), now, model=self.model)


def test_the_average_is_lent_for_an_evaluation_and_taken_back(tmp_path):
    walk = Walk(tmp_path)
    walk.step(1, 8.0)  # the first step is the average
    walk.step(2, 4.0)  # the warm-up keeps 1 - 2 ** (-2/3) = 0.37 of it, less than the decay
    kept = 1 - 2 ** (-2 / 3)
    assert walk.weight == 4.0
    walk.step(3, 2.0, evaluate=True)
    average = 0.5 * (kept * 8 + (1 - kept) * 4) + 0.5 * 2
    assert walk.weight == pytest.approx(average)
    before = walk.weight
    walk.callback.on_epoch_end(walk.args, state(3), control(evaluate=True), model=walk.model)
    assert walk.weight == before
    walk.callback.on_step_begin(walk.args, state(3), control(), model=walk.model)
    assert walk.weight == 2.0


def test_a_checkpoint_holds_both_and_a_resumed_run_has_both_again(tmp_path):
    walk = Walk(tmp_path)
    walk.step(1, 8.0)
    walk.step(2, 4.0, save=True)
    average = walk.weight
    walk.callback.on_save(walk.args, state(2), control(save=True), model=walk.model)
    checkpoint = tmp_path / "checkpoint-2"
    assert load_file(checkpoint / RAW_WEIGHTS)["weight"].item() == 4.0
    resumed = Walk(tmp_path, checkpoint=checkpoint, start=average)
    assert resumed.weight == 4.0
    for each in (walk, resumed):
        each.step(3, 1.0, evaluate=True)
    assert resumed.weight == walk.weight


def test_the_average_is_kept_in_the_end_but_not_over_the_best_checkpoint(tmp_path):
    walk = Walk(tmp_path)
    walk.step(1, 8.0)
    walk.step(2, 4.0)
    walk.callback.on_train_end(
        walk.args, state(2, best="checkpoint-1"), control(), model=walk.model
    )
    assert walk.weight == 4.0
    walk.callback.on_train_end(walk.args, state(2), control(), model=walk.model)
    assert 4.0 < walk.weight < 8.0
