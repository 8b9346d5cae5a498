"""Folders of training runs that were scored on validation, for the tests of what compares them."""

import numpy as np
from shipped import few_resamples

from hf_lesion.evaluation.predictions import Predictions, write_predictions
from hf_lesion.evaluation.report.build import build_record
from hf_lesion.evaluation.report.record import REPORT
from hf_lesion.io.files import write_json
from hf_lesion.labels import CODES

IMAGES = 140


def write_run(folder, *, right, seed=42, images=IMAGES, **settings):
    """Write the records of a run that is right about a share of the images."""
    folder.mkdir()
    references = np.arange(images) % len(CODES)
    is_right = np.arange(images) % 10 < 10 * right
    answers = np.where(is_right, references, (references + 1) % len(CODES))
    predictions = Predictions(
        image_ids=tuple(f"ISIC_{index:07d}" for index in range(images)),
        references=references,
        probabilities=np.eye(len(CODES))[answers] * 0.9 + 0.1 / len(CODES),
        lesion_ids=tuple(f"HAM_{index // 2:07d}" for index in range(images)),
    )
    write_predictions(folder / "predictions_validation.csv", predictions)
    with few_resamples():
        record = build_record(predictions, data={}, model={"name": folder.name}, size=(128, 128))
    write_json(folder / REPORT, {"validation": record})
    recipe = {"augmentation": "standard", "checkpoint_minutes": 10.0, **settings}
    training = {
        "model": {"model": "resnet18", "init_weights": f"/somewhere/{folder.name}"},
        "recipe": recipe,
        "trainer": {"learning_rate": 1e-3, "output_dir": str(folder)},
        "epochs": 2.0,
        "seed": seed,
        "hours_of_last_leg": 0.25,
    }
    write_json(folder / "training.json", training)
    return folder
