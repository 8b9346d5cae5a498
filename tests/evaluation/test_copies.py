import dataclasses

import numpy as np
import pytest
from PIL import Image

from hf_lesion.errors import InputError
from hf_lesion.evaluation import copies
from hf_lesion.evaluation.scoring import EvaluationSet

GENERATOR = np.random.default_rng(0)


def build_set(kinds, references=None, sources=None):
    count = len(kinds)
    return EvaluationSet(
        name="validation",
        image_ids=tuple(map(str, range(count))),
        references=np.asarray(references or [0] * count),
        lesion_ids=None,
        source="data",
        fingerprint="",
        load=lambda index: Image.new("RGB", (2, 2)),
        groups={"copy": tuple(kinds), "dataset": tuple(sources or ["a"] * count)},
    )


def test_sharp_images_are_told_by_the_column():
    assert copies.is_sharp(build_set(["sharp", "soft", "sharp"])).tolist() == [True, False, True]


def test_a_set_of_one_kind_is_refused():
    with pytest.raises(InputError, match=r"^All images of data \(validation\) are of one kind; "):
        copies.is_sharp(build_set(["sharp", "sharp"]))
    without = dataclasses.replace(build_set(["sharp"]), groups={})
    with pytest.raises(InputError, match=r"^data has no column copy: .* --sharper FOLDER\.$"):
        copies.is_sharp(without)


@pytest.mark.parametrize(("strength", "low", "high"), [(0.0, 0.42, 0.58), (1.5, 0.8, 0.95)])
def test_the_probe_finds_what_is_in_the_features_and_nothing_else(strength, low, high):
    sharp = GENERATOR.random(1200) < 0.6
    features = GENERATOR.normal(size=(1200, 20)).astype(np.float32)
    features[:, 3] += strength * sharp
    scores = copies.probe(features[:800], sharp[:800], features[800:])
    found = copies.describe_scores({"features": scores}, sharp[800:], None)["features"]
    assert low < found["auroc"] < high
    assert found["interval"][0] < found["auroc"] < found["interval"][1]


def test_shares_come_from_train_and_an_unseen_kind_gets_the_overall_one():
    shares = copies.share_by_kind(
        ["nv", "nv", "mel", "mel"], np.array([True, True, True, False]), ["mel", "nv", "df"]
    )
    assert shares.tolist() == [0.5, 1.0, 0.75]


def test_what_is_known_without_a_look():
    images = build_set(["sharp", "soft"], references=[5, 4], sources=["vidir", "rosendahl"])
    assert copies.KINDS["diagnosis"](images) == [5, 4]
    assert copies.KINDS["diagnosis_and_source"](images) == [(5, "vidir"), (4, "rosendahl")]


def test_training_images_are_chosen_once_and_for_all():
    images = build_set(["sharp", "soft"] * 20, references=[i % 7 for i in range(40)])
    chosen, again = (copies.choose_train(images, 9) for _ in range(2))
    assert chosen.image_ids == again.image_ids
    assert len(set(chosen.image_ids)) == 9
    rows = [int(name) for name in chosen.image_ids]
    assert chosen.references.tolist() == [row % 7 for row in rows]
    assert chosen.groups["copy"] == tuple("soft" if row % 2 else "sharp" for row in rows)
    assert copies.choose_train(images, 99).image_ids == images.image_ids


def test_pairs_are_the_sharper_copies_and_the_same_images_soft():
    sharp = build_set(["soft", "sharp", "sharp"])
    soft = dataclasses.replace(build_set(["soft"] * 4), image_ids=("2", "0", "1", "9"), groups={})
    assert copies.pair_rows(sharp, soft) == [(1, 2), (2, 0)]
    other = dataclasses.replace(soft, image_ids=("2", "0", "7", "9"))
    with pytest.raises(InputError, match=r"but lacks 1 images or has copies itself\."):
        copies.pair_rows(sharp, other)
    with pytest.raises(InputError, match=r"but lacks 0 images or has copies itself\."):
        copies.pair_rows(sharp, dataclasses.replace(soft, groups=sharp.groups))


def test_a_model_that_takes_sharpness_for_a_diagnosis_shifts():
    references = np.arange(70) % 7
    soft = GENERATOR.dirichlet(np.ones(7), 70)
    sharp = 0.9 * soft
    sharp[:, 5] += 0.1  # everything looks a little more like a nevus
    found = copies.describe_pairs(sharp, soft, references, None)
    assert found["images"] == 70
    change = (sharp - soft).mean(axis=0)
    assert [entry["mean"] for entry in found["shift"].values()] == pytest.approx(change)
    assert found["shift"]["nv"]["interval"][0] > 0.05
    assert found["agreement"] == (sharp.argmax(1) == soft.argmax(1)).mean()
    same = copies.describe_pairs(soft, soft, references, None)
    assert same["agreement"] == 1
    assert same["shift"]["nv"] == {"mean": 0.0, "interval": [0.0, 0.0]}


def test_intervals_are_wider_where_lesions_repeat():
    sharp = np.tile(GENERATOR.random(60) < 0.5, 5)
    scores = np.tile(GENERATOR.normal(size=60), 5) + sharp
    lesions = [str(index % 60) for index in range(300)]
    by_lesion, by_image = (
        copies.describe_scores({"x": scores}, sharp, ids)["x"]["interval"]
        for ids in (lesions, None)
    )
    assert by_lesion[1] - by_lesion[0] > 1.5 * (by_image[1] - by_image[0])
