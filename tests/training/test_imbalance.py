import numpy as np
import pytest
import torch

from hf_lesion.errors import InputError
from hf_lesion.training.imbalance import class_weights, sampling_weights

LABELS = np.repeat(np.arange(7), [1, 4, 9, 16, 25, 100, 36])


def expected_shares(weights):
    return np.bincount(LABELS, weights=(weights / weights.sum()).numpy())


def test_no_imbalance_means_no_weights():
    assert sampling_weights(LABELS, "none") is None
    assert sampling_weights(LABELS, "class_weights") is None
    assert class_weights(LABELS, "none") is None
    assert class_weights(LABELS, "sqrt_sampler") is None


def test_oversampling_draws_every_class_equally_often():
    assert expected_shares(sampling_weights(LABELS, "oversample")) == pytest.approx([1 / 7] * 7)


def test_the_root_sampler_draws_in_proportion_to_the_root():
    roots = np.sqrt(np.bincount(LABELS))
    assert expected_shares(sampling_weights(LABELS, "sqrt_sampler")) == pytest.approx(
        roots / roots.sum()
    )


def test_a_power_says_how_far_classes_are_evened_out():
    counts = np.bincount(LABELS)
    shares = expected_shares(sampling_weights(LABELS, "none", power=0.25))
    assert shares == pytest.approx(counts**0.75 / (counts**0.75).sum())
    assert sampling_weights(LABELS, "oversample", power=0.0) is None
    root = sampling_weights(LABELS, "sqrt_sampler")
    assert torch.equal(sampling_weights(LABELS, "class_weights", power=0.5), root)


def test_class_weights_average_to_one_over_the_images():
    weights = class_weights(LABELS, "class_weights")
    assert weights[torch.from_numpy(LABELS)].mean().item() == pytest.approx(1)
    assert (weights * torch.bincount(torch.from_numpy(LABELS))).std().item() == pytest.approx(
        0, abs=1e-4
    )


def test_an_empty_class_is_named():
    message = r"^The train split has no image of df, vasc\. Prepare a larger dataset, or another"
    with pytest.raises(InputError, match=message):
        sampling_weights(np.array([0, 1, 2, 4, 5]), "sqrt_sampler")


def test_an_unknown_imbalance_is_refused():
    with pytest.raises(InputError, match=r"^Unknown imbalance 'copy': expected one of none, "):
        sampling_weights(LABELS, "copy")
