import pytest
import torch

from hf_lesion.training.mixup import draw_share, mix
from hf_lesion.training.samples import collate


def build_batch():
    return {"pixel_values": torch.rand(3, 3, 4, 4), "labels": torch.tensor([0, 4, 4])}


def test_pixels_and_labels_are_blended_alike():
    batch = build_batch()
    mixed = mix(batch, torch.tensor([1.0, 0.25, 0.6]))
    x = batch["pixel_values"]
    assert torch.equal(mixed["pixel_values"][0], x[0])
    assert torch.allclose(mixed["pixel_values"][1], 0.25 * x[1] + 0.75 * x[2])
    assert torch.allclose(mixed["pixel_values"][2], 0.6 * x[2] + 0.4 * x[0])
    expected = torch.zeros(3, 7)
    expected[0, 0] = 1
    expected[1, 4] = 1
    expected[2, 4], expected[2, 0] = 0.6, 0.4
    assert torch.allclose(mixed["labels"], expected)


def test_shares_follow_the_beta_distribution():
    torch.manual_seed(0)
    shares = torch.tensor([draw_share(0.2) for _ in range(4000)])
    assert 0 <= shares.min() <= shares.max() <= 1
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    # Of Beta(a, a): 1 / (4 (2 a + 1)).
    assert shares.var() == pytest.approx(1 / (4 * 1.4), rel=0.05)


def test_samples_without_shares_keep_their_class_ids():
    samples = [{"pixel_values": torch.rand(3, 4, 4), "labels": label} for label in (2, 5)]
    assert collate(samples)["labels"].tolist() == [2, 5]
    shared = [{**sample, "share": 0.5} for sample in samples]
    assert collate(shared)["labels"][:, [2, 5]].tolist() == [[0.5, 0.5]] * 2
