"""Small prepared datasets with one split, made by hand for the tests of their readers."""

import hashlib
import io
import json

import datasets
import numpy as np
import pandas as pd
from PIL import Image

from hf_lesion.data.record import fingerprint
from hf_lesion.labels import CODES


def draw_png(seed=0, size=(12, 8)):
    pixels = np.random.default_rng(seed).integers(255, size=(size[1], size[0], 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write_dataset(folder, *, names=CODES, labels=(0, 1), images=None, leave_out=(), split="test"):
    """Write a dataset of one image for each label, and a record that fits it."""
    images = images or [draw_png(seed) for seed in range(len(labels))]
    features = {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=list(names)),
        "image_id": datasets.Value("string"),
    }
    columns = {
        "image": [{"bytes": data, "path": None} for data in images],
        "label": list(labels),
        "image_id": [f"I{index}" for index in range(len(labels))],
    }
    kept = [name for name in columns if name not in leave_out]
    rows = datasets.Dataset.from_dict(
        {name: columns[name] for name in kept},
        features=datasets.Features({name: features[name] for name in kept}),
    )
    (folder / "data").mkdir(parents=True)
    rows.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    table = pd.DataFrame(
        {
            "image_id": columns["image_id"],
            "split": split,
            "label": [CODES[label] if label >= 0 else "" for label in labels],
            "sha256": [hashlib.sha256(data).hexdigest() for data in images],
        }
    )
    counts = {split: {code: list(table["label"]).count(code) for code in CODES}}
    record = {"fingerprint": fingerprint(table), "images": {split: len(labels)}, "counts": counts}
    (folder / "prepared.json").write_text(json.dumps(record))
    return folder
