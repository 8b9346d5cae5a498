import numpy as np
import pytest
from scipy.special import softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from hf_lesion.calibration import metrics
from hf_lesion.labels import CODES

CLASSES = len(CODES)


PRIOR = np.array([0.03, 0.05, 0.11, 0.02, 0.11, 0.66, 0.02])


def draw(images, seed=0):
    """Probabilities, and references drawn from them: perfectly calibrated."""
    generator = np.random.default_rng(seed)
    probabilities = softmax(1.5 * generator.normal(size=(images, CLASSES)), axis=1)
    edges = probabilities.cumsum(axis=1)[:, :-1]
    return probabilities, (generator.random((images, 1)) > edges).sum(axis=1)


def draw_at_mix(images, seed=0):
    """Probabilities if classes were equally common, and references of images as rare as `PRIOR`.

    Images of each class are drawn from that class's own distribution, so Bayes' rule with equal
    priors gives perfectly class-balanced probabilities.
    """
    generator = np.random.default_rng(seed)
    references = generator.choice(CLASSES, size=images, p=PRIOR)
    centres = 2 * np.eye(CLASSES)
    points = centres[references] + generator.normal(size=(images, CLASSES))
    distances = ((points[:, np.newaxis] - centres) ** 2).sum(axis=2)
    return softmax(-distances / 2, axis=1), references


def oracle_ece(confidence, outcome):
    """ECE from scikit-learn's reliability curve and numpy's counts."""
    right, mean = calibration_curve(outcome, confidence, n_bins=metrics.BINS)
    places = np.digitize(confidence, np.linspace(0, 1, metrics.BINS + 1)[1:-1], right=True)
    counts = np.bincount(places, minlength=metrics.BINS)
    return np.abs(right - mean) @ counts[counts > 0] / len(outcome)


@pytest.fixture
def few_simulations(monkeypatch):
    monkeypatch.setattr(metrics, "SIMULATIONS", 50)


@pytest.mark.usefixtures("few_simulations")
@pytest.mark.parametrize("images", [1, 40, 1000])
def test_scikit_learn_agrees(images):
    calibrated, references = draw(images, seed=images)
    probabilities = softmax(np.log(calibrated) / 0.4, axis=1)
    is_right = probabilities.argmax(axis=1) == references
    found = metrics.measure_calibration(probabilities, references)["metrics"]
    expected = oracle_ece(probabilities.max(axis=1), is_right)
    assert found["ece"] == pytest.approx(expected, abs=1e-12)
    labels = np.arange(CLASSES)
    expected = brier_score_loss(references, probabilities, labels=labels, scale_by_half=False)
    assert metrics.brier(probabilities, references) == pytest.approx(expected, abs=1e-12)
    expected = sklearn_log_loss(references, probabilities, labels=labels)
    assert metrics.log_loss(probabilities, references) == pytest.approx(expected, abs=1e-12)


def test_a_certain_and_right_model_has_no_error_and_none_by_chance():
    references = np.arange(70) % CLASSES
    found = metrics.measure_calibration(np.eye(CLASSES)[references], references)
    for name in ("ece", "class_balanced_ece"):
        assert found["metrics"][name] == 0
        assert found["chance"][name] == {"mean": 0, "upper": 0}
    assert (found["metrics"]["brier"], found["metrics"]["log_loss"]) == (0, 0)


@pytest.mark.usefixtures("few_simulations")
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("ece", lambda seed: draw(300, seed)),
        ("class_balanced_ece", lambda seed: draw_at_mix(1000, seed)),
    ],
)
def test_a_calibrated_model_shows_about_what_chance_predicts(name, make):
    """Of 30 calibrated models, the errors average to the chance value, and few exceed `upper`."""
    errors, means, exceeded = [], [], 0
    for seed in range(30):
        probabilities, references = make(seed)
        found = metrics.measure_calibration(probabilities, references)
        errors.append(found["metrics"][name])
        means.append(found["chance"][name]["mean"])
        exceeded += errors[-1] > found["chance"][name]["upper"]
    assert np.mean(errors) == pytest.approx(np.mean(means), rel=0.1)
    assert exceeded <= 5
    assert np.mean(means) > 0.02  # a small sample is never at zero


def test_each_class_weighs_the_same():
    """The class-balanced error is the plain one of as many copies of the rare images."""
    probabilities, references = draw_at_mix(400)
    counts = np.bincount(references, minlength=CLASSES)
    assert counts.min() > 0
    copies = np.repeat(np.arange(400), (np.lcm.reduce(counts) // counts)[references])
    is_right = metrics.answered_right(probabilities, references)
    expected = oracle_ece(probabilities.max(axis=1)[copies], is_right[copies])
    assert metrics.class_balanced_ece(probabilities, references) == pytest.approx(expected)


def test_a_tie_is_wrong():
    probabilities = np.array([[0.5, 0.5, 0], [0.2, 0.4, 0.4], [0.2, 0.6, 0.2]])
    found = metrics.answered_right(probabilities, np.array([0, 0, 1]))
    assert found.tolist() == [False, False, True]


def test_promised_shares_are_judged_by_scikit_learns_curve_too():
    generator = np.random.default_rng(0)
    shares = generator.uniform(0.2, 1, 700)
    is_right = generator.random(700) < shares**2
    found = metrics.measure_reliability(shares, is_right)
    assert found["metrics"]["ece"] == pytest.approx(oracle_ece(shares, is_right), abs=1e-12)
    assert found["metrics"]["brier"] == pytest.approx(brier_score_loss(is_right, shares))
    assert found["metrics"]["ece"] > found["chance"]["ece"]["upper"]
    kept = metrics.measure_reliability(shares, generator.random(700) < shares)
    assert kept["metrics"]["ece"] < kept["chance"]["ece"]["upper"]
