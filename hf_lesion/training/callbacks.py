"""Trainer callbacks: epoch of the samples, timed checkpoints, progress bar in images."""

import time
from typing import Any

import torch
from transformers import ProgressCallback, TrainerCallback

from hf_lesion.training.samples import LesionSamples

EPSILON = 1e-6  # state.epoch may be slightly below a whole number


class EpochCallback(TrainerCallback):
    """Set the epoch of the samples, also after resuming in the middle of an epoch.

    accelerate does not pass the epoch on to the dataset if it wraps the loader for a resumed epoch
    or for several processes: its `set_epoch` then stops at the sampler.
    """

    def __init__(self, samples: LesionSamples):
        self.samples = samples

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set the epoch before the loader yields its first batch."""
        self.samples.set_epoch(int((state.epoch or 0) + EPSILON))


class ClockCallback(TrainerCallback):
    """Save a checkpoint every `minutes`, in addition to the save strategy."""

    def __init__(self, minutes: float):
        self.seconds = 60 * minutes
        self.last = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self.last = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Request a checkpoint once the time has passed, in all processes at the same step."""
        is_over = time.monotonic() - self.last >= self.seconds
        if args.world_size > 1:
            is_over = broadcast_first(is_over, args.device)
        if is_over:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Restart the clock after any checkpoint."""
        self.last = time.monotonic()


class ImagesBar(ProgressCallback):
    """The progress bar of the Trainer, in images instead of steps."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the progress bar with images as its unit."""
        super().on_train_begin(args, state, control, **kwargs)
        if self.training_bar is not None:
            self.training_bar.unit = " images"
            self.training_bar.unit_scale = (
                args.train_batch_size * args.gradient_accumulation_steps * args.world_size
            )


def broadcast_first(value: bool, device: torch.device) -> bool:
    """Return the value of the first process, so that all processes act at the same step."""
    shared = torch.tensor(int(value), device=device)
    torch.distributed.broadcast(shared, src=0)
    return bool(shared)
