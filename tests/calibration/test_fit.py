import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from scipy.special import softmax
from transformers import pipeline

from hf_lesion.calibration import fit, metrics
from hf_lesion.calibration.temperature import logit_offsets
from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.evaluation import fitting, scoring
from hf_lesion.labels import CODES
from hf_lesion.models.build import load_classifier
from hf_lesion.models.compact import save_compact

COUNT = 120
TARGETS = {"malignant": 0.9, "melanoma": 0.8}
COUNTS = np.array([20.0, 30, 80, 10, 80, 700, 10])
LOG_SHARES = -logit_offsets(COUNTS, 1.0)
MILD = np.linspace(100, 160, 7)  # an untrained model's logits are small
MILD_LOGS = -logit_offsets(MILD, 1.0)


@pytest.fixture(scope="module", autouse=True)
def few_simulations():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "SIMULATIONS", 20)
        yield


@pytest.fixture(scope="module")
def packed(tiny_timm_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed") / "model"
    save_compact(*load_classifier(str(tiny_timm_model)), folder)
    return folder


@pytest.fixture(scope="module")
def images(packed):
    """Coloured patches, with truths drawn from the model's answers at a temperature of 2."""
    colours = np.random.default_rng(0).integers(0, 256, (COUNT, 5, 6, 3), dtype=np.uint8)
    patches = [Image.fromarray(c).resize((64, 64), Image.Resampling.BICUBIC) for c in colours]
    found = scoring.EvaluationSet(
        name="validation",
        image_ids=tuple(f"I{index:03d}" for index in range(COUNT)),
        references=np.zeros(COUNT, dtype=np.int64),
        lesion_ids=None,
        source="patches",
        fingerprint="f" * 64,
        load=lambda index: patches[index],
    )
    edges = softmax(logits_of(packed, found) / 2, axis=1).cumsum(axis=1)[:, :-1]
    references = (np.random.default_rng(1).random((COUNT, 1)) > edges).sum(axis=1)
    references[:14] = np.arange(14) % 7  # a few of every class
    return replace(found, references=references)


@pytest.fixture(scope="module")
def calibrated(packed, images):
    """A packed model before and after, as folders, and what was found."""
    after = shutil.copytree(packed, packed.with_name("after"))
    found = fitting.fit_folder(after, images, MILD, sensitivities=TARGETS, tau=0.5, check_on=images)
    return packed, after, found


def logits_of(folder, images):
    classifier = LesionClassifier.from_pretrained(folder, device="cpu")
    return scoring.over_batches(classifier.logits, images, batch_size=32).astype(float)


def draw_at_mix(images, *, tau=0.0, scale=1.0):
    """Logits of a model with a τ of the prior left in them, and references at that mix."""
    generator = np.random.default_rng(0)
    references = generator.choice(len(CODES), size=images, p=COUNTS / COUNTS.sum())
    points = 2 * np.eye(len(CODES))[references] + generator.normal(size=(images, len(CODES)))
    # Log likelihoods of normal distributions around 2·e_c, up to a constant.
    return scale * (2 * points + tau * LOG_SHARES), references


@pytest.mark.parametrize(("tau", "scale"), [(0.0, 2.5), (0.5, 1.0), (1.0, 0.4)])
def test_the_prior_and_the_temperature_are_found_again(tau, scale):
    logits, references = draw_at_mix(20_000, tau=tau, scale=scale)
    found, temperature = fit.fit_logits(logits, references, LOG_SHARES)
    assert temperature == pytest.approx(scale, rel=0.15)
    assert found == pytest.approx(tau * scale, abs=0.1 * scale)
    scores = softmax((logits - found * LOG_SHARES) / temperature, axis=1)
    assert metrics.class_balanced_ece(scores, references) < 0.03
    given, temperature = fit.fit_logits(logits, references, LOG_SHARES, tau=tau * scale)
    assert given == tau * scale
    assert temperature == pytest.approx(scale, rel=0.15)
    kept = references != CODES.index("df")  # a class that validation lacks does not matter
    assert np.isfinite(fit.fit_logits(logits[kept], references[kept], LOG_SHARES)).all()


def test_cross_validation_judges_on_lesions_it_has_not_seen(monkeypatch):
    logits, references = draw_at_mix(600, tau=0.5, scale=2.0)
    fitted_on, original = [], fit.fit_logits

    def spy(part, labels, *others, **options):
        fitted_on.append(set(part[:, 0]))
        return original(part, labels, *others, **options)

    monkeypatch.setattr(fit, "fit_logits", spy)
    scores, kept = fit.cross_validate(logits, references, np.arange(600) // 3, LOG_SHARES)
    held = [set(logits[:, 0]) - seen for seen in fitted_on]
    assert len(held) == fit.FOLDS
    assert sum(map(len, held)) == 600
    for number in range(200):
        rows = logits[3 * number : 3 * number + 3, 0]
        assert len({next(i for i, part in enumerate(held) if v in part) for v in rows}) == 1
    errors = [scores[name]["class_balanced_ece"] for name in ("trained", "calibrated")]
    assert errors[1] < errors[0]
    assert 0 < kept["ece"] < 0.1


def test_the_folded_model_is_the_old_one_with_its_logits_shifted_and_divided(calibrated, images):
    before, after, found = calibrated
    old, new = logits_of(before, images), logits_of(after, images)
    temperature = found.calibration.temperature
    assert found.calibration.logit_adjustment == 0.5
    shifted = old - 0.5 * MILD_LOGS
    assert new * temperature == pytest.approx(shifted, rel=1e-4, abs=1e-4)
    expected = fit.fit_logits(old, images.references, MILD_LOGS, tau=0.5)[1]
    assert temperature == pytest.approx(expected, rel=1e-6)
    trained = found.calibration.as_trained(softmax(new, axis=1))
    assert trained == pytest.approx(softmax(old, axis=1), abs=1e-4)
    classify = pipeline("image-classification", model=str(after), top_k=7, device="cpu")
    weights = load_file(after / "model.safetensors").values()
    whole = [one.shape[0] for one in weights if one.dtype == torch.float32 and one.ndim > 1]
    assert whole == [7]  # only the last layer is in full precision
    answer = {part["label"]: part["score"] for part in classify(images.load(0))}
    expected = softmax(shifted[0] / temperature)
    assert [answer[code] for code in CODES] == pytest.approx(expected, abs=1e-4)


def test_a_packed_folder_is_calibrated_anew_from_its_logits_as_trained(
    calibrated, images, tmp_path, caplog
):
    before, after, _ = calibrated
    again = shutil.copytree(after, tmp_path / "again")
    fresh = shutil.copytree(before, tmp_path / "fresh")
    for folder in (again, fresh):
        fits = fitting.fit_folder(
            folder, images, MILD, sensitivities=TARGETS, tau=0.2, check_on=images
        )
        assert fits.calibration.logit_adjustment == 0.2
    assert "not fitted on these weights" not in caplog.text
    assert logits_of(again, images) == pytest.approx(logits_of(fresh, images), rel=1e-3, abs=1e-3)
    assert logits_of(again, images) != pytest.approx(logits_of(after, images), rel=1e-3, abs=1e-3)


def test_what_is_stored_is_read_for_these_weights_only(calibrated, tmp_path):
    before, after, found = calibrated
    assert fit.read_fits(after) == found
    points = found.points.points
    assert set(points) == {"malignant", "melanoma"}
    assert points["melanoma"].sensitivity >= points["melanoma"].target_sensitivity == 0.8
    assert found.reliability.checked_on.images == COUNT
    assert LesionClassifier.from_pretrained(after).reliability == found.reliability
    assert fit.read_fits(before) == fit.Fits()
    for name in ("calibration.json", "operating_points.json", "reliability.json"):
        mixed = shutil.copytree(before, tmp_path / name)
        shutil.copyfile(after / name, mixed / name)
        with pytest.raises(InputError, match=rf"{name} was fitted on other weights than those"):
            fit.read_fits(mixed)


def test_a_head_that_does_not_give_the_logits_is_found_out(packed, monkeypatch, tmp_path):
    class Shifted(torch.nn.Linear):
        def forward(self, features):
            return super().forward(features).exp()

    model, processor = load_classifier(str(packed))
    [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)][
        -1
    ].__class__ = Shifted
    monkeypatch.setattr(fit, "load_classifier", lambda folder: (model, processor))
    with pytest.raises(InputError, match="a temperature can't be folded into it"):
        fit.fold_into(tmp_path, offsets=np.ones(7), temperature=2.0)
    assert not list(tmp_path.iterdir())
