"""The counts that a page shows: those of the dataset, and no image or patient among them."""

import json
from pathlib import Path

import pytest

from hf_lesion.eda.summary import Audit, DatasetSummary, summarise
from hf_lesion.errors import InputError
from hf_lesion.io.records import parse_record
from hf_lesion.labels import CODES

ROOT = Path(__file__).resolve().parents[2]
OWN = {
    "scheme": None,
    "leaks": False,
    "test_rows_seen": {"rows": 10, "seen": 0, "share": 0.0},
    "fingerprint": "f",
}
DRAWN = {
    "scheme": {"name": "image-level", "average": {"draws": 20, "share": {"mean": 0.4}}},
    "leaks": True,
    "test_rows_seen": {"rows": 10, "seen": 5, "share": 0.5},
    "fingerprint": "f",
}


def test_counts_are_those_of_the_frame(frame):
    found = summarise(frame, fingerprint="f")
    assert found.images == len(frame)
    assert found.classes == {code: int((frame["dx"] == code).sum()) for code in CODES}
    assert sum(found.splits.values()) == len(frame)
    assert sum(int(n) * count for n, count in found.images_per_lesion.items()) == len(frame)
    for table in found.tables.values():
        assert sum(sum(row.values()) for row in table.values()) == len(frame)
    for code, quantiles in found.age.items():
        assert list(quantiles) == sorted(quantiles)
        assert quantiles[2] == frame.loc[frame["dx"] == code, "age"].median()


def test_an_unknown_age_and_an_absent_class_are_left_out(bare):
    assert summarise(bare, fingerprint="f").age == {}
    part = summarise(bare[bare["dx"] == "nv"], fingerprint="f")
    assert part.classes["mel"] == 0


def test_it_names_no_image_and_no_lesion(frame):
    text = summarise(frame, fingerprint="f", audits=[Audit(**OWN)]).model_dump_json()
    assert not [name for name in [*frame["image_id"], *frame["lesion_id"]] if f'"{name}"' in text]


def test_a_random_split_counts_by_the_mean_of_its_draws(frame):
    own, drawn = summarise(frame, fingerprint="f", audits=[Audit(**OWN), Audit(**DRAWN)]).leakage
    assert (own.scheme, own.share, own.draws) == (None, 0.0, 1)
    assert (drawn.scheme, drawn.share, drawn.draws) == ("image-level", 0.4, 20)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"test_rows_seen": None}, "test_rows_seen"),
        ({"scheme": "x"}, "scheme"),
        ({"leaks": "so"}, "leaks"),
    ],
)
def test_a_damaged_audit_is_named_with_its_field(change, field):
    text = json.dumps({**OWN, **change})
    with pytest.raises(InputError, match=f"^leakage.json is not a valid record: {field}: .* Again"):
        parse_record(text, Audit, source="leakage.json", fix="Again.")


def test_the_price_of_the_leak_is_told_for_what_was_run(frame):
    measured = {"mean": 0.4, "interval": [0.3, 0.5]}
    cell = {"balanced_accuracy": measured}
    cells = {"leak-cnn-without": cell, "leak-cnn-with": {**cell, "difference": cell}}
    first, second = summarise(frame, fingerprint="f", recipes={"cells": cells}).price
    assert (first.balanced_accuracy, first.interval) == (0.4, (0.3, 0.5))
    assert first.difference is None
    assert second.difference == measured
    assert summarise(frame, fingerprint="f").price == []


def test_the_summary_that_ships_has_the_published_comparison(frame):
    shipped = json.loads((ROOT / "space" / "dataset.json").read_text())
    recipes = json.loads((ROOT / "reports" / "recipes.json").read_text())
    found = summarise(frame, fingerprint="f", recipes=recipes)
    assert found.model_dump(mode="json", exclude_unset=True)["price"] == shipped["price"]
    assert len(found.price) == 4


def test_the_summary_that_ships_is_of_all_of_ham10000():
    text = (ROOT / "space" / "dataset.json").read_text()
    found = DatasetSummary.model_validate_json(text)
    assert (found.images, found.lesions) == (10015, 7470)
    assert [audit.scheme for audit in found.leakage] == [None, "image-level", "copied-rows"]
    assert found.leakage[0].share == 0
    assert "ISIC_" not in text
    assert json.loads(text) == found.model_dump(mode="json", exclude_unset=True)
