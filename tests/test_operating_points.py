import io
import json
import re

import numpy as np
import pytest

from hf_lesion.errors import InputError
from hf_lesion.labels import CODES, LABEL2ID, MALIGNANT
from hf_lesion.operating_points import (
    FILE,
    OperatingPoint,
    OperatingPoints,
    parse_operating_points,
    read_operating_points,
    sum_of,
    write_operating_points,
)
from hf_lesion.questions import POINTS


def point(codes=MALIGNANT, threshold=0.25):
    return OperatingPoint(
        codes=codes,
        threshold=threshold,
        target_sensitivity=0.9,
        images=100,
        positives=20,
        sensitivity=0.9,
        specificity=0.6,
    )


def points():
    found = {name: point(codes) for name, codes in POINTS.items()}
    return OperatingPoints(found, "a" * 64, {"source": "ham", "split": "validation"})


def test_what_was_written_is_read_again(tmp_path):
    assert read_operating_points(tmp_path) is None
    path = write_operating_points(tmp_path, points())
    assert path == tmp_path / FILE
    assert read_operating_points(tmp_path) == points()
    assert set(json.loads(path.read_text())["points"]) == {"malignant", "melanoma"}


def test_the_malignant_classes_are_added_and_the_threshold_itself_is_flagged():
    probabilities = np.full((3, 7), 0.0)
    probabilities[0, [LABEL2ID[code] for code in ("akiec", "bcc", "mel")]] = 0.0625, 0.125, 0.0625
    probabilities[1, LABEL2ID["nv"]] = 1
    probabilities[2, LABEL2ID["mel"]] = 0.24
    assert sum_of(probabilities, MALIGNANT).tolist() == [0.25, 0.0, 0.24]
    assert point().flags(probabilities).tolist() == [True, False, False]
    assert set(MALIGNANT) == {"akiec", "bcc", "mel"} < set(CODES)


def changed(change):
    record = {
        "schema_version": 1,
        "weights_sha256": "a" * 64,
        "fitted_on": {},
        "points": {"melanoma": {**vars(point()), "codes": ["mel"]}},
    }
    change(record)
    return json.dumps(record)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "JSONDecodeError: "),
        ("[]", "TypeError: "),
        (changed(lambda record: record.update(schema_version=2)), "ValueError: schema_version 2"),
        (changed(lambda record: record.pop("fitted_on")), "KeyError: 'fitted_on'"),
        (changed(lambda record: record["points"]["melanoma"].pop("threshold")), "TypeError: "),
        (
            changed(lambda record: record["points"]["melanoma"].update(codes=["wart"])),
            "ValueError: unknown classes wart",
        ),
    ],
)
def test_what_is_no_record_is_refused(text, reason):
    expected = rf"^o\.json holds no operating points \({re.escape(reason)}.*\. Make it again"
    with pytest.raises(InputError, match=expected):
        parse_operating_points(io.StringIO(text), source="o.json")
