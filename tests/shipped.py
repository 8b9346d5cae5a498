"""Model folders with records as they ship, for the tests of what is rendered from them."""

import json

import numpy as np

from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.evaluation.record import build_record
from hf_lesion.evaluation.report import write_record

COUNT = 140


def write_model(models, name, *, right, copies=True):
    """Write the records of a model that is right about a share of the images."""
    folder = models / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"0" * 1_500_000)
    (folder / "training.json").write_text(
        json.dumps({"parameters": 1_234_567, "model": {"model": "resnet18"}})
    )
    generator = np.random.default_rng(0)
    references = np.arange(COUNT) % 7
    answers = np.where(generator.random(COUNT) < right, references, (references + 1) % 7)
    probabilities = np.full((COUNT, 7), 0.05)
    probabilities[np.arange(COUNT), answers] = 0.7
    predictions = Predictions(
        image_ids=tuple(map(str, range(COUNT))),
        references=references,
        probabilities=probabilities,
        lesion_ids=tuple(str(index // 2) for index in range(COUNT)),
    )
    for split in ("test", "validation"):
        record = build_record(
            predictions,
            data={"source": "ham10000", "split": split},
            model={"name": name},
            size=(128, 128),
            groups={"copy": tuple("sharp" if index % 3 else "soft" for index in range(COUNT))},
        )
        write_record(folder, split, record)
    if copies:
        found = {"auroc": 0.75, "interval": [0.7, 0.8]}
        names = ("features", "diagnosis", "diagnosis_and_source")
        shift = {"nv": {"mean": 0.014, "interval": [-0.5, 0.25]}}
        record = {
            "copy": dict.fromkeys(names, found),
            "pairs": {"agreement": 0.875, "shift": shift},
        }
        (folder / "copies.json").write_text(json.dumps(record))
    return folder
