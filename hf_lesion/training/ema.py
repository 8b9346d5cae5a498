"""Exponential moving average (EMA) of the weights, evaluated and saved instead of the weights.

Source: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging" (1992). The
average and its warm-up are those of timm's `ModelEmaV3`.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from timm.utils import ModelEmaV3
from transformers import TrainerCallback, TrainerControl

from hf_lesion.io.files import whole_file

# The raw weights, which the optimiser continues with, next to the average in a checkpoint.
RAW_WEIGHTS = "weights_in_training.safetensors"


class EmaCallback(TrainerCallback):
    """Maintain the average, and swap it into the model for evaluation and saving.

    `decay` is in [0, 1), and lower during the warm-up of the first steps.
    """

    def __init__(self, decay: float, checkpoint: Path | None):
        self.decay = decay
        self.checkpoint = checkpoint
        self.average: ModelEmaV3 | None = None
        self.raw: dict[str, torch.Tensor] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Initialise the average with the weights; those of a checkpoint are the average."""
        model = kwargs["model"]
        self.average = ModelEmaV3(model, decay=self.decay, use_warmup=True)
        if self.checkpoint is not None:
            _copy_into(model, load_file(self.checkpoint / RAW_WEIGHTS))

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Restore the raw weights."""
        if self.raw is not None:
            _copy_into(kwargs["model"], self.raw)
            self.raw = None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Update the average."""
        assert self.average is not None
        self.average.update(kwargs["model"], step=state.global_step)
        self._swap_in(kwargs["model"], control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Swap in the average for the evaluation and the checkpoint of the epoch."""
        self._swap_in(kwargs["model"], control)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save the raw weights next to the average in the checkpoint."""
        if state.is_world_process_zero and self.raw is not None:
            folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
            with whole_file(folder / RAW_WEIGHTS) as partial:
                save_file({name: value.contiguous() for name, value in self.raw.items()}, partial)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leave the average in the model unless the best checkpoint has been loaded."""
        if self.raw is None and state.best_model_checkpoint is None:
            _copy_into(kwargs["model"], self._average_state())

    def _swap_in(self, model: torch.nn.Module, control: TrainerControl) -> None:
        if self.raw is None and (control.should_evaluate or control.should_save):
            self.raw = {name: value.clone() for name, value in model.state_dict().items()}
            _copy_into(model, self._average_state())

    def _average_state(self) -> dict[str, torch.Tensor]:
        assert self.average is not None
        return self.average.module.state_dict()


@torch.no_grad()
def _copy_into(model: torch.nn.Module, values: dict[str, torch.Tensor]) -> None:
    """Copy values into the tensors of a model in place, keeping their memory format."""
    for name, own in model.state_dict().items():
        own.copy_(values[name])
