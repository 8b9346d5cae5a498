"""Soft labels from a trained classifier, on the very pixels that the student sees.

Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network" (2015); the same view
for teacher and student after Beyer et al., "Knowledge distillation: A good teacher is patient and
consistent" (CVPR 2022).
"""

from typing import Any

import torch
from torch.nn.functional import interpolate, one_hot
from transformers import PreTrainedModel

from hf_lesion.models.preprocessing import Preprocessing
from hf_lesion.training.samples import collate


class TeacherCollator:
    """Collates samples and mixes the teacher's probabilities into their labels.

    Args:
        teacher: A trained classifier of the same classes.
        teacher_preprocessing: What the teacher's weights expect.
        student_preprocessing: How the samples were normalised.
        weight: Share of the teacher in the label, in (0, 1].
    """

    def __init__(
        self,
        teacher: PreTrainedModel,
        teacher_preprocessing: Preprocessing,
        student_preprocessing: Preprocessing,
        *,
        weight: float,
    ):
        self.teacher = teacher.eval().requires_grad_(False)
        self.weight = weight
        self.side = teacher_preprocessing.image_size
        student, own = student_preprocessing, teacher_preprocessing
        self.scale = _channels(student.std) / _channels(own.std)
        self.shift = (_channels(student.mean) - _channels(own.mean)) / _channels(own.std)

    def __call__(self, samples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Return `{"pixel_values": (B, 3, S, S), "labels": (B, C) soft labels}`.

        Samples that are not to be taught, those of an evaluation, keep their (B,) class ids.
        """
        batch = collate(samples)
        if not samples[0]["taught"]:
            return batch
        soft = self.probabilities(batch["pixel_values"])
        labels = batch["labels"]
        # With mixup they are soft already, and the pixels are the mixed ones.
        hard = labels if labels.ndim == 2 else one_hot(labels, soft.shape[1]).to(soft.dtype)
        batch["labels"] = self.weight * soft + (1 - self.weight) * hard
        return batch

    @torch.inference_mode()
    def probabilities(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Return the teacher's (B, C) probabilities for the student's pixels."""
        views = pixel_values * self.scale + self.shift
        if views.shape[-1] != self.side:
            views = interpolate(views, size=(self.side, self.side), mode="bilinear", antialias=True)
        logits = self.teacher(pixel_values=views.to(self.teacher.device)).logits
        return logits.softmax(dim=1).float().cpu().clone()


def _channels(values: tuple[float, float, float]) -> torch.Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)
