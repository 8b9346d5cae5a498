"""Evaluation sets: labelled images read one at a time, and a classifier run over them."""

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.evaluation.ground_truth import read_ground_truth
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.evaluation.subgroups import COLUMNS, name_values
from hf_lesion.inference import LesionClassifier
from hf_lesion.labels import CODES, LABEL2ID
from hf_lesion.pixels import lay_down, load_image

SUFFIXES = (".jpg", ".jpeg", ".png")
REQUIRED_COLUMNS = ("image", "label", "image_id")


@dataclass(frozen=True)
class EvaluationSet:
    """Labelled images that are read one at a time.

    Attributes:
        name: The split, or what the user calls this set.
        image_ids: N names.
        references: (N,) class ids.
        lesion_ids: N lesions, or None where they are unknown.
        source: The name of the folder or file that the references come from.
        fingerprint: Changes whenever an image or a reference changes.
        load: From an index below N to the image in RGB.
        groups: Columns of N values each whose values are to be measured apart.
    """

    name: str
    image_ids: tuple[str, ...]
    references: NDArray[np.int64]
    lesion_ids: tuple[str, ...] | None
    source: str
    fingerprint: str
    load: Callable[[int], Image.Image]
    groups: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)

    @property
    def origin(self) -> dict[str, str]:
        """What records keep of the images that they are of."""
        return {"source": self.source, "split": self.name, "fingerprint": self.fingerprint}


def read_split(folder: Path, split: str, *, fingerprint: str) -> EvaluationSet:
    """Read one split of a dataset that `scripts/prepare_data.py` made.

    Args:
        folder: The prepared dataset.
        split: Which of its splits.
        fingerprint: The dataset's.

    Raises:
        InputError: If there is no such dataset or split, a column is missing, an image has no
            label, or the label names are not `CODES`.
    """
    dataset = load_split(folder, split)
    _check_columns(dataset, folder)
    columns = dataset.select_columns([name for name in dataset.column_names if name != "image"])
    table = columns.with_format("numpy")
    references = np.asarray(table["label"][:], dtype=np.int64)
    image_ids = tuple(map(str, table["image_id"][:]))
    _check_labelled(references, image_ids, folder)
    lesion_ids = tuple(map(str, table["lesion_id"][:])) if "lesion_id" in columns.features else None
    stored = dataset.cast_column("image", datasets.Image(decode=False))
    return EvaluationSet(
        name=split,
        image_ids=image_ids,
        references=references,
        lesion_ids=lesion_ids,
        source=folder.resolve().name,
        fingerprint=fingerprint,
        load=lambda index: _decode(stored[index]["image"], image_ids[index]),
        groups={
            name: name_values(name, columns[name]) for name in COLUMNS if name in columns.features
        },
    )


def read_images(folder: Path, ground_truth: Path, *, name: str) -> EvaluationSet:
    """Read a folder of images, searched with its subfolders, and the CSV of their diagnoses.

    Images that the CSV does not name are left out. The fingerprint covers every image's bytes.

    Args:
        folder: Holds `<image_id>.jpg`, `.jpeg` or `.png`.
        ground_truth: As `parse_ground_truth`.
        name: What to call the set.

    Raises:
        InputError: If the CSV is malformed, or an image is missing or there twice.
    """
    truth = read_ground_truth(ground_truth)
    files = _find_images(folder, truth["image_id"].tolist())
    lesion_ids = tuple(truth["lesion_id"]) if "lesion_id" in truth else None
    return EvaluationSet(
        name=name,
        image_ids=tuple(truth["image_id"]),
        references=np.asarray(truth["dx"].map(LABEL2ID), dtype=np.int64),
        lesion_ids=lesion_ids,
        source=ground_truth.name,
        fingerprint=_fingerprint(truth, files),
        load=lambda index: load_image(files[index]),
        groups={name: name_values(name, truth[name].tolist()) for name in COLUMNS if name in truth},
    )


def take_images(evaluation_set: EvaluationSet, rows: Sequence[int]) -> EvaluationSet:
    """Return the images of these rows, in their order."""
    whole = evaluation_set
    lesions = whole.lesion_ids
    return replace(
        whole,
        image_ids=tuple(whole.image_ids[row] for row in rows),
        references=whole.references[list(rows)],
        lesion_ids=None if lesions is None else tuple(lesions[row] for row in rows),
        load=lambda index: whole.load(rows[index]),
        groups={name: tuple(values[row] for row in rows) for name, values in whole.groups.items()},
    )


def keep_source(evaluation_set: EvaluationSet, source: str) -> EvaluationSet:
    """Return the images of one source, under the set's name with the source's.

    Args:
        evaluation_set: With the group `dataset`, as HAM10000's metadata call the source.
        source: One of its values.

    Raises:
        InputError: If there is no such source.
    """
    values = evaluation_set.groups.get("dataset", ())
    if source not in values:
        known = list_offenders(sorted({value for value in values if value is not None}), 9)
        raise InputError(
            f"No {evaluation_set.name} image is of the source {source!r}; the sources are: "
            f"{known or 'not known in this dataset'}."
        )
    rows = [row for row, value in enumerate(values) if value == source]
    return replace(take_images(evaluation_set, rows), name=f"{evaluation_set.name}_{source}")


def draw_rows(total: int, count: int, *, seed: int = 0) -> list[int]:
    """Return `count` of so many rows, drawn by chance, in order; all where there are not more."""
    return sorted(np.random.default_rng(seed).permutation(total)[:count].tolist())


def load_batches(evaluation_set: EvaluationSet, batch_size: int) -> Iterator[list[Image.Image]]:
    """Yield all images in order, `batch_size` at a time."""
    count = len(evaluation_set.image_ids)
    for start in range(0, count, batch_size):
        yield [evaluation_set.load(row) for row in range(start, min(start + batch_size, count))]


