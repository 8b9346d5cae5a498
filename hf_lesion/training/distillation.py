"""Knowledge distillation: soft labels from trained classifiers on the images of the student.

Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network" (2015); the same views
for teacher and student as in Beyer et al., "Knowledge distillation: A good teacher is patient and
consistent" (CVPR 2022).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import interpolate, one_hot
from transformers import PreTrainedModel

from hf_lesion.models.preprocessing import Preprocessing
from hf_lesion.training.samples import collate


class Teacher:
    """A trained classifier that predicts on the pixel values of a student.

    It has its own preprocessing and the student's. `temperature` divides the logits: values above 1
    soften the probabilities. `bf16` is for autocast.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        own: Preprocessing,
        student: Preprocessing,
        *,
        temperature: float = 1.0,
        bf16: bool = False,
    ):
        # Convolutions are 1.3 to 1.5 times as fast with channels_last.
        self.model = model.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.side = own.image_size
        self.scale = _channels(student.std) / _channels(own.std)
        self.shift = (_channels(student.mean) - _channels(own.mean)) / _channels(own.std)
        self.temperature = temperature
        self.bf16 = bf16

    @torch.inference_mode()
    def probabilities(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Return float32 probabilities (B, C) for pixel values of the student (B, 3, S, S)."""
        views = pixel_values * self.scale + self.shift
        if views.shape[-1] != self.side:
            views = interpolate(views, size=(self.side, self.side), mode="bilinear", antialias=True)
        device = self.model.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            logits = self.model(pixel_values=views.to(device)).logits
        return (logits.float() / self.temperature).softmax(dim=1).cpu()


class TeacherCollator:
    """Collate samples, and blend the mean probabilities of the teachers into their labels.

    `weight` is that of the teachers in the labels, in (0, 1].
    """

    def __init__(self, teachers: Sequence[Teacher], *, weight: float):
        self.teachers = teachers
        self.weight = weight

    def __call__(self, samples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Return `{"pixel_values": (B, 3, S, S), "labels": (B, C) soft labels}`.

        Samples of an evaluation, which are not `taught`, keep their (B,) class ids.
        """
        batch = collate(samples)
        if not samples[0]["taught"]:
            return batch
        soft = self.probabilities(batch["pixel_values"])
        labels = batch["labels"]
        # With mixup the labels are soft already, and the pixels are mixed.
        hard = labels if labels.ndim == 2 else one_hot(labels, soft.shape[1]).to(soft.dtype)
        batch["labels"] = self.weight * soft + (1 - self.weight) * hard
        return batch

    def probabilities(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Return the mean probabilities of the teachers (B, C)."""
        answers = [teacher.probabilities(pixel_values) for teacher in self.teachers]
        return torch.stack(answers).mean(dim=0)


def _channels(values: tuple[float, float, float]) -> torch.Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)
