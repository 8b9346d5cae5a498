import numpy as np
import pytest
from scipy.special import softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from hf_lesion.evaluation import calibration
from hf_lesion.labels import CODES
from hf_lesion.models.calibration import softmax_of

CLASSES = len(CODES)


def draw(images=3000, seed=0, spread=1.5, prior=None):
    """Logits, and references drawn from their own softmax: perfectly calibrated."""
    generator = np.random.default_rng(seed)
    logits = spread * generator.normal(size=(images, CLASSES))
    if prior is not None:
        logits = logits + np.log(prior)
    edges = softmax(logits, axis=1).cumsum(axis=1)
    references = (generator.random((images, 1)) > edges[:, :-1]).sum(axis=1)
    return logits, references


def oracle_ece(confidence, outcome):
    """ECE from scikit-learn's reliability curve and numpy's counts."""
    right, mean = calibration_curve(outcome, confidence, n_bins=calibration.BINS)
    places = np.digitize(confidence, np.linspace(0, 1, calibration.BINS + 1)[1:-1], right=True)
    counts = np.bincount(places, minlength=calibration.BINS)
    return np.abs(right - mean) @ counts[counts > 0] / len(outcome)


@pytest.mark.parametrize("images", [1, 40, 1000])
def test_scikit_learn_agrees(images):
    logits, references = draw(images, seed=images)
    probabilities = softmax(logits / 0.4, axis=1)
    is_right = probabilities.argmax(axis=1) == references
    expected = oracle_ece(probabilities.max(axis=1), is_right)
    assert calibration.ece(probabilities, references) == pytest.approx(expected, abs=1e-12)
    by_class = [oracle_ece(probabilities[:, c], references == c) for c in range(CLASSES)]
    assert calibration.classwise_ece(probabilities, references) == pytest.approx(
        by_class, abs=1e-12
    )
    labels = np.arange(CLASSES)
    expected = brier_score_loss(references, probabilities, labels=labels, scale_by_half=False)
    assert calibration.brier(probabilities, references) == pytest.approx(expected, abs=1e-12)
    expected = sklearn_log_loss(references, probabilities, labels=labels)
    assert calibration.log_loss(probabilities, references) == pytest.approx(expected, abs=1e-12)


def test_the_record_says_the_same_as_the_functions():
    logits, references = draw(500)
    probabilities = softmax(2 * logits, axis=1)
    found = calibration.measure_calibration(probabilities, references, simulations=20)
    assert found["metrics"]["ece"] == calibration.ece(probabilities, references)
    by_class = calibration.classwise_ece(probabilities, references)
    assert found["metrics"]["classwise_ece"] == pytest.approx(by_class.mean())
    assert found["metrics"]["ece_mel"] == by_class[CODES.index("mel")]
    bins = found["reliability"]
    counts = np.asarray(bins["count"])
    gaps = np.abs(np.subtract(bins["accuracy"], bins["confidence"]))
    assert gaps @ counts / counts.sum() == pytest.approx(found["metrics"]["ece"], abs=1e-4)
    assert all(low <= high for low, high in zip(bins["low"], bins["high"], strict=True))


def test_a_certain_and_right_model_has_no_error_and_none_by_chance():
    references = np.arange(70) % CLASSES
    found = calibration.measure_calibration(np.eye(CLASSES)[references], references)
    for name in ("ece", "classwise_ece"):
        assert found["metrics"][name] == 0
        assert found["chance"][name] == {"mean": 0, "upper": 0}
    assert (found["metrics"]["brier"], found["metrics"]["log_loss"]) == (0, 0)


def test_a_calibrated_model_shows_about_what_chance_predicts():
    """Of 40 calibrated models, the errors average to the chance value, and few exceed `upper`."""
    errors, means, exceeded = [], [], 0
    for seed in range(40):
        logits, references = draw(300, seed=seed)
        found = calibration.measure_calibration(softmax_of(logits), references, simulations=50)
        errors.append(found["metrics"]["ece"])
        means.append(found["chance"]["ece"]["mean"])
        exceeded += errors[-1] > found["chance"]["ece"]["upper"]
    assert np.mean(errors) == pytest.approx(np.mean(means), rel=0.1)
    assert exceeded <= 6
    assert np.mean(means) > 0.02  # a small sample is never at zero


def test_the_temperature_is_found_again_and_changes_no_order():
    logits, references = draw(6000)
    found = calibration.fit_temperature(logits * 2.5, references)
    assert found == pytest.approx(2.5, rel=0.05)
    assert calibration.fit_temperature(logits * 0.4, references) == pytest.approx(0.4, rel=0.05)
    order = np.argsort(logits * 2.5, axis=1)
    assert (np.argsort(softmax_of(logits * 2.5 / found), axis=1) == order).all()
    before = calibration.ece(softmax_of(logits * 2.5), references)
    assert calibration.ece(softmax_of(logits * 2.5 / found), references) < before / 3


def test_biases_undo_what_balanced_training_did_to_the_prior():
    """Labels by their true prior, a model that takes the classes as equally frequent."""
    prior = np.array([0.03, 0.05, 0.11, 0.02, 0.11, 0.66, 0.02])
    logits, references = draw(8000, prior=prior)
    inflated = softmax_of(logits - np.log(prior))
    slope, biases = calibration.fit_shown(inflated, references)
    assert slope == pytest.approx(1, abs=0.1)
    shift = np.asarray(biases) - np.log(prior)
    assert np.ptp(shift) < 0.6
    fitted = softmax_of(slope * np.log(inflated) + np.asarray(biases))
    assert fitted.mean(axis=0) == pytest.approx(np.bincount(references) / 8000, abs=0.01)
    error = calibration.classwise_ece(fitted, references).mean()
    assert error < calibration.classwise_ece(inflated, references).mean() / 5


def test_a_class_that_validation_lacks_keeps_a_finite_bias():
    logits, references = draw(400)
    kept = references != CODES.index("df")
    _, biases = calibration.fit_shown(softmax_of(logits[kept]), references[kept])
    assert np.isfinite(biases).all()


def test_cross_validation_judges_on_lesions_it_has_not_seen(monkeypatch):
    logits, references = draw(600)
    lesions = np.arange(600) // 3
    fitted_on = []
    fit = calibration.fit_temperature

    def spy(part, labels):
        fitted_on.append(set(part[:, 0]))
        return fit(part, labels)

    monkeypatch.setattr(calibration, "fit_temperature", spy)
    monkeypatch.setattr(calibration, "SIMULATIONS", 10)
    found = calibration.cross_validate(2 * logits, references, lesions)
    assert len(fitted_on) == calibration.FOLDS
    held = [set(2 * logits[:, 0]) - seen for seen in fitted_on]
    assert sum(map(len, held)) == 600
    for first in logits[::3, 0], logits[1::3, 0]:
        assert {tuple(2 * value in part for part in held) for value in first}
    for number in range(200):
        where = {next(i for i, part in enumerate(held) if 2 * logits[row, 0] in part)
                 for row in (3 * number, 3 * number + 1, 3 * number + 2)}  # fmt: skip
        assert len(where) == 1
    assert found["temperature"]["ece"] < found["uncalibrated"]["ece"]
    for name in ("temperature", "shown"):
        assert found[name]["balanced_accuracy"] == pytest.approx(
            found["uncalibrated"]["balanced_accuracy"], abs=0.05
        )
    assert found["temperature"]["balanced_accuracy"] == found["uncalibrated"]["balanced_accuracy"]
