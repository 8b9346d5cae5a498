"""Steps of training that are timed: what all candidates share, and the clock."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from transformers import (
    BaseImageProcessor,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback

from hf_lesion.models.build import build_model

WARM_UP = 2  # steps before the clock starts


@dataclass(frozen=True)
class Setting:
    """What all candidates share.

    Attributes:
        model: cnn or a timm architecture.
        image_size: Side of the input in pixels.
        batch_size: Images per step.
        steps: How many are timed.
        augmentation: Ours; the others bring their own.
    """

    model: str
    image_size: int
    batch_size: int
    steps: int
    augmentation: str = "standard"

    @property
    def images(self) -> int:
        """Images in the timed steps."""
        return self.batch_size * self.steps

    def build(self) -> tuple[PreTrainedModel, BaseImageProcessor]:
        """Build the network, from random weights."""
        return build_model(self.model, image_size=self.image_size)

    def for_trainer(self) -> dict[str, Any]:
        """Return the Trainer's settings for a run that takes the steps and does nothing else."""
        return {
            "max_steps": WARM_UP + self.steps,
            "per_device_train_batch_size": self.batch_size,
            "save_strategy": "no",
            "disable_tqdm": True,
            "logging_strategy": "no",
        }


class _Clock(TrainerCallback):
    """Notes when each step ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Note the time."""
        self.times.append(time.perf_counter())


def time_trainer(trainer: Trainer) -> float:
    """Train, and return the seconds of the steps after the warm-up."""
    trainer.remove_callback(PrinterCallback)
    clock = _Clock()
    trainer.add_callback(clock)
    trainer.train()
    trainer.remove_callback(clock)
    return clock.times[-1] - clock.times[WARM_UP - 1]


def time_steps(step: Callable[[Any], None], batches: Iterator[Any], setting: Setting) -> float:
    """Take steps on batches, and return the seconds of those after the warm-up."""
    for _ in range(WARM_UP):
        step(next(batches))
    start = time.perf_counter()
    for _ in range(setting.steps):
        step(next(batches))
    return time.perf_counter() - start