def predict(
    classifier: LesionClassifier, evaluation_set: EvaluationSet, *, batch_size: int, views: int = 1
) -> Predictions:
    """Run the classifier over the set with a progress bar; one batch of images is in memory.

    Args:
        classifier: Gives (B, 7) probabilities of B images.
        evaluation_set: N images.
        batch_size: B.
        views: In how many of the eight ways to lay it down each image is shown; the answers are
            averaged.

    Raises:
        InputError: If an image can't be read.
    """

    def answer(images: list[Image.Image], *, batch_size: int) -> NDArray[np.float64]:
        shown = [[lay_down(image, view) for image in images] for view in range(views)]
        parts = [classifier.predict(laid, batch_size=batch_size) for laid in shown]
        return np.mean(parts, axis=0, dtype=np.float64)

    answers = over_batches(answer, evaluation_set, batch_size=batch_size)
    return Predictions(
        image_ids=evaluation_set.image_ids,
        references=evaluation_set.references,
        probabilities=answers,
        lesion_ids=evaluation_set.lesion_ids,
    )


def over_batches(
    function: Callable[..., NDArray[Any]], evaluation_set: EvaluationSet, *, batch_size: int
) -> NDArray[Any]:
    """Return the (N, ...) rows that a function of images gives, with a progress bar.

    Args:
        function: Takes a list of images and `batch_size`, gives one row for each image.
        evaluation_set: N images; those of one batch are in memory.
        batch_size: How many at once.

    Raises:
        InputError: If an image can't be read.
    """
    count = len(evaluation_set.image_ids)
    parts = []
    bar_name = f"Scoring {evaluation_set.name}"
    # No bar where nobody watches: a log keeps only the error line.
    with tqdm(total=count, desc=bar_name, unit="image", disable=None) as bar:
        for images in load_batches(evaluation_set, batch_size):
            parts.append(function(images, batch_size=batch_size))
            bar.update(len(images))
    return np.concatenate(parts)


def load_split(folder: Path, split: str) -> datasets.Dataset:
    """Load one split of a prepared dataset.

    Raises:
        InputError: If there is no such dataset or split.
    """
    # A folder that is not there would be looked up on the Hub.
    if not folder.is_dir():
        raise InputError(
            f"There is no dataset folder {folder}. Make one with scripts/prepare_data.py."
        )
    try:
        builder = datasets.load_dataset_builder(str(folder))
    except (FileNotFoundError, ValueError) as error:
        raise InputError(
            f"{folder} holds no dataset. Make one with scripts/prepare_data.py."
        ) from error
    splits = list(builder.config.data_files or {})
    if split not in splits:
        raise InputError(
            f"{folder} has no split {split!r}. Those there: {', '.join(splits)}. Pass one of them "
            "as --split."
        )
    return datasets.load_dataset(str(folder), split=split)


def _check_columns(dataset: Any, folder: Path) -> None:
    missing = [name for name in REQUIRED_COLUMNS if name not in dataset.features]
    if missing:
        raise InputError(
            f"The dataset in {folder} has no column {list_offenders(missing)}. Make it with "
            "scripts/prepare_data.py."
        )
    names = getattr(dataset.features["label"], "names", None)
    if names is None or tuple(names) != CODES:
        raise InputError(
            f"The dataset in {folder} has the label names {', '.join(names or ['(none)'])}; the "
            f"model's are {', '.join(CODES)}. Pass a dataset with the model's names, in this order."
        )


def _check_labelled(references: NDArray[np.int64], image_ids: Sequence[str], folder: Path) -> None:
    if not len(references):
        raise InputError(f"The split of {folder} holds no image. Pass another --split.")
    bad = [image_ids[index] for index in np.flatnonzero(references < 0).tolist()]
    if bad:
        raise InputError(
            f"{len(bad)} images of {folder} have no label: {list_offenders(bad)}. "
            "Leave them out of the dataset."
        )


def _decode(stored: dict[str, Any], image_id: str) -> Image.Image:
    """Return one image of a dataset, which holds its bytes or the path of its file."""
    if stored["bytes"] is None:
        return load_image(stored["path"])
    try:
        return load_image(Image.open(io.BytesIO(stored["bytes"])))
    except (UnidentifiedImageError, InputError) as error:
        raise InputError(
            f"Image {image_id} of the dataset can't be read: its bytes are damaged or not an "
            "image. Prepare the dataset again from an intact copy."
        ) from error


def _find_images(folder: Path, image_ids: Sequence[str]) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}. Pass the folder that holds the images.")
    found: dict[str, list[Path]] = {image_id: [] for image_id in image_ids}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.stem in found:
            found[path.stem].append(path)
    missing = [image_id for image_id, paths in found.items() if not paths]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(found)} images have no file ({', '.join(SUFFIXES)}) under "
            f"{folder}: {list_offenders(missing)}. Pass the folder that holds all of them."
        )
    twice = [image_id for image_id, paths in found.items() if len(paths) > 1]
    if twice:
        raise InputError(
            f"{len(twice)} images have more than one file under {folder}: "
            f"{list_offenders(twice)}. Keep one of each."
        )
    return [paths[0] for paths in found.values()]


def _fingerprint(truth: pd.DataFrame, files: Sequence[Path]) -> str:
    """Return a SHA-256 over (image_id, dx, SHA-256 of the file), whatever the rows' order."""
    lines = []
    for image_id, dx, path in zip(truth["image_id"], truth["dx"], files, strict=True):
        with path.open("rb") as stream:
            lines.append(f"{image_id}\t{dx}\t{hashlib.file_digest(stream, 'sha256').hexdigest()}\n")
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
