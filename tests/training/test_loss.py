import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot
from transformers.modeling_outputs import ImageClassifierOutput

from hf_lesion.training.loss import build_loss

torch.manual_seed(0)
LOGITS = torch.randn(12, 7)
LABELS = torch.arange(12) % 7
WEIGHTS = torch.linspace(0.5, 2, 7)


def apply(loss, logits, labels, items=None):
    return loss(ImageClassifierOutput(logits=logits), labels, num_items_in_batch=items).item()


def test_without_options_it_is_mean_cross_entropy():
    expected = cross_entropy(LOGITS, LABELS).item()
    assert apply(build_loss(), LOGITS, LABELS) == pytest.approx(expected)


def test_parts_of_an_accumulated_batch_add_up_to_the_whole():
    loss = build_loss(class_weights=WEIGHTS, label_smoothing=0.1)
    whole = apply(loss, LOGITS, LABELS, torch.tensor(12))
    parts = sum(
        apply(loss, LOGITS[start:stop], LABELS[start:stop], torch.tensor(12))
        for start, stop in ((0, 5), (5, 12))
    )
    assert parts == pytest.approx(whole)


def test_one_hot_soft_labels_equal_hard_labels():
    soft = one_hot(LABELS, 7).float()
    for loss in (build_loss(), build_loss(class_weights=WEIGHTS, label_smoothing=0.1)):
        # The Trainer counts all numbers in the labels: 12 x 7.
        assert apply(loss, LOGITS, soft, torch.tensor(84)) == pytest.approx(
            apply(loss, LOGITS, LABELS, torch.tensor(12))
        )


def test_class_weights_scale_each_images_loss():
    expected = (WEIGHTS[LABELS] * cross_entropy(LOGITS, LABELS, reduction="none")).mean().item()
    assert apply(build_loss(class_weights=WEIGHTS), LOGITS, LABELS) == pytest.approx(expected)
