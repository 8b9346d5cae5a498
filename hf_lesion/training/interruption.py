"""Interruption of a run: signals, divergence, lack of memory or disk space, and the folder lock."""

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
from transformers import TrainerCallback, TrainerState

from hf_lesion.errors import InputError, StoppedError
from hf_lesion.training.callbacks import broadcast_first

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXIT_SIGNAL = 128  # added to the signal number, as in shells
LOCK = ".lock"
# Parts of the messages of safetensors and torch.save on file system errors.
CANNOT_WRITE = ("I/O error", "PytorchStreamWriter", "inline_container")


class DivergedError(InputError):
    """The loss, the weights or the logits contain NaN or infinity."""


class StopCallback(TrainerCallback):
    """Save a checkpoint at the end of the step after a signal, and stop the run.

    `received` is the number of the signal, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.is_stopping = False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Request a checkpoint and the end of training, in all processes at the same step."""
        self.is_stopping = self.received is not None
        if args.world_size > 1:
            self.is_stopping = broadcast_first(self.is_stopping, args.device)
        if self.is_stopping:
            control.should_save = control.should_training_stop = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Cancel the evaluation and checkpoint of the epoch, which is incomplete."""
        if self.is_stopping:
            control.should_save = control.should_evaluate = False


class FiniteCallback(TrainerCallback):
    """End the run if the loss or a weight is not finite, before a checkpoint is saved."""

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Check the loss of the last steps."""
        loss = (kwargs.get("logs") or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise _diverged(f"The loss is {loss}", state)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Check the weights before they are saved."""
        if control.should_save or control.should_evaluate:
            self.check(kwargs["model"], state)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Check the weights before they are evaluated and saved."""
        self.check(kwargs["model"], state)

    def check(self, model: torch.nn.Module, state: TrainerState) -> None:
        """Raise DivergedError if a weight is not finite."""
        if not all(bool(weight.isfinite().all()) for weight in model.parameters()):
            raise _diverged("Weights contain NaN or infinity", state)


@contextlib.contextmanager
def stop_by_signal(callback: StopCallback, resume: str) -> Iterator[None]:
    """Save a checkpoint and stop the run on Ctrl-C or SIGTERM, as a context manager.

    A second signal ends the process immediately. At the end of the block, a `StoppedError` says how
    to resume the run.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signal handlers can only be set in the main thread
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
def lock_folder(output_dir: Path) -> Iterator[None]:
    """Lock the folder of a run as a context manager; another run's lock is an InputError."""
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
def explain_exhaustion(output_dir: Path, batch_size: int) -> Iterator[None]:
    """Convert errors of torch and safetensors over a lack of memory or disk space to an InputError.

    An OSError is not converted. `batch_size` is the number of images per step and device.
    """
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
            half = max(1, batch_size // 2)
            raise InputError(
                f"Out of memory with {batch_size} images per step. Pass "
                f"--per_device_train_batch_size {half} --gradient_accumulation_steps 2 for the "
                "same effective batch, or a smaller --image_size."
            ) from error
        if any(word in str(error) for word in CANNOT_WRITE):
            raise InputError(
                f"A checkpoint could not be written to {output_dir}; the disk may be full. Free "
                "disk space and run the same command with --resume_from_checkpoint true. The "
                "incomplete checkpoint is skipped."
            ) from error
        raise


def _diverged(what: str, state: TrainerState) -> DivergedError:
    return DivergedError(
        f"{what} at step {state.global_step}: the run was stopped; earlier checkpoints are intact. "
        "Pass a lower --learning_rate and another --output_dir."
    )
