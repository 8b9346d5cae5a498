import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot
from transformers.modeling_outputs import ImageClassifierOutput

from hf_lesion.errors import InputError
from hf_lesion.training.losses import build_loss, class_weights, sampling_weights

torch.manual_seed(0)
LOGITS = torch.randn(12, 7)
LABELS = torch.arange(12) % 7
WEIGHTS = torch.linspace(0.5, 2, 7)
IDS = np.repeat(np.arange(7), [1, 4, 9, 16, 25, 100, 36])


def expected_shares(weights):
    return np.bincount(IDS, weights=(weights / weights.sum()).numpy())


def test_no_imbalance_means_no_weights():
    assert sampling_weights(IDS, "none") is None
    assert sampling_weights(IDS, "class_weights") is None
    assert class_weights(IDS, "none") is None
    assert class_weights(IDS, "sqrt_sampler") is None


def test_a_power_says_how_far_classes_are_evened_out():
    counts = np.bincount(IDS)
    for imbalance, power, exponent in (
        ("oversample", None, 0),
        ("sqrt_sampler", None, 0.5),
        ("class_weights", 0.5, 0.5),
        ("none", 0.25, 0.75),
    ):
        shares = expected_shares(sampling_weights(IDS, imbalance, power=power))
        assert shares == pytest.approx(counts**exponent / (counts**exponent).sum())
    assert sampling_weights(IDS, "oversample", power=0.0) is None


def test_class_weights_average_to_one_over_the_images():
    weights = class_weights(IDS, "class_weights")
    assert weights[torch.from_numpy(IDS)].mean().item() == pytest.approx(1)
    assert (weights * torch.bincount(torch.from_numpy(IDS))).std().item() == pytest.approx(
        0, abs=1e-4
    )


def test_an_empty_class_is_named():
    message = r"^The train split has no image of df, vasc\. Prepare a larger dataset, or use"
    with pytest.raises(InputError, match=message):
        sampling_weights(np.array([0, 1, 2, 4, 5]), "sqrt_sampler")


def apply(loss, logits, labels, items=None):
    return loss(ImageClassifierOutput(logits=logits), labels, num_items_in_batch=items).item()


def test_it_is_mean_cross_entropy_which_class_weights_scale():
    expected = cross_entropy(LOGITS, LABELS).item()
    assert apply(build_loss(), LOGITS, LABELS) == pytest.approx(expected)
    expected = (WEIGHTS[LABELS] * cross_entropy(LOGITS, LABELS, reduction="none")).mean().item()
    assert apply(build_loss(class_weights=WEIGHTS), LOGITS, LABELS) == pytest.approx(expected)


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
