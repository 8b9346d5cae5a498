import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import pipeline

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.evaluation import calibration, fitting, scoring
from hf_lesion.evaluation.calibration import ece, fit_temperature
from hf_lesion.models.build import load_classifier
from hf_lesion.models.calibration import softmax_of
from hf_lesion.models.compact import save_compact

COUNT = 150
TARGETS = {"malignant": 0.9, "melanoma": 0.8}


@pytest.fixture(scope="module", params=["tiny_timm_model", "tiny_cnn_model"])
def packed(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed") / "model"
    save_compact(*load_classifier(str(request.getfixturevalue(request.param))), folder)
    return folder


@pytest.fixture(scope="module")
def images(packed):
    """Coloured patches, with truths drawn from the model's answers at a temperature of 2."""
    colours = np.random.default_rng(0).integers(0, 256, (COUNT, 5, 6, 3), dtype=np.uint8)
    patches = [Image.fromarray(c).resize((64, 64), Image.Resampling.BICUBIC) for c in colours]
    names = tuple(f"I{index:03d}" for index in range(COUNT))
    found = scoring.EvaluationSet(
        name="validation",
        image_ids=names,
        references=np.zeros(COUNT, dtype=np.int64),
        lesion_ids=None,
        source="patches",
        fingerprint="f" * 64,
        load=lambda index: patches[index],
    )
    edges = softmax_of(logits_of(packed, found) / 2).cumsum(axis=1)[:, :-1]
    draws = np.random.default_rng(1).random((COUNT, 1))
    references = (draws > edges).sum(axis=1)
    references[:14] = np.arange(14) % 7  # a few of every class
    return replace(found, references=references)


@pytest.fixture(scope="module")
def calibrated(packed, images):
    """A packed model before and after, as folders, and what was found."""
    after = packed.with_name("after")
    shutil.copytree(packed, after)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "SIMULATIONS", 50)
        found = fitting.calibrate_folder(after, images, sensitivities=TARGETS)
    return packed, after, found


def logits_of(folder, images):
    classifier = LesionClassifier.from_pretrained(folder, device="cpu")
    return scoring.over_batches(classifier.logits, images, batch_size=32).astype(float)


def test_the_folded_model_is_the_old_one_with_its_logits_divided(calibrated, images):
    before, after, found = calibrated
    old, new = logits_of(before, images), logits_of(after, images)
    assert 1.2 < found.temperature < 10
    assert new * found.temperature == pytest.approx(old, rel=1e-4, abs=1e-4)
    assert (np.argsort(old, axis=1) == np.argsort(new, axis=1)).all(), "an answer's order changed"
    assert found.temperature == pytest.approx(fit_temperature(old, images.references), rel=1e-6)
    assert fit_temperature(new, images.references) == pytest.approx(1, abs=1e-3)
    errors = [ece(softmax_of(logits), images.references) for logits in (old, new)]
    assert errors[1] < errors[0]


def test_an_adjustment_names_rare_classes_more_often(packed, images, tmp_path):
    old = logits_of(packed, images)
    often = np.bincount(old.argmax(axis=1), minlength=7).argmax()
    counts = np.full(7, 10.0)
    counts[often] = 1000
    after = shutil.copytree(packed, tmp_path / "after")
    adjustment = fitting.Adjustment(0.5, counts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "SIMULATIONS", 50)
        found = fitting.calibrate_folder(
            after, images, sensitivities=TARGETS, adjustment=adjustment
        )
    new = logits_of(after, images)
    expected = old - 0.5 * np.log(counts / counts.sum())
    assert new * found.temperature == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert (new.argmax(axis=1) == often).sum() < (old.argmax(axis=1) == often).sum()
    assert fitting.read_fits(after)[0].logit_adjustment == 0.5


def test_a_plain_pipeline_gives_the_calibrated_probabilities(calibrated, images):
    before, after, found = calibrated
    classify = pipeline("image-classification", model=str(after), top_k=7, device="cpu")
    expected = softmax_of(logits_of(before, images)[:2] / found.temperature)
    for row in range(2):
        answer = {part["label"]: part["score"] for part in classify(images.load(row))}
        assert [answer[code] for code in sorted(answer)] == pytest.approx(expected[row], abs=1e-4)


def test_only_the_last_layer_is_in_full_precision(calibrated):
    _, after, _ = calibrated
    weights = load_file(after / "model.safetensors")
    whole = {
        name
        for name, tensor in weights.items()
        if tensor.dtype == torch.float32 and tensor.ndim > 1
    }
    assert len(whole) == 1
    assert weights[whole.pop()].shape[0] == 7
    assert json.loads((after / "config.json").read_text())["dtype"] == "float32"


def test_what_is_stored_is_read_for_these_weights_only(calibrated, tmp_path):
    before, after, found = calibrated
    stored, points = fitting.read_fits(after)
    assert stored == found
    assert set(points.points) == {"malignant", "melanoma"}
    assert points.points["melanoma"].target_sensitivity == 0.8
    assert points.points["melanoma"].sensitivity >= 0.8
    assert set(found.cross_validated) == {"uncalibrated", "temperature", "shown"}
    assert fitting.read_fits(before) == (None, None)
    mixed = shutil.copytree(before, tmp_path / "mixed")
    shutil.copyfile(after / "operating_points.json", mixed / "operating_points.json")
    with pytest.raises(InputError, match=r"operating_points\.json was fitted on other weights"):
        fitting.read_fits(mixed)


def test_a_calibrated_model_is_not_calibrated_again(calibrated, images):
    _, after, _ = calibrated
    with pytest.raises(InputError, match=r"is calibrated already\. Pack its run again\.$"):
        fitting.calibrate_folder(after, images, sensitivities=TARGETS)


def test_a_head_that_does_not_give_the_logits_is_found_out(packed, images, tmp_path):
    class Doubled(LesionClassifier):
        def logits(self, shown, *, batch_size=32):
            return super().logits(shown, batch_size=batch_size) + 1

    classifier = LesionClassifier.from_pretrained(packed, device="cpu")
    few = scoring.take_images(images, range(4))
    logits = classifier.logits([few.load(row) for row in range(4)]).astype(float)
    classifier.__class__ = Doubled
    with pytest.raises(InputError, match="a temperature can't be folded into it"):
        fitting._fold(classifier, 2.0, few, logits, tmp_path)
    assert not list(tmp_path.iterdir())
