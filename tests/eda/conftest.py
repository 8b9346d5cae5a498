"""The table of the drawn sample set, read once for all tests of the exploration."""

import pytest

from hf_lesion.eda.frame import read_frame


@pytest.fixture(scope="session")
def frame(sample_dataset):
    return read_frame(sample_dataset)


@pytest.fixture
def bare(frame):
    """The same without masks and metadata."""
    bare = frame.copy()
    parts = [f"{part}_{channel}" for part in ("lesion", "skin") for channel in "rgb"]
    bare[["area", "x", "y", *parts, "age"]] = float("nan")
    bare[["sex", "localization", "dataset", "dx_type", "lesion_id"]] = None
    return bare
