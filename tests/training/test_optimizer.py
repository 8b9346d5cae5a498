import pytest
import torch
from transformers import Trainer, TrainingArguments

from hf_lesion.models.build import build_model
from hf_lesion.training.optimizer import build_optimizer


def settings(optimizer, name):
    """Return what each weight's group says, and that no weight is in two groups."""
    pairs = [
        (id(weight), group[name]) for group in optimizer.param_groups for weight in group["params"]
    ]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


@pytest.mark.parametrize("name", ["test_resnet", "cnn"])
def test_the_last_layer_learns_faster_and_every_weight_is_in_one_group(name, tmp_path):
    model, _ = build_model(
        name, image_size=64, model_args={"pooling": "average"} if name == "cnn" else None
    )
    arguments = TrainingArguments(tmp_path, learning_rate=1e-2, weight_decay=0.3, use_cpu=True)
    trainer = Trainer(model, arguments)
    optimizer, own = build_optimizer(trainer, 0.1), trainer.create_optimizer()
    last = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)][-1]
    rate_of, decay_of = settings(optimizer, "lr"), settings(optimizer, "weight_decay")
    assert len(rate_of) == sum(1 for _ in model.parameters())
    assert decay_of == settings(own, "weight_decay")
    for weight in model.parameters():
        is_last = any(weight is own for own in last.parameters())
        assert rate_of[id(weight)] == pytest.approx(1e-2 if is_last else 1e-3)
    assert type(optimizer) is type(own)
