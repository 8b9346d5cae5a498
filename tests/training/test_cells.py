import numpy as np
import pytest

from hf_lesion.data.protocols import Protocol, pool_splits
from hf_lesion.errors import InputError
from hf_lesion.training.cells import train_cell

OPTIONS = {"model": "test_resnet", "image_size": 32, "max_steps": 2, "seed": 0}


def test_a_cell_answers_the_tested_rows_and_leaves_nothing(sample_dataset, tmp_path):
    rows, frame = pool_splits(sample_dataset)
    numbers = np.arange(len(frame))
    protocol = Protocol(np.concatenate([numbers[:60], numbers[:9]]), numbers[60:])
    found, again = (
        train_cell(rows, protocol, OPTIONS, scratch=tmp_path / "scratch") for _ in range(2)
    )
    assert found.probabilities.shape == (len(frame) - 60, 7)
    assert np.allclose(found.probabilities.sum(axis=1), 1)
    assert found.probabilities.std(axis=0).max() > 0
    assert (found.steps, found.images) == (2, 69)
    assert np.array_equal(found.probabilities, again.probabilities)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_an_unknown_option_is_refused(sample_dataset, tmp_path):
    rows, _ = pool_splits(sample_dataset)
    protocol = Protocol(np.arange(4), np.arange(4))
    with pytest.raises(InputError, match=r"^Unknown arguments: --speed fast\."):
        train_cell(rows, protocol, {"speed": "fast"}, scratch=tmp_path)
