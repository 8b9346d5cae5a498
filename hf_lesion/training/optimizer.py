"""Discriminative learning rates: trained features move less than the new layer above them.

Source: Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification" (ACL 2018).
"""

from typing import Any

import torch
from transformers import Trainer

from hf_lesion.models.head import find_head


def build_optimizer(trainer: Trainer, backbone_lr_factor: float) -> torch.optim.Optimizer:
    """Return the Trainer's own optimiser with a lower learning rate for all but the last layer.

    Args:
        trainer: With its model and arguments.
        backbone_lr_factor: The lower rate as a share of `--learning_rate`, above 0.

    Raises:
        InputError: If the model has no linear layer at its end.
    """
    model, rate = trainer.model, trainer.args.learning_rate
    head = {id(weight) for weight in find_head(model, model.config.num_labels).parameters()}
    decayed = set(trainer.get_decay_parameter_names(model))
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            groups.setdefault((id(weight) in head, name in decayed), []).append(weight)
    kind, options = Trainer.get_optimizer_cls_and_kwargs(trainer.args, model)
    settings: list[dict[str, Any]] = [
        {
            "params": weights,
            "lr": rate if is_head else rate * backbone_lr_factor,
            "weight_decay": trainer.args.weight_decay if is_decayed else 0.0,
        }
        for (is_head, is_decayed), weights in groups.items()
    ]
    return kind(settings, **options)
