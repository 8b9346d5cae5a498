"""Evaluation sets: labelled images read one at a time, and a classifier run over them."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import datasets
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from hf_lesion.classifier import LesionClassifier
from hf_lesion.data.description import describe_sizes, format_count, name_images
from hf_lesion.data.metadata import drop_unscored, read_ground_truth
from hf_lesion.data.reader import open_split
from hf_lesion.data.record import get_description, read_record
from hf_lesion.data.sources import (
    OFFICIAL_TRUTH_NAMES,
    ZIP_SUFFIX,
    choose_files,
    group_by_stem,
    list_files,
)
from hf_lesion.errors import InputError, find_repeated, list_offenders
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.evaluation.subgroups import COLUMNS, name_values
from hf_lesion.io.decoding import IMAGE_SUFFIXES, ImageFile, lay_down, load_image, read_size
from hf_lesion.labels import CODES, LABEL2ID

Read = TypeVar("Read")


def _no_mask(index: int) -> Image.Image:
    raise InputError("These images have no masks.")


@dataclass(frozen=True)
class EvaluationSet:
    """Labelled images that are read one at a time, by an index below N."""

    name: str  # the split, or the user's name for this set
    image_ids: tuple[str, ...]
    references: NDArray[np.int64]  # (N,) class ids
    lesion_ids: tuple[str, ...] | None  # None where they are unknown
    source: str  # the folder or file that the references come from
    fingerprint: str  # changes whenever an image or a reference changes
    load: Callable[[int], Image.Image]  # in RGB
    # Dataset, number, resolution and geometry; None if prepared with an earlier version.
    description: str | None = None
    unscored: tuple[str, ...] = ()  # images that the challenge of the ground truth does not score
    groups: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)  # column → N values
    left_out: tuple[ImageFile, ...] = ()  # files of a folder that are not among the images
    # The grey mask, white = lesion, in the frame of its image; an InputError if there is none.
    load_mask: Callable[[int], Image.Image] = _no_mask

    @property
    def origin(self) -> dict[str, Any]:
        """What records keep of the images that they are of."""
        return {
            "source": self.source,
            "description": self.description,
            "split": self.name,
            "fingerprint": self.fingerprint,
            **({"left_out": list(self.unscored)} if self.unscored else {}),
        }


def read_split(folder: Path, split: str) -> EvaluationSet:
    """Read one split of a dataset that `scripts/prepare_data.py` made."""
    record, dataset = read_record(folder), open_split(folder, split)
    table = dataset.select_columns([name for name in dataset.column_names if name != "image"])
    references = np.asarray(table["label"][:], dtype=np.int64)
    image_ids = tuple(table["image_id"][:])
    _check_labelled(references, image_ids, folder)
    stored = dataset.cast_column("image", datasets.Image(decode=False))
    masks = dataset.select_columns(["mask"]) if "mask" in dataset.column_names else None

    def load_mask(index: int) -> Image.Image:
        mask = None if masks is None else masks[index]["mask"]
        if mask is None:
            raise InputError(
                f"{folder} has no mask of {image_ids[index]}, and heatmaps are scored against "
                "masks. Prepare it again from a source with "
                "HAM10000_segmentations_lesion_tschandl in it."
            )
        return mask.convert("L")

    return EvaluationSet(
        name=split,
        image_ids=image_ids,
        references=references,
        lesion_ids=_name_lesions(table["lesion_id"][:], image_ids)
        if "lesion_id" in table.features
        else None,
        source=folder.resolve().name,
        fingerprint=record["fingerprint"],
        load=lambda index: read_stored(stored[index]["image"], image_ids[index]),
        description=get_description(record, split),
        groups=_group({name: table[name][:] for name in COLUMNS if name in table.features}),
        load_mask=load_mask,
    )


def read_images(folder: Path, ground_truth: Path, *, name: str) -> EvaluationSet:
    """Read the images of a folder or zip archive, at any depth, and the table of their diagnoses.

    Images that the table does not name are left out, and so are those that the ISIC 2018 challenge
    does not score. The fingerprint covers every image's bytes.

    Raises:
        InputError: If the table is wrong, an image is missing, two files of one name differ, or an
            archive is damaged.
    """
    truth, unscored = drop_unscored(read_ground_truth(ground_truth))
    if truth.empty:
        raise InputError(f"{ground_truth} names no image that is scored. Pass another table.")
    image_ids = tuple(truth["image_id"])
    files, left_out = _find_images(folder, image_ids)
    named = name_images(
        image_ids,
        official=ground_truth.name in OFFICIAL_TRUTH_NAMES,
        otherwise=f"{format_count(image_ids)} of {ground_truth.stem}",
    )
    return EvaluationSet(
        name=name,
        image_ids=image_ids,
        references=np.asarray(truth["dx"].map(LABEL2ID), dtype=np.int64),
        lesion_ids=_name_lesions(truth["lesion_id"].tolist(), image_ids),
        source=ground_truth.name,
        fingerprint=_fingerprint(truth, files),
        load=lambda index: _read_file(files[index], load_image),
        description=f"{named}, {describe_sizes(_read_file(file, read_size) for file in files)}",
        unscored=tuple(unscored),
        groups=_group({column: truth[column].tolist() for column in COLUMNS}),
        left_out=tuple(left_out),
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
        load_mask=lambda index: whole.load_mask(rows[index]),
        groups={name: tuple(values[row] for row in rows) for name, values in whole.groups.items()},
    )


def sample_images(evaluation_set: EvaluationSet, count: int | None) -> EvaluationSet:
    """Return the images of `draw_rows`."""
    return take_images(evaluation_set, draw_rows(len(evaluation_set.image_ids), count))


def keep_source(evaluation_set: EvaluationSet, source: str) -> EvaluationSet:
    """Return the images of one source (the group `dataset`), and name the set after both.

    Raises:
        InputError: If the source does not occur.
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


