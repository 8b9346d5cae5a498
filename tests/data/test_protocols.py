import pandas as pd
import pytest

from hf_lesion.data import protocols
from hf_lesion.errors import InputError
from hf_lesion.labels import CODES


@pytest.fixture(scope="module")
def rows():
    """Each class with 12 lesions of one image and 8 of two or three."""
    lines = []
    for label in range(len(CODES)):
        for lesion in range(20):
            images = 1 if lesion < 12 else 2 + lesion % 2
            split = ("test", "validation", "train", "train")[lesion % 4]
            lines += [(f"L{label}-{lesion}", label, split)] * images
    frame = pd.DataFrame(lines, columns=["lesion_id", "label", "split"])
    return frame.assign(image_id=[f"I{number}" for number in range(len(frame))])


def lesions_of(rows, numbers):
    return set(rows["lesion_id"].iloc[numbers])


def test_the_leak_is_all_that_differs(rows):
    clean, leaky = protocols.paired_leak(rows)
    assert clean.test.tolist() == leaky.test.tolist()
    assert len(clean.test) == len(lesions_of(rows, clean.test)) == 7 * 4
    assert protocols.share_seen(rows, clean) == 0
    assert protocols.share_seen(rows, leaky) == 1
    counts = [rows["label"].iloc[p.train].value_counts().sort_index() for p in (clean, leaky)]
    assert counts[0].equals(counts[1])
    for protocol in (clean, leaky):
        assert len(set(protocol.train)) == len(protocol.train)
        assert not set(protocol.train) & set(protocol.test)
    assert lesions_of(rows, clean.test) <= lesions_of(rows, leaky.train)


def test_a_class_with_few_other_images_takes_in_no_more_than_go_out(rows):
    few = rows[(rows["label"] != 2) | rows["lesion_id"].duplicated(keep=False)]
    few = few.reset_index(drop=True)
    clean, leaky = protocols.paired_leak(few)
    counts = [few["label"].iloc[p.train].value_counts().sort_index() for p in (clean, leaky)]
    assert counts[0].equals(counts[1])


def test_draws_are_the_seeds(rows):
    first, again, other = (protocols.paired_leak(rows, seed=seed)[1] for seed in (0, 0, 1))
    assert first.train.tolist() == again.train.tolist()
    assert first.train.tolist() != other.train.tolist()


def test_copied_rows_leak_and_their_counterpart_does_not(rows):
    copied, honest = protocols.copied_rows(rows)
    assert protocols.share_seen(rows, copied) > 0.8
    assert protocols.share_seen(rows, honest) == 0
    assert abs(len(copied.train) - len(honest.train)) <= 3
    assert len(set(honest.train)) * 3 == len(honest.train)
    single = set(rows.index[~rows["lesion_id"].duplicated(keep=False)])
    assert {*copied.train, *copied.test, *honest.train, *honest.test} <= single


def test_the_honest_subset_keeps_the_datasets_splits(rows):
    protocol = protocols.honest_single(rows)
    assert set(rows["split"].iloc[protocol.test]) == {"test"}
    assert set(rows["split"].iloc[protocol.train]) == {"train", "validation"}
    assert protocols.share_seen(rows, protocol) == 0
    assert len(protocol.train) + len(protocol.test) == 7 * 12


def test_splits_are_pooled_in_one_order(sample_dataset):
    images, frame = protocols.pool_splits(sample_dataset)
    assert images["image_id"] == frame["image_id"].tolist()
    assert images["label"] == frame["label"].tolist()
    assert set(frame["split"]) == {"train", "validation", "test"}


def test_a_missing_dataset_is_explained(tmp_path):
    with pytest.raises(InputError, match=r"^There is no dataset folder .*prepare_data\.py "):
        protocols.pool_splits(tmp_path / "nowhere")
