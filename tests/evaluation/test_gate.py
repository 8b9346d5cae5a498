import json
from pathlib import Path

import numpy as np
import pytest

from hf_lesion.decision import GATE, read_gate
from hf_lesion.evaluation import gate as fitting
from hf_lesion.evaluation.gate_figures import draw_gate
from hf_lesion.evaluation.report.build import weights_sha256

MODELS = Path(__file__).resolve().parents[2] / "space" / "models"

COUNT, WIDTH = 600, 20
MIX = np.random.default_rng(5).normal(size=(WIDTH, WIDTH))


def draw_features(seed, count=COUNT, shift=0.0):
    """Correlated features; a shift moves them where the fitted ones hardly vary."""
    raw = np.random.default_rng(seed).normal(size=(count, WIDTH)) * np.linspace(3, 0.3, WIDTH)
    raw[:, -3:] += shift
    return (raw @ MIX).astype(np.float32)


def build_seen(features, references=None, sharpness=3.0):
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(len(features), 7)) * sharpness
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return fitting.Seen(probabilities, {"colours": features, "noise": features * 0 + 1})


@pytest.fixture(scope="module")
def lesions():
    return [str(index // 2) for index in range(COUNT)]


@pytest.fixture(scope="module")
def gate(lesions):
    blocks = {"colours": draw_features(0)}
    return fitting.fit_gate([blocks], lesions, ("colours",))


def test_new_images_of_the_same_kind_are_refused_about_as_often_as_wanted(gate):
    share = fitting.refused(gate, build_seen(draw_features(1, 4000)))
    assert 0.5 * fitting.REFUSED_SHARE < share < 2 * fitting.REFUSED_SHARE


def test_images_of_another_kind_are_refused(gate):
    assert fitting.refused(gate, build_seen(draw_features(2, shift=3.0))) > 0.95


def test_the_reference_is_of_images_that_the_fit_did_not_see(lesions):
    few = {"colours": draw_features(0)[:60]}
    gate = fitting.fit_gate([few], lesions[:60], ("colours",))
    own = gate.distances(few["colours"])
    assert np.median(gate.reference.numpy()) > np.median(own)


def test_versions_of_an_image_are_fitted_together(lesions):
    blocks = [{"colours": draw_features(0)}, {"colours": draw_features(0) + 0.5}]
    gate = fitting.fit_gate(blocks, lesions, ("colours",))
    assert len(gate.reference) == fitting.REFERENCES
    assert fitting.refused(gate, build_seen(draw_features(1) + 0.5)) < 0.1


def test_the_candidate_with_the_best_worst_kind_is_chosen(gate, lesions):
    blind = fitting.fit_gate([{"noise": draw_features(3)}], lesions, ("noise",))
    strange = build_seen(draw_features(2, shift=3.0))
    strange.blocks["noise"] = draw_features(4)
    best, shares = fitting.choose_gate({"blind": blind, "seeing": gate}, {"a": strange})
    assert best == "seeing"
    assert shares["seeing"]["a"] > 0.95 > 0.2 > shares["blind"]["a"]


def test_unsure_is_where_answers_are_more_often_wrong_than_right():
    generator = np.random.default_rng(0)
    sure = generator.permutation(np.linspace(0.51, 0.99, 2000))
    probabilities = np.stack([sure, 1 - sure], axis=1)
    right = generator.random(2000) < np.where(sure < 0.7, 0.3, 0.9)
    below = fitting.fit_unsure(probabilities, np.where(right, 0, 1))
    assert below == pytest.approx(0.7, abs=0.02)
    assert fitting.fit_unsure(probabilities, np.zeros(2000, int)) == 0
    assert fitting.fit_unsure(probabilities, np.ones(2000, int)) == 1


def test_verdicts_are_counted_and_rates_kept(gate):
    seen = build_seen(draw_features(1))
    references = np.where(
        np.arange(COUNT) % 2, seen.probabilities.argmax(axis=1), seen.probabilities.argmin(axis=1)
    )
    half = float(np.median(seen.probabilities.max(axis=1)))
    found = fitting.describe_verdicts(fitting.replace(gate, unsure_below=half), seen, references)
    assert found["refused"] == fitting.refused(gate, seen)
    assert found["unsure"] == pytest.approx(0.5 * (1 - found["refused"]), abs=0.03)
    assert found["accuracy"] == 0.5
    assert 0.4 < found["right_unsure"] < 0.6
    kept = fitting.with_rates(gate, found)
    assert kept.rates == {"strange": found["refused"], "unsure": found["right_unsure"]}
    assert "unsure" not in fitting.with_rates(gate, found | {"right_unsure": float("nan")}).rates


def test_candidates_use_colours_and_layers_of_every_depth():
    found = fitting.candidates(("colours", "a", "b", "c", "head"))
    assert found == {
        "colours": ("colours",),
        "penultimate": ("colours", "head"),
        "first two layers": ("colours", "a", "b"),
        "second and third layer": ("colours", "b", "c"),
    }
    assert list(fitting.candidates(("colours", "head"))) == ["colours", "penultimate"]


def test_the_figure_has_a_bar_for_every_kind():
    shares = {"images": 10, "refused": 0.04}
    record = {
        "model": {"name": "m"},
        "real": {"test": shares, "test, retaken": shares},
        "strange": {"photos": {"images": 60, "refused": 0.98}},
    }
    axes = draw_gate(record).axes[0]
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    assert labels == ["photos (60)", "test, retaken (10)", "test (10)"]
    assert [bar.get_width() for bar in axes.patches] == [0.98, 0.04, 0.04]


@pytest.mark.parametrize("file", sorted(MODELS.glob("*/gate.json")), ids=lambda f: f.parent.name)
def test_a_shipped_gate_is_of_the_weights_beside_it_and_says_what_was_measured(file):
    record, gate = json.loads(file.read_text()), read_gate(file.parent / GATE)
    assert record["model"]["weights_sha256"] == weights_sha256(file.parent)
    assert gate.inputs == tuple(record["inputs"])
    assert gate.rates["strange"] == record["real"]["test"]["refused"]
    assert gate.refused_below == record["refused_below"]
