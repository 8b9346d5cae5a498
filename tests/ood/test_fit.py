from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hf_lesion.evaluation.report.build import weights_sha256
from hf_lesion.ood import fit
from hf_lesion.ood.gate import GATE, read_gate, read_gate_record, stack

MODELS = Path(__file__).resolve().parents[2] / "space" / "models"
LAYERS = ("colours", "a", "b", "c", "head")
COUNT, WIDTH = 700, 20
MIX = np.random.default_rng(5).normal(size=(WIDTH, WIDTH))


def draw_features(seed, count, near=0.0, late=0.0):
    """Correlated features of an early layer, and of a later one; each may be shifted.

    The early shift is where features of dermoscopic images hardly vary.
    """
    rng = np.random.default_rng(seed)
    early = rng.normal(size=(count, WIDTH)) * np.linspace(3, 0.3, WIDTH)
    early[:, -3:] += near
    later = rng.normal(size=(count, 6)) + late
    return (early @ MIX).astype(np.float32), later.astype(np.float32)


def observe(seed, count=COUNT, **shifts):
    early, later = draw_features(seed, count, **shifts)
    rng = np.random.default_rng(seed + 1000)
    logits = rng.normal(size=(count, 7)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    features = {"colours": early, "a": later * 0, "b": later * 0, "c": later}
    features["head"] = np.full((count, 3), np.nan, np.float32)  # not an input
    right = rng.random(count) < probabilities.max(axis=1)
    references = np.where(right, probabilities.argmax(axis=1), probabilities.argmin(axis=1))
    groups = [f"{seed} {index // 2}" for index in range(count)]
    return fit.Observed(probabilities, features, groups, references)


def share_of(flags, groups):
    return flags.mean() - 0.1, flags.mean() + 0.1


@pytest.fixture(scope="module")
def photos():
    return observe(2, 200, late=1.5)


@pytest.fixture(scope="module")
def gate(photos):
    return fit.fit_gate(LAYERS, observe(0), {"photos": photos}, observe(1))


def rejected(gate, images):
    return gate.rejects(stack(images.features, gate.inputs)).mean()


def test_few_new_dermoscopic_images_are_rejected_and_most_others(gate):
    assert gate.inputs == ("colours", "a", "b", "c")  # not the penultimate features
    assert rejected(gate, observe(10, 4000)) < 0.06
    assert rejected(gate, observe(11, 400, late=1.5)) > 0.9
    # By the distance, a kind that the classifier never saw.
    unknown = observe(12, 400, near=4.0)
    assert rejected(gate, unknown) > 0.95
    features = stack(unknown.features, gate.inputs)
    assert (gate.classify(features) > 0).mean() < 0.5


def test_no_class_loses_many_images_to_the_threshold():
    # One class looks a little like the images to be rejected.
    held_out = observe(1)
    like_photos = held_out.references == 4
    held_out.features["c"][like_photos] += 0.8
    gate = fit.fit_gate(LAYERS, observe(0), {"photos": observe(2, 200, late=1.5)}, held_out)
    found = gate.classify(stack(held_out.features, gate.inputs)) > 0
    assert found[like_photos].mean() <= fit.BY_CLASSIFIER_OF_A_CLASS + 0.01
    assert found.mean() <= fit.BY_CLASSIFIER + 0.005


def test_each_source_of_other_images_weighs_alike():
    few, many = observe(3, 60, late=1.5), observe(4, 2000, near=4.0)
    gate = fit.fit_gate(LAYERS, observe(0), {"few": few, "many": many}, observe(1))
    assert rejected(gate, observe(13, 400, late=1.5)) > 0.8


def test_unsure_is_where_answers_are_more_often_wrong_than_right_but_not_too_often():
    rng = np.random.default_rng(0)

    def below(turn, right_below=0.3):
        confidence = rng.permutation(np.linspace(0.5, 1, 4000))
        right = rng.random(4000) < np.where(confidence < turn, right_below, 0.9)
        probabilities = np.stack([confidence, 1 - confidence], axis=1)
        return fit.fit_unsure(fit.Observed(probabilities, {}, (), np.where(right, 0, 1)))

    assert below(0.55) == pytest.approx(0.55, abs=0.005)
    # 40 % of the images are mostly wrong: only the least confident of them are called unsure.
    assert below(0.7) == pytest.approx(0.5 + fit.UNSURE_AT_MOST / 2, abs=0.005)
    assert below(0.7, right_below=0.8) == 0


def test_dermoscopic_images_are_counted_by_class_and_verdict(gate):
    images = observe(10)
    found = fit.measure_dermoscopic(gate, images, share_of)
    assert found.refused == rejected(gate, images)
    assert found.interval == (found.refused - 0.1, found.refused + 0.1)
    assert sum(one.images for one in found.by_class.values()) == found.images == COUNT
    counted = sum(one.images * one.refused for one in found.by_class.values())
    assert counted == pytest.approx(COUNT * found.refused)
    assert found.unsure == pytest.approx(fit.UNSURE_AT_MOST, abs=0.05)
    assert found.accuracy_unsure < found.accuracy < found.accuracy_accepted
    kept = fit.with_rates(gate, found)
    assert kept.rates == {"strange": found.refused, "unsure": found.right_unsure}
    assert (
        "unsure" not in fit.with_rates(gate, found.model_copy(update={"right_unsure": None})).rates
    )


def test_other_images_are_judged_by_gates_fitted_without_their_group_or_source(photos, monkeypatch):
    fitted, fit_gate = [], fit.fit_gate

    def spy(layers, dermoscopic, others, held_out):
        fitted.append({name: set(one.groups) for name, one in others.items()})
        return fit_gate(layers, dermoscopic, others, held_out)

    monkeypatch.setattr(fit, "fit_gate", spy)
    others = {"photos": [photos, photos], "far": [observe(5, 90, near=4.0)]}
    found = fit.measure_others(LAYERS, observe(0), others, observe(1), share_of)
    assert list(found) == ["photos", "photos, retaken", "far"]
    assert found["photos"] == found["photos, retaken"]
    assert found["photos"].refused > 0.8
    # The far ones are known by their distance, the photos by the classifier alone.
    assert found["photos"].refused_if_unknown < 0.5
    assert found["far"].refused_if_unknown > 0.9
    everyone = set(photos.groups)
    *folds, without_photos, without_far = fitted
    left_out = [everyone - fold["photos"] for fold in folds]
    assert sum(map(len, left_out)) == len(everyone) == len(set.union(*left_out))
    assert (set(without_photos), set(without_far)) == ({"far"}, {"photos"})


def test_the_record_says_what_was_fitted_and_what_is_unknown(photos):
    accepted, known = [observe(0), observe(0)], {"validation": observe(1)}
    drawn = {"drawn: text": [photos, photos], "drawn: skin": [photos, photos]}
    sources = fit.list_sources(accepted, {"phones": [photos, photos]} | drawn, known)
    found = [(one.name, one.images, one.versions) for one in sources]
    assert found[0] == ("train", 700, 2)
    assert found[1] == ("phones", 200, 2)
    assert found[-1] == ("validation", 700, 1)
    text = fit.summarise(sources)
    assert "700 dermoscopic images of the train split" in text
    assert "against 200 photos of phones and 400 drawn images of 2 kinds" in text
    assert "chosen on 700 images of validation." in text
    assert "No photos were provided" not in text
    assert "No photos were provided" in fit.summarise(fit.list_sources(accepted, drawn, known))


def test_photos_of_one_patient_are_one_group():
    assert fit.group_of("sub/PAT_104_1754_276") == fit.group_of("PAT_104_1755_9") == "PAT_104"
    assert fit.group_of("dress_000") == "dress_000"


def test_retaken_images_keep_nothing_of_how_they_were_stored():
    image = Image.effect_noise((300, 200), 60).convert("RGB")
    sizes = set()
    for seed in range(20):
        found = fit.retake(image, seed=seed)
        assert np.array_equal(found, fit.retake(image, seed=seed))
        assert fit.SIDES[0] <= min(found.size) < fit.SIDES[1]
        sizes.add(found.size)
    assert len(sizes) > 15


@pytest.mark.parametrize("folder", sorted(MODELS.glob("*/gate.json")), ids=lambda f: f.parent.name)
def test_a_shipped_gate_is_of_the_weights_next_to_it_and_says_what_was_measured(folder):
    folder = folder.parent
    record, gate = read_gate_record(folder), read_gate(folder / GATE)
    assert record.model.weights_sha256 == weights_sha256(folder)
    assert gate.inputs == tuple(record.inputs)
    assert gate.rates["strange"] == record.dermoscopic["test"].refused
    assert (gate.refused_below, gate.unsure_below) == (record.refused_below, record.unsure_below)
