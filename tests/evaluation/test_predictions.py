from dataclasses import replace

import numpy as np
import pytest

from hf_lesion.errors import InputError
from hf_lesion.evaluation.predictions import Predictions, read_predictions, write_predictions
from hf_lesion.labels import CODES


def draw(images, lesion_ids=None):
    generator = np.random.default_rng(0)
    scores = generator.dirichlet(np.full(7, 0.01), size=images).astype(np.float32)
    return Predictions(
        image_ids=tuple(f"{index:04}" for index in range(images)),
        references=generator.integers(7, size=images),
        probabilities=scores.astype(np.float64),
        lesion_ids=lesion_ids,
    )


@pytest.mark.parametrize("lesion_ids", [None, tuple(f"0{index}" for index in range(200))])
def test_what_was_written_is_read_to_the_last_bit(tmp_path, lesion_ids):
    predictions = draw(200, lesion_ids)
    write_predictions(tmp_path / "predictions.csv", predictions)
    header = (tmp_path / "predictions.csv").read_text().splitlines()[0]
    last = [] if lesion_ids is None else ["lesion_id"]
    assert header == ",".join(["image_id", "reference", *CODES, *last])
    found = read_predictions(tmp_path / "predictions.csv", predictions)
    assert found.image_ids == predictions.image_ids
    assert found.lesion_ids == lesion_ids
    assert found.references.tolist() == predictions.references.tolist()
    assert found.probabilities.tobytes() == predictions.probabilities.tobytes()


def test_predictions_of_other_images_or_none_are_refused(tmp_path):
    found = Predictions(("a", "b"), np.array([4, 5]), np.full((2, 7), 1 / 7), ("L", "M"))
    file = tmp_path / "predictions_test.csv"
    with pytest.raises(InputError, match=r"predictions_test\.csv not found\."):
        read_predictions(file, found)
    write_predictions(file, found)
    for other in (
        replace(found, image_ids=("a", "c")),
        replace(found, references=np.array([4, 4])),
    ):
        with pytest.raises(InputError, match="is of 2 images that are not the 2 to be scored"):
            read_predictions(file, other)
    file.write_text("image_id\na\n")
    with pytest.raises(InputError, match="holds no predictions: "):
        read_predictions(file, found)