def draw_rows(total: int, count: int | None) -> list[int]:
    """Return `count` random row numbers in order; all if it is None or there are not more."""
    return sorted(np.random.default_rng(0).permutation(total)[:count].tolist())


def choose_rows(references: NDArray[np.int64], each: int) -> list[int]:
    """Return the rows of up to `each` random images of every class, in order."""
    draw = np.random.default_rng(0).permutation
    chosen = [draw(np.flatnonzero(references == label))[:each] for label in range(len(CODES))]
    return sorted(np.concatenate(chosen).tolist())


def load_batches(evaluation_set: EvaluationSet, batch_size: int) -> Iterator[list[Image.Image]]:
    """Yield all images in order, `batch_size` at a time."""
    count = len(evaluation_set.image_ids)
    for start in range(0, count, batch_size):
        yield [evaluation_set.load(row) for row in range(start, min(start + batch_size, count))]


def predict(
    classifier: LesionClassifier, evaluation_set: EvaluationSet, *, batch_size: int, views: int = 1
) -> Predictions:
    """Run the classifier over the set with a progress bar; one batch of images is in memory.

    Predictions are averaged over the first `views` of the eight orientations of each image.
    """

    def answer(images: list[Image.Image], *, batch_size: int) -> NDArray[np.float64]:
        shown = [[lay_down(image, view) for image in images] for view in range(views)]
        parts = [classifier.predict(turned, batch_size=batch_size) for turned in shown]
        return np.mean(parts, axis=0, dtype=np.float64)

    whole = evaluation_set
    answers = over_batches(answer, whole, batch_size=batch_size)
    return Predictions(whole.image_ids, whole.references, answers, whole.lesion_ids)


