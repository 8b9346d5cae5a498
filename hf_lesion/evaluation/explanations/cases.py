"""Cases for heatmap figures: several models side by side, or cases of a diagnosis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError, list_offenders
from hf_lesion.evaluation.scoring import EvaluationSet
from hf_lesion.explain import shortcuts
from hf_lesion.explain.agreement import compare_all
from hf_lesion.explain.figures import Cell, Row, caption_of, describe_agreement
from hf_lesion.explain.gradcam import GRADCAM
from hf_lesion.explain.mask_overlap import MEASURES, place_masks, score_maps
from hf_lesion.explain.placement import NOTABLE, share_outside
from hf_lesion.io.decoding import IMAGE_SUFFIXES, list_images, load_image
from hf_lesion.io.files import storable_name
from hf_lesion.labels import CODES
from hf_lesion.models.preprocessing import Box

MASK_ENDING = "_segmentation"
ENERGY = MEASURES.index("energy")


@dataclass(frozen=True)
class Case:
    """An image to explain; `mask` and `truth` (a code) are None if unknown."""

    name: str
    image: Image.Image
    mask: Image.Image | None = None
    truth: str | None = None


def read_cases(paths: Sequence[Path], masks: Path | None) -> tuple[list[Case], list[Path]]:
    """Read images, and the masks that go with them; also return the skipped files of folders.

    Masks are `<name>_segmentation.png` or `<name>.png` of the folder `masks`; without one, those
    are looked for next to the images.

    Raises:
        InputError: If there are no images, or one can't be read.
    """
    files: list[Path] = []
    left_out: list[Path] = []
    for path in paths:
        images, others = list_images(path) if path.is_dir() else ([path], [])
        files += [file for file in images if not _is_mask(file, path, masks)]
        left_out += others
    if not files:
        raise InputError(
            f"No image ({', '.join(IMAGE_SUFFIXES)}) found in {list_offenders(list(paths))}. "
            "Pass image files, or a folder of them."
        )
    cases = [
        Case(storable_name(file.stem), load_image(file), _find_mask(file, masks)) for file in files
    ]
    return cases, left_out


def compare_models(
    classifiers: Sequence[LesionClassifier],
    cases: Sequence[Case],
    *,
    target: str | None = None,
    method: str = GRADCAM,
) -> list[Row]:
    """Return a row per image: the original and every model's heatmap, and how far they agree.

    `target` is the explained class; None explains the class that each model predicts.
    """
    rows = []
    for case in cases:
        cells = [Cell(case.image, caption=_describe(case), mask=case.mask)]
        maps: dict[str, tuple[NDArray[np.float32], Box]] = {}
        for classifier in classifiers:
            cell = _explain_case(classifier, case, target, method)
            cells.append(cell)
            if cell.heatmap is not None and cell.box is not None:
                maps[classifier.name] = cell.heatmap, cell.box
        rows.append(Row(cells, *describe_agreement(compare_all(maps))))
    return rows


def choose_cases(
    probabilities: NDArray[np.floating], references: NDArray[np.int64], label: int, *, each: int
) -> dict[str, list[int]]:
    """Return the rows of a class's most confident correct and most confident wrong predictions.

    At most `each` of both, from (N, C) probabilities and (N,) class ids.
    """
    rows = np.flatnonzero(references == label)
    answers, confidence = probabilities[rows].argmax(axis=1), probabilities[rows].max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    is_right = answers == label
    return {
        side: rows[order[is_right[order] == right]][:each].tolist()
        for side, right in (("right", True), ("wrong", False))
    }


def draw_class(
    classifier: LesionClassifier, images: EvaluationSet, chosen: Mapping[str, Sequence[int]]
) -> list[Row]:
    """Return rows of cases with their maps: for each image the original, then its heatmap."""
    rows = []
    for side, indices in chosen.items():
        cells: list[Cell] = []
        for index in indices:
            case = Case(
                images.image_ids[index],
                images.load(index),
                images.load_mask(index),
                CODES[images.references[index]],
            )
            cells.append(Cell(case.image, caption=_describe(case)))
            cells.append(_explain_case(classifier, case, None, GRADCAM))
        if cells:
            rows.append(Row(cells, is_warning=side == "wrong", title=f"Confident and {side}"))
    return rows


def draw_changes(classifiers: Sequence[LesionClassifier], cases: Sequence[Case]) -> list[Row]:
    """Return a row for each image: the original and each change, with the models' predictions."""
    rows = []
    for seed, case in enumerate(cases):
        assert case.mask is not None
        pictures = [case.image]
        for name in shortcuts.CHANGES:
            pictures.append(shortcuts.change(case.image, case.mask, name, seed=seed))
        answers = [(one.name, one.predict(pictures)) for one in classifiers]
        cells = []
        for place, picture in enumerate(pictures):
            lines, marked = [], []
            for line, (name, probabilities) in enumerate(answers):
                label, before = probabilities[[place, 0]].argmax(axis=1)
                if label != before:
                    marked.append(line)
                arrow = "→ " if label != before else ""
                lines.append(f"{name}: {arrow}{CODES[label]} {probabilities[place, label]:.0%}")
            cells.append(Cell(picture, caption="\n".join(lines), marked=marked))
        rows.append(Row(cells, title=case.name))
    return rows


def _explain_case(
    classifier: LesionClassifier, case: Case, target: str | None, method: str
) -> Cell:
    found = classifier.explain([case.image], None if target is None else [target], method)
    (box,) = found.boxes
    energy = outside = None
    if case.mask is not None:
        place = place_masks([case.mask], classifier.preprocess)
        energy = float(score_maps(found.heatmaps, place)[0, ENERGY])
        outside = share_outside(case.mask, box)
    (own,) = found.probabilities
    answer, explained = (
        (CODES[label], float(own[label])) for label in (int(own.argmax()), int(found.targets[0]))
    )
    caption = caption_of(
        answer, energy, explained=None if target is None else explained, outside=outside
    )
    is_notable = outside is not None and outside > NOTABLE
    marked = [caption.count("\n")] if is_notable else []  # its last line
    return Cell(case.image, found.heatmaps[0], caption, case.mask, marked, box)


def _describe(case: Case) -> str:
    return case.name if case.truth is None else f"{case.name}\ntruth: {case.truth}"


def _is_mask(file: Path, folder: Path, masks: Path | None) -> bool:
    """Return whether a file of a folder is a mask by its name, or by a folder of masks inside."""
    if file.stem.endswith(MASK_ENDING):
        return True
    if masks is None or masks.resolve() == folder.resolve():
        return False
    return file.resolve().is_relative_to(masks.resolve())


def _find_mask(file: Path, masks: Path | None) -> Image.Image | None:
    folder = file.parent if masks is None else masks
    names = [f"{file.stem}{MASK_ENDING}.png"] + ([] if masks is None else [f"{file.stem}.png"])
    for name in names:
        if (folder / name).is_file():
            return load_image(folder / name).convert("L")
    return None
