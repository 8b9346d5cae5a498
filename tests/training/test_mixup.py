import pytest
import torch

from hf_lesion.training.mixup import Mix, mix, sample_mix


def build_batch():
    return {"pixel_values": torch.rand(3, 3, 4, 4), "labels": torch.tensor([0, 4, 4])}


def test_pixels_and_labels_are_blended_alike():
    batch = build_batch()
    mixed = mix(batch, [Mix(1.0), Mix(0.25), Mix(0.6)])
    x = batch["pixel_values"]
    assert torch.equal(mixed["pixel_values"][0], x[0])
    assert torch.allclose(mixed["pixel_values"][1], 0.25 * x[1] + 0.75 * x[2])
    assert torch.allclose(mixed["pixel_values"][2], 0.6 * x[2] + 0.4 * x[0])
    expected = torch.zeros(3, 7)
    expected[0, 0] = 1
    expected[1, 4] = 1
    expected[2, 4], expected[2, 0] = 0.6, 0.4
    assert torch.allclose(mixed["labels"], expected)


def test_cutmix_takes_a_box_and_as_much_of_the_label():
    batch = build_batch()
    mixed = mix(batch, [Mix(1.0), Mix(0.875, (0, 2, 3, 4)), Mix(0.6)])
    x, seen = batch["pixel_values"], mixed["pixel_values"]
    assert torch.equal(seen[1, :, :2, 3], x[2, :, :2, 3])
    kept = torch.ones(4, 4, dtype=torch.bool)
    kept[:2, 3] = False
    assert torch.equal(seen[1][:, kept], x[1][:, kept])
    assert torch.allclose(seen[2], 0.6 * x[2] + 0.4 * x[0])  # mixup beside it in one batch
    batch["labels"][2] = 5
    assert mix(batch, [Mix(1.0), Mix(0.875, (0, 2, 3, 4)), Mix(1.0)])["labels"][1].tolist() == [
        0, 0, 0, 0, 0.875, 0.125, 0,
    ]  # fmt: skip


def test_a_box_has_the_share_that_it_says_and_lies_anywhere():
    torch.manual_seed(0)
    drawn = [sample_mix(0.0, 1.0, 50) for _ in range(2000)]
    for share, (top, bottom, left, right) in drawn:
        assert 0 <= top <= bottom <= 50
        assert 0 <= left <= right <= 50
        assert share == 1 - (bottom - top) * (right - left) / 2500
    for edges in ([mixed.box[:2] for mixed in drawn], [mixed.box[2:] for mixed in drawn]):
        assert min(edges)[0] == 0
        assert max(edges)[0] > 40
        assert min(high for _, high in edges) < 10
        assert max(high for _, high in edges) == 50
    # Of a uniform share 0.5 is left; a box that reaches over the edge leaves more.
    assert torch.tensor([share for share, _ in drawn]).mean() == pytest.approx(0.65, abs=0.05)


def test_with_both_each_is_drawn_for_half_of_the_samples():
    torch.manual_seed(0)
    drawn = [sample_mix(0.2, 1.0, 50) for _ in range(1000)]
    assert sum(mixed.box is None for mixed in drawn) == pytest.approx(500, abs=50)
    assert sample_mix(0.0, 0.0, 50) is None
    assert sample_mix(0.2, 0.0, 50).box is None
