import numpy as np
import pandas as pd
import pytest

from hf_lesion.data.metadata import read_metadata
from hf_lesion.data.splits import FRACTIONS, SPLITS, split_by_lesion
from hf_lesion.errors import InputError
from hf_lesion.labels import CODES


def draw_frame(lesions_of, seed=0):
    """Images of lesions: one to three each, in an order that mixes lesions and diagnoses."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"{dx}_{lesion}", f"{dx}_{lesion}_{image}", dx)
        for dx, lesions in lesions_of.items()
        for lesion in range(lesions)
        for image in range(rng.integers(1, 4))
    ]
    frame = pd.DataFrame(rows, columns=["lesion_id", "image_id", "dx"])
    return frame.sample(frac=1, random_state=seed)


@pytest.fixture(scope="module")
def frame():
    return draw_frame(dict(zip(CODES, (30, 40, 60, 12, 80, 400, 20), strict=True)))


def error_of(frame, **options):
    with pytest.raises(InputError) as caught:
        split_by_lesion(frame, **options)
    return str(caught.value)


def test_no_lesion_crosses_and_every_image_has_a_split(frame):
    splits = split_by_lesion(frame, seed=3)
    assert splits.index.equals(frame.index)
    assert set(splits) == set(SPLITS)
    assert (splits.groupby(frame["lesion_id"]).nunique() == 1).all()


def test_fractions_hold_for_the_lesions_of_each_diagnosis(frame):
    lesions = frame.assign(split=split_by_lesion(frame)).drop_duplicates("lesion_id")
    counts = pd.crosstab(lesions["dx"], lesions["split"])[list(SPLITS)]
    expected = counts.sum(axis=1).to_numpy()[:, None] * np.array(FRACTIONS)
    assert (counts - expected).abs().to_numpy().max() <= 1.5
    assert (counts.to_numpy() > 0).all()


def test_same_seed_same_split_whatever_the_order_of_rows(frame):
    first = split_by_lesion(frame, seed=1)
    shuffled = frame.sample(frac=1, random_state=9)
    assert split_by_lesion(shuffled, seed=1).sort_index().equals(first.sort_index())
    assert not split_by_lesion(frame, seed=2).equals(first)


def test_other_fractions(frame):
    lesions = frame.drop_duplicates("lesion_id")
    shares = split_by_lesion(lesions, fractions=(0.5, 0.2, 0.3)).value_counts(normalize=True)
    assert shares[list(SPLITS)].to_numpy() == pytest.approx([0.5, 0.2, 0.3], abs=0.01)


@pytest.mark.parametrize("few", [1, 2, 3])
def test_too_few_lesions(few):
    assert error_of(draw_frame({"nv": 100, "mel": 50, "df": few})) == (
        "Too few lesions to put each diagnosis into train, validation and test by 0.7 0.15 0.15: "
        f"df {few}. Give about 8 lesions of each diagnosis, or pass other --fractions."
    )


@pytest.mark.parametrize("seed", range(20))
def test_the_number_of_lesions_that_the_error_asks_for_suffices(seed):
    frame = draw_frame(dict.fromkeys(CODES, 8), seed)
    table = pd.crosstab(frame["dx"], split_by_lesion(frame, seed=seed))
    assert (table.to_numpy() > 0).all()


@pytest.mark.parametrize(
    ("fractions", "shown"),
    [
        ((0.7, 0.2, 0.2), "0.7 0.2 0.2"),
        ((0.8, 0.2, 0.0), "0.8 0.2 0"),
        ((1.2, -0.1, -0.1), "1.2 -0.1 -0.1"),
        ((float("nan"), 0.1, 0.1), "nan 0.1 0.1"),
        ((0.5, 0.5), "0.5 0.5"),
    ],
)
def test_fractions_out_of_range(frame, fractions, shown):
    assert error_of(frame, fractions=fractions) == (
        "Expected fractions of train, validation and test between 0 and 1 with sum 1; "
        f"came {shown}."
    )


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_out_of_range(frame, seed):
    assert error_of(frame, seed=seed) == f"Expected a seed from 0 to 4294967295; came {seed}."


@pytest.mark.real_data
def test_real_lesions_are_split_as_asked(pytestconfig):
    source = pytestconfig.rootpath.parent / "shared" / "data" / "HAM10000"
    frame = read_metadata(source / "HAM10000_metadata.csv")
    frame["split"] = split_by_lesion(frame)
    assert (frame.groupby("lesion_id")["split"].nunique() == 1).all()
    lesions = frame.drop_duplicates("lesion_id")
    counts = pd.crosstab(lesions["dx"], lesions["split"])[list(SPLITS)]
    expected = counts.sum(axis=1).to_numpy()[:, None] * np.array(FRACTIONS)
    assert (counts - expected).abs().to_numpy().max() < 1.5
    assert counts.sum().to_list() == [5230, 1120, 1120]
