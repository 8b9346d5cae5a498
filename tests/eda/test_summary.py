"""The counts that a page shows: those of the dataset, and no image or patient among them."""

import json
from pathlib import Path

from hf_lesion.eda.summary import Audit, DatasetSummary, summarise
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


def test_counts_are_those_of_the_frame_without_any_ids(frame, bare):
    found = summarise(frame, fingerprint="f", audits=[Audit(**OWN)])
    text = found.model_dump_json()
    assert not [name for name in [*frame["image_id"], *frame["lesion_id"]] if f'"{name}"' in text]
    assert found.images == len(frame)
    assert found.classes == {code: int((frame["dx"] == code).sum()) for code in CODES}
    assert sum(found.splits.values()) == len(frame)
    assert sum(int(n) * count for n, count in found.images_per_lesion.items()) == len(frame)
    for table in found.tables.values():
        assert sum(sum(row.values()) for row in table.values()) == len(frame)
    for code, quantiles in found.age.items():
        assert list(quantiles) == sorted(quantiles)
        assert quantiles[2] == frame.loc[frame["dx"] == code, "age"].median()
    part = summarise(bare[bare["dx"] == "nv"], fingerprint="f")
    assert (part.age, part.classes["mel"], part.price) == ({}, 0, [])


def test_a_random_split_counts_by_the_mean_of_its_draws(frame):
    own, drawn = summarise(frame, fingerprint="f", audits=[Audit(**OWN), Audit(**DRAWN)]).leakage
    assert (own.scheme, own.share, own.draws) == (None, 0.0, 1)
    assert (drawn.scheme, drawn.share, drawn.draws) == ("image-level", 0.4, 20)


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