def over_batches(
    function: Callable[..., NDArray[Any]], evaluation_set: EvaluationSet, *, batch_size: int
) -> NDArray[Any]:
    """Return the (N, ...) rows that a function of images gives, with a progress bar.

    The function takes a list of images, one batch of which is in memory, and `batch_size`; it
    gives one row for each image.
    """
    count = len(evaluation_set.image_ids)
    parts = []
    bar_name = f"Scoring {evaluation_set.name}"
    # No bar unless on a terminal.
    with tqdm(total=count, desc=bar_name, unit="image", disable=None) as bar:
        for images in load_batches(evaluation_set, batch_size):
            parts.append(function(images, batch_size=batch_size))
            bar.update(len(images))
    return np.concatenate(parts)


def _name_lesions(
    lesion_ids: Sequence[str | None], image_ids: Sequence[str]
) -> tuple[str, ...] | None:
    """Return the lesion of each image, unknown ones as single-image lesions; None if all are."""
    if not any(lesion_ids):
        return None
    pairs = zip(lesion_ids, image_ids, strict=True)
    return tuple(lesion or f"of {image_id}" for lesion, image_id in pairs)


def _group(columns: Mapping[str, Sequence[Any]]) -> dict[str, tuple[str | None, ...]]:
    """Return the group of each value, of the columns in which any value is known."""
    return {
        name: name_values(name, values)
        for name, values in columns.items()
        if any(value is not None and value == value for value in values)  # NaN is not itself
    }


def _check_labelled(references: NDArray[np.int64], image_ids: Sequence[str], folder: Path) -> None:
    if not len(references):
        raise InputError(f"The split of {folder} contains no images. Pass another --split.")
    bad = [image_ids[index] for index in np.flatnonzero(references < 0).tolist()]
    if bad:
        raise InputError(
            f"{len(bad)} images of {folder} have no label: {list_offenders(bad)}. "
            "Leave them out of the dataset."
        )
    check_unique(image_ids, folder)


def check_unique(image_ids: Sequence[str], folder: Path) -> None:
    """Raise InputError if an image_id of a dataset repeats."""
    if twice := find_repeated(image_ids):
        raise InputError(
            f"{len(twice)} image_ids of {folder} repeat: {list_offenders(twice)}. Prepare the "
            "dataset again."
        )


def read_stored(stored: dict[str, Any], image_id: str) -> Image.Image:
    """Return one image of a dataset, which holds its bytes or the path of its file."""
    try:
        return load_image(stored["path"] if stored["bytes"] is None else stored["bytes"])
    except InputError as error:
        raise InputError(
            f"Image {image_id} of the dataset can't be read: its bytes are damaged or not an "
            "image. Prepare the dataset again from an intact copy."
        ) from error


def _find_images(folder: Path, image_ids: Sequence[str]) -> tuple[list[ImageFile], list[ImageFile]]:
    """Return the file of each image, and the other files of the folder."""
    if not folder.is_dir() and folder.suffix.lower() != ZIP_SUFFIX:
        raise InputError(f"{folder} is neither a folder nor a zip archive. Pass the images.")
    # The archives stay open for as long as their files are kept.
    files = list_files(folder, ExitStack())
    found = choose_files(group_by_stem(files), image_ids, where=folder)
    missing = [image_id for image_id in image_ids if image_id not in found]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(image_ids)} images have no file under {folder}: "
            f"{list_offenders(missing)}. Pass the folder that holds all of them as "
            f"{', '.join(IMAGE_SUFFIXES)}."
        )
    chosen = set(found.values())
    left_out = [file for file in files if file not in chosen]
    return [found[image_id] for image_id in image_ids], left_out


def _read_file(file: ImageFile, read: Callable[[Path | bytes], Read]) -> Read:
    """Return the result of `read` on a file; its errors name the file."""
    if isinstance(file, Path):
        return read(file)
    try:
        return read(file.read_bytes())
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def _fingerprint(truth: pd.DataFrame, files: Sequence[ImageFile]) -> str:
    """Return a SHA-256 over (image_id, dx, SHA-256 of the file), whatever the rows' order."""
    lines = [
        f"{image_id}\t{dx}\t{hashlib.sha256(file.read_bytes()).hexdigest()}\n"
        for image_id, dx, file in zip(truth["image_id"], truth["dx"], files, strict=True)
    ]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
