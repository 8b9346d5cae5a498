"""What happens beside the Trainer's own steps: epochs, saving by the clock, the progress bar."""

import time
from typing import Any

import torch
from transformers import (
    ProgressCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from hf_lesion.training.samples import LesionSamples

NEARLY = 1e-6


class EpochCallback(TrainerCallback):
    """Tells the samples which epoch it is, also in the middle of one and in several processes.

    accelerate tells them too, but not where it wraps the loader for a resumed epoch or for several
    processes (its `set_epoch` then stops at the sampler).
    """

    def __init__(self, samples: LesionSamples):
        self.samples = samples

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Set the epoch before the loader makes its first batch."""
        self.samples.set_epoch(int((state.epoch or 0) + NEARLY))


class ClockCallback(TrainerCallback):
    """Asks for a checkpoint whenever some minutes have passed, whatever the save strategy."""

    def __init__(self, minutes: float):
        self.seconds = 60 * minutes
        self.last = time.monotonic()

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Start the clock."""
        self.last = time.monotonic()

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Ask for a checkpoint once the time is over, in all processes at the same step."""
        is_over = time.monotonic() - self.last >= self.seconds
        if args.world_size > 1:
            is_over = ask_first_process(is_over, args.device)
        if is_over:
            control.should_save = True

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Start the clock anew, whoever asked for the checkpoint."""
        self.last = time.monotonic()


class ImagesBar(ProgressCallback):
    """The Trainer's own progress bar, counting images rather than steps."""

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Open the bar with images as its unit."""
        super().on_train_begin(args, state, control, **kwargs)
        if self.training_bar is not None:
            self.training_bar.unit = " images"
            self.training_bar.unit_scale = (
                args.train_batch_size * args.gradient_accumulation_steps * args.world_size
            )


def ask_first_process(answer: bool, device: torch.device) -> bool:
    """Return the first process's answer: clocks differ, and a checkpoint is written together.

    Args:
        answer: This process's own.
        device: Where processes talk to each other.
    """
    shared = torch.tensor(int(answer), device=device)
    torch.distributed.broadcast(shared, src=0)
    return bool(shared)
