"""An average of the weights over the last steps, which is evaluated, saved and kept in their place.

Source: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging" (1992); the
average and its warm-up by timm's `ModelEmaV3`.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from timm.utils import ModelEmaV3
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hf_lesion.io.files import whole_file

# Beside the averaged weights in a checkpoint: those that the optimiser goes on with.
RAW_WEIGHTS = "weights_in_training.safetensors"


class EmaCallback(TrainerCallback):
    """Keeps the average, and puts it into the model while that is evaluated or saved.

    Args:
        decay: How much of the average each step keeps at most, below 1; the first steps keep less.
        checkpoint: What the run resumes from, or None.
    """

    def __init__(self, decay: float, checkpoint: Path | None):
        self.decay = decay
        self.checkpoint = checkpoint
        self.average: ModelEmaV3 | None = None
        self.raw: dict[str, torch.Tensor] | None = None

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Start with the model's weights; on a resumed run those are the average of then."""
        model = kwargs["model"]
        self.average = ModelEmaV3(model, decay=self.decay, use_warmup=True)
        if self.checkpoint is not None:
            _fill(model, load_file(self.checkpoint / RAW_WEIGHTS))

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Give the model its own weights back."""
        if self.raw is not None:
            _fill(kwargs["model"], self.raw)
            self.raw = None

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Take the step into the average."""
        assert self.average is not None
        self.average.update(kwargs["model"], step=state.global_step)
        self._lend(kwargs["model"], control)

    def on_epoch_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Lend the average for the evaluation and the checkpoint of the epoch."""
        self._lend(kwargs["model"], control)

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Put the model's own weights beside the average that the checkpoint holds."""
        if state.is_world_process_zero and self.raw is not None:
            folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
            with whole_file(folder / RAW_WEIGHTS) as partial:
                save_file({name: value.contiguous() for name, value in self.raw.items()}, partial)

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Leave the average in the model, unless that holds the best checkpoint's already."""
        if self.raw is None and state.best_model_checkpoint is None:
            _fill(kwargs["model"], self._state())

    def _lend(self, model: torch.nn.Module, control: TrainerControl) -> None:
        if self.raw is None and (control.should_evaluate or control.should_save):
            self.raw = {name: value.clone() for name, value in model.state_dict().items()}
            _fill(model, self._state())

    def _state(self) -> dict[str, torch.Tensor]:
        assert self.average is not None
        return self.average.module.state_dict()


@torch.no_grad()
def _fill(model: torch.nn.Module, values: dict[str, torch.Tensor]) -> None:
    """Copy values into a model's tensors, which stay the optimiser's and in their memory order."""
    for name, own in model.state_dict().items():
        own.copy_(values[name])
