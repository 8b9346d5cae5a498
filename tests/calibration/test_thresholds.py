import json

import numpy as np
import pytest
from drawn import melanomas_and_nevi
from points import melanoma_points

from hf_lesion.calibration.fit import fit_point
from hf_lesion.calibration.thresholds import FILE, read_operating_points, sum_of
from hf_lesion.errors import InputError
from hf_lesion.labels import LABEL2ID, MALIGNANT


def test_a_threshold_of_unknown_classes_is_refused(tmp_path):
    record = melanoma_points("").model_dump()
    record["points"]["melanoma"]["codes"] = ["wart"]
    (tmp_path / FILE).write_text(json.dumps(record))
    said = (
        rf"{FILE} is not a valid record: points\.melanoma\.codes: .*unknown classes wart\. Fit it"
    )
    with pytest.raises(InputError, match=said):
        read_operating_points(tmp_path)


def test_the_malignant_classes_are_added_and_the_threshold_itself_is_flagged():
    probabilities = np.full((3, 7), 0.0)
    probabilities[0, [LABEL2ID[code] for code in MALIGNANT]] = 0.0625, 0.125, 0.0625
    probabilities[1, LABEL2ID["nv"]] = 1
    probabilities[2, LABEL2ID["mel"]] = 0.24
    assert sum_of(probabilities, MALIGNANT).tolist() == [0.25, 0.0, 0.24]
    point = melanoma_points("", threshold=0.25).points["melanoma"]
    malignant = point.model_copy(update={"codes": MALIGNANT})
    assert malignant.flags(probabilities).tolist() == [True, False, False]


def fit(melanomas, nevi, name, target):
    found = melanomas_and_nevi(melanomas, nevi)
    return fit_point(found.probabilities, found.references, name, target=target)


def test_the_threshold_is_the_highest_that_finds_enough_halfway_to_the_next_score():
    answers = [0.9, 0.8, 0.7, 0.6, 0.1], [0.65, 0.5, 0.3]
    point = fit(*answers, "melanoma", 0.8)
    assert point.threshold == pytest.approx((0.6 + 0.5) / 2)
    assert (point.sensitivity, point.specificity) == (0.8, pytest.approx(2 / 3))
    assert (point.images, point.positives, point.codes) == (8, 5, ("mel",))
    every = fit(*answers, "melanoma", 1.0)
    assert every.threshold == pytest.approx(0.05)
    assert (every.sensitivity, every.specificity) == (1, 0)


def test_a_set_without_the_disease_or_without_others_is_refused():
    with pytest.raises(
        InputError, match=r"^The melanoma threshold .* but 0 of 2 images are of mel"
    ):
        fit([], [0.1, 0.2], "melanoma", 0.9)
    with pytest.raises(InputError, match="but 2 of 2 images are of akiec, bcc, mel"):
        fit([0.1, 0.2], [], "malignant", 0.9)
