"""Model folders with records as they ship, for the tests of what is rendered from them."""

import contextlib
import copy
import functools
import hashlib
import json

import numpy as np
import pytest

from hf_lesion.calibration import metrics
from hf_lesion.calibration.fit import Fits, fit_point
from hf_lesion.calibration.reliability import Reliability
from hf_lesion.calibration.temperature import Calibration
from hf_lesion.calibration.thresholds import OperatingPoints
from hf_lesion.evaluation import bootstrap
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.evaluation.report.build import build_record
from hf_lesion.evaluation.report.record import write_record
from hf_lesion.labels import CODES, LABEL_GROUPS
from hf_lesion.models.preprocessing import build_stock_processor, cnn_preprocessing

COUNT = 140
DESCRIPTION = "HAM10000, 140 of its 10,015 images, 256×256 px"
WEIGHTS = b"0" * 1_500_000
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


def answer(right):
    """Answers that are right about a share of 140 images, and their groups."""
    generator = np.random.default_rng(0)
    references = np.arange(COUNT) % 7
    answers = np.where(generator.random(COUNT) < right, references, (references + 1) % 7)
    probabilities = generator.dirichlet(np.ones(7), COUNT) * 0.3
    probabilities[np.arange(COUNT), answers] += 0.7
    predictions = Predictions(
        image_ids=tuple(map(str, range(COUNT))),
        references=references,
        probabilities=probabilities,
        lesion_ids=tuple(str(index // 2) for index in range(COUNT)),
    )
    groups = {
        "sex": tuple("female" if index < 120 else "male" for index in range(COUNT)),
    }
    return predictions, groups


def fit(predictions, temperature=1.25):
    """What would have been fitted on validation."""
    origin = {
        "weights_sha256": SHA256,
        "fitted_on": {"source": "ham10000", "split": "validation", "fingerprint": "f" * 64},
    }
    summary = {"balanced_accuracy": 0.5, "ece": 0.05}
    offsets = dict(zip(CODES, (0.3, 0.2, 0.1, 0.4, 0.1, 0.0, 0.4), strict=True))
    points = {
        name: fit_point(predictions.probabilities, predictions.references, name, target=0.9)
        for name in LABEL_GROUPS
    }
    return Fits(
        Calibration(
            temperature=temperature,
            logit_adjustment=0.1,
            offsets=offsets,
            cross_validated=dict.fromkeys(("trained", "calibrated"), summary),
            **origin,
        ),
        OperatingPoints(points=points, **origin),
        Reliability(scores=(0.5, 0.9), shares=(0.3, 0.7), cross_validated={}, **origin),
    )


@contextlib.contextmanager
def few_resamples():
    """Records that are built in a moment, with intervals that are good enough to be shown."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "RESAMPLES", 100)
        patch.setattr(metrics, "SIMULATIONS", 50)
        yield


@functools.cache
def _records(name, right):
    predictions, groups = answer(right)
    origin = {"source": "ham10000", "description": DESCRIPTION, "fingerprint": "f" * 64}
    with few_resamples():
        record = build_record(
            predictions,
            data=origin,
            model={"name": name, "weights_sha256": SHA256},
            size=(128, 128),
            crop_mode="centre",
            groups=groups,
            fits=fit(predictions),
        )
    return {
        split: copy.deepcopy(record) | {"data": origin | {"split": split}}
        for split in ("test", "validation")
    }


def records(name="a", right=0.5):
    """Return the records of a model on both splits, built once."""
    return copy.deepcopy(_records(name, right))


TRAINING = {
    "parameters": 1_234_567,
    "model": {"model": "resnet18", "image_size": 128, "pretrained": False},
    "recipe": {
        "dataset": "data/ham10000",
        "augmentation": "strong",
        "balance_copies": True,  # a flag of earlier versions
        "teacher": "runs/teacher2",
    },
    "dataset": {
        "folder": "data/ham10000",
        "description": DESCRIPTION,
        "fingerprint": "0123456789abcdef",
        "images": {"train": 7026, "validation": 1494, "test": 1495},
    },
    "epochs": 3.0,
    "steps": 660,
    "effective_batch_size": 32,
    "device": "cpu",
    "seed": 42,
    "hours_of_last_leg": 0.305,
    "legs": [{}, {}],
    "provenance": {"machine": {"platform": "Linux", "python": "3.11.7"}},
}
# Of gate.json and quantisation.json.
GATE = {
    "model": {"name": "a"},
    "real": {
        "test": {"images": 10, "refused": 0.04, "unsure": 0.2, "right_unsure": 0.1},
        "test, retaken": {"images": 10, "refused": 0.1},
    },
    "strange": {"everyday photos": {"images": 60, "refused": 0.975}},
}
LOSS = {
    "images": 1495,
    "same_answer": 0.984,
    "differences": {
        "balanced_accuracy": (-0.012, -0.02, 0.001),
        "accuracy": (0.001, -0.003, 0.004),
    },
    "bytes": {"full": 3_074_000, "quantised": 809_000},
    "data": {"split": "test"},
}


def write_model(models, name, *, right):
    """Write the records of a model that is right about a share of the images."""
    folder = models / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    build_stock_processor(cnn_preprocessing(128)).save_pretrained(folder)
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    (folder / "training.json").write_text(json.dumps(TRAINING))
    for split, record in records(name, right).items():
        write_record(folder, split, record)
    return folder
