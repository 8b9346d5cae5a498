"""How a run ends before its time: a signal, weights that are no numbers, too little memory."""

import contextlib
import math
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import filelock
import torch
from safetensors import SafetensorError
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hf_lesion.errors import InputError, StoppedError
from hf_lesion.training.callbacks import ask_first_process

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXIT_SIGNAL = 128  # plus the signal's number, as shells have it
LOCK = ".lock"
# What safetensors and torch.save say of an error of the file system.
CANNOT_WRITE = ("I/O error", "PytorchStreamWriter", "inline_container")


class DivergedError(InputError):
    """The loss or the weights are no numbers any more."""


class StopCallback(TrainerCallback):
    """After a signal, saves a checkpoint at the end of the step and stops the run.

    Attributes:
        received: The signal's number, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.is_stopping = False

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Ask for a checkpoint and the end, in all processes at the same step."""
        self.is_stopping = self.received is not None
        if args.world_size > 1:
            self.is_stopping = ask_first_process(self.is_stopping, args.device)
        if self.is_stopping:
            control.should_save = control.should_training_stop = True

    def on_epoch_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Leave out what belongs to the end of an epoch: the run has not come to it."""
        if self.is_stopping:
            control.should_save = control.should_evaluate = False


class FiniteCallback(TrainerCallback):
    """Ends the run when the loss is no number, before such weights reach a checkpoint."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Check the loss of the last steps."""
        loss = (kwargs.get("logs") or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            _refuse(f"The loss is {loss}", state)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Check the weights before they are saved."""
        if control.should_save or control.should_evaluate:
            self.check(kwargs["model"], state)

    def on_epoch_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Check the weights before they are evaluated and saved."""
        self.check(kwargs["model"], state)

    def check(self, model: torch.nn.Module, state: TrainerState) -> None:
        """Raise InputError if a weight is no number."""
        if not all(bool(weight.isfinite().all()) for weight in model.parameters()):
            _refuse("Weights are no numbers any more", state)


@contextlib.contextmanager
def stop_by_signal(callback: StopCallback, resume: str) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM, once, into a checkpoint and an end, while the block runs.

    A second signal ends the process at once.

    Args:
        callback: One of the Trainer's.
        resume: How to go on, for the message.

    Raises:
        StoppedError: When the block ends after a signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def receive(number: int, frame: FrameType | None) -> None:
        callback.received = number
        restore()

    for number in SIGNALS:
        signal.signal(number, receive)
    try:
        yield
    finally:
        restore()
    if callback.received is not None and callback.is_stopping:
        name = signal.Signals(callback.received).name
        raise StoppedError(f"stopped by {name}. {resume}", EXIT_SIGNAL + callback.received)


@contextlib.contextmanager
def only_run(output_dir: Path) -> Iterator[None]:
    """Keep a second run out of a folder while the block runs.

    Raises:
        InputError: If there is a run in it already.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(output_dir / LOCK, timeout=0)
    try:
        with lock:
            yield
    except filelock.Timeout as error:
        raise InputError(
            f"Another run is training in {output_dir}. Wait for it, or pass another --output_dir."
        ) from error


@contextlib.contextmanager
def out_of_memory_explained(batch_size: int) -> Iterator[None]:
    """Turn a lack of memory into one line with the way out.

    Args:
        batch_size: Images per step and device.

    Raises:
        InputError: In place of torch's error.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        half = max(1, batch_size // 2)
        raise InputError(
            f"There is not enough memory for {batch_size} images at once. Pass "
            f"--per_device_train_batch_size {half} --gradient_accumulation_steps 2 for the same "
            "effective batch, or a smaller --image_size."
        ) from error


@contextlib.contextmanager
def full_disk_explained(output_dir: Path) -> Iterator[None]:
    """Turn what torch and safetensors say when they can't write into one line with the way out.

    Args:
        output_dir: Where the run writes.

    Raises:
        InputError: In place of their errors; a plain OSError is left as it is.
    """
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        if not any(word in str(error) for word in CANNOT_WRITE):
            raise
        raise InputError(
            f"A checkpoint could not be written to {output_dir}: is the disk full? Make room, then "
            "go on with the same line and --resume_from_checkpoint true: the half-written "
            "checkpoint is skipped."
        ) from error


def _refuse(what: str, state: TrainerState) -> None:
    raise DivergedError(
        f"{what} at step {state.global_step}, so the run was stopped; checkpoints before it are "
        "whole. Pass a lower --learning_rate, in another --output_dir."
    )
