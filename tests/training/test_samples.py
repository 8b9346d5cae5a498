import io

import datasets
import numpy as np
import profiles
import pytest
import torch
from datasets import Dataset, load_dataset
from PIL import Image
from torchvision.transforms import v2

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.models.preprocessing import Preprocessing
from hf_lesion.training.augmentation import build_train_transform
from hf_lesion.training.samples import EvalTransform, LesionSamples, collate, sample_seed

TRANSFORM = build_train_transform(Preprocessing(24, (0.5,) * 3, (0.5,) * 3), "strong")


def build_samples(sample_dataset, **options):
    rows = load_dataset(str(sample_dataset), split="train")
    return LesionSamples(rows, options.pop("transform", TRANSFORM), **options)


def test_a_sample_is_a_function_of_seed_epoch_and_index(sample_dataset):
    first, second = (build_samples(sample_dataset, seed=5) for _ in range(2))
    torch.manual_seed(1)
    expected = first[3]["pixel_values"]
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second[9], second[1]  # whatever was read before
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(second[3]["pixel_values"], expected)
    second.set_epoch(1)
    assert not torch.equal(second[3]["pixel_values"], expected)
    second.set_epoch(0)
    assert torch.equal(second[3]["pixel_values"], expected)
    other_seed = build_samples(sample_dataset, seed=6)
    assert not torch.equal(other_seed[3]["pixel_values"], expected)


def test_training_sees_the_pixels_of_prediction(tiny_timm_model):
    """Turned, in the colours of its profile, of 16 bits: as `LesionClassifier` reads the file."""
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = profiles.rgb_profile(profiles.DISPLAY_P3)
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    images = [
        (Image.fromarray(noise), {"icc_profile": profile, "exif": exif}),
        (Image.fromarray(noise[..., 0].astype(np.uint16)), {}),
    ]
    files = []
    for image, options in images:
        stream = io.BytesIO()
        image.save(stream, "PNG", **options)
        files.append({"bytes": stream.getvalue(), "path": None})
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    rows = Dataset.from_dict({"image": files, "label": [0, 1]}, features=features)
    classifier = LesionClassifier.from_pretrained(tiny_timm_model)
    samples = LesionSamples(rows, EvalTransform(classifier.processor))
    expected = classifier.preprocess([Image.open(io.BytesIO(each["bytes"])) for each in files])
    for place in range(len(files)):
        assert torch.equal(samples[place]["pixel_values"], expected[place])
    assert abs(expected[1] - expected[1].min()).max() < 0.1  # dark: its largest value is 255


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_how_a_sample_is_mixed_is_one_too_and_changes_no_pixel(sample_dataset, kind):
    plain, mixed, again = (build_samples(sample_dataset, **{kind: a}) for a in (0.0, 0.4, 0.4))
    assert plain[3]["mix"] is None
    assert mixed[3]["mix"] == again[3]["mix"] != mixed[4]["mix"]
    assert torch.equal(plain[3]["pixel_values"], mixed[3]["pixel_values"])


def test_workers_give_the_same_batches(sample_dataset):
    samples = build_samples(sample_dataset)

    def batches(workers):
        return list(
            torch.utils.data.DataLoader(samples, 16, num_workers=workers, collate_fn=collate)
        )

    for alone, shared in zip(batches(0), batches(2), strict=True):
        assert torch.equal(alone["pixel_values"], shared["pixel_values"])
        assert torch.equal(alone["labels"], shared["labels"])


def test_labels_and_pixels_are_those_of_the_row(sample_dataset):
    rows = load_dataset(str(sample_dataset), split="train")
    samples = build_samples(sample_dataset, transform=v2.PILToTensor())
    for index in (0, len(rows) - 1):
        sample = samples[index]
        assert sample["labels"] == rows[index]["label"]
        expected = np.asarray(rows[index]["image"].convert("RGB"))
        assert np.array_equal(sample["pixel_values"].permute(1, 2, 0).numpy(), expected)


def test_weighted_draws_follow_the_weights_and_change_each_epoch(sample_dataset):
    rows = load_dataset(str(sample_dataset), split="train")
    weights = torch.tensor([1.0 if label == 4 else 0.0 for label in rows["label"]])
    samples = build_samples(sample_dataset, weights=weights)
    assert len(samples) == len(rows)
    assert {samples[index]["labels"] for index in range(20)} == {4}
    first = samples.drawn.clone()
    samples.set_epoch(1)
    assert not torch.equal(samples.drawn, first)
    samples.set_epoch(0)
    assert torch.equal(samples.drawn, first)


@pytest.mark.parametrize("batch_size", [7, 8, 59, 60])
def test_no_batch_holds_one_image_and_no_image_is_left_out(sample_dataset, batch_size):
    samples = build_samples(sample_dataset, batch_size=batch_size)
    rows = len(samples.rows)
    sizes = [len(part) for part in torch.arange(len(samples)).split(batch_size)]
    assert 1 not in sizes
    assert rows == 60
    assert len(samples) == (61 if batch_size == 59 else 60)
    seen = []
    for epoch in (0, 1):
        samples.set_epoch(epoch)
        drawn = list(range(rows)) if samples.drawn is None else samples.drawn.tolist()
        assert set(drawn) == set(range(rows))
        seen.append(drawn)
    if batch_size == 59:
        assert seen[0] != seen[1]
        samples.set_epoch(0)
        assert samples.drawn.tolist() == seen[0]


def test_dropped_images_are_others_in_each_epoch(sample_dataset):
    samples = build_samples(sample_dataset, batch_size=16, drop_last=True)
    rows = len(samples.rows)
    assert (rows, len(samples)) == (60, 48)
    left_out = set()
    for epoch in range(30):
        samples.set_epoch(epoch)
        drawn = samples.drawn.tolist()
        assert len(set(drawn)) == len(drawn) == len(samples)
        left_out |= set(range(rows)) - set(drawn)
    assert left_out == set(range(rows))
    with pytest.raises(
        InputError,
        match=r"^--dataloader_drop_last leaves no batch: expected at least 61 images, got 60",
    ):
        build_samples(sample_dataset, batch_size=rows + 1, drop_last=True)


def test_seeds_do_not_repeat():
    seeds = {sample_seed(s, e, i) for s in range(5) for e in range(10) for i in range(-1, 100)}
    assert len(seeds) == 5 * 10 * 101
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_large_jpeg_is_decoded_smaller_but_never_too_small(sample_dataset):
    rows = load_dataset(str(sample_dataset), split="train")
    width, height = rows[0]["image"].size
    big = rows[0]["image"].resize((4 * width, 4 * height), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    big.save(stream, format="JPEG", quality=95)
    large = Dataset.from_dict(
        {"image": [{"bytes": stream.getvalue(), "path": None}], "label": [0]}
    ).cast_column("image", datasets.Image())
    for least, shrunk in ((height, 4), (height + 1, 2), (4 * height, 1), (None, 1)):
        pixels = LesionSamples(large, v2.PILToTensor(), least_side=least)[0]["pixel_values"]
        assert pixels.shape[1:] == (4 * height // shrunk, 4 * width // shrunk)
    squash = v2.Compose([v2.PILToTensor(), v2.Resize([64, 64], antialias=True)])
    small = LesionSamples(large, squash, least_side=2 * height)[0]["pixel_values"]
    full = LesionSamples(large, squash)[0]["pixel_values"]
    assert (small.int() - full.int()).abs().float().mean() < 2  # of 255
