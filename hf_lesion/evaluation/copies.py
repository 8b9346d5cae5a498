"""Whether a model's features tell the sharper copies of images from the soft ones.

Part of HAM10000 can be had in sharper copies, and which images have one depends on the diagnosis.
A model that sees sharpness could read the diagnosis off it. So a linear probe tries to tell the
copies apart from the penultimate features (Alain and Bengio, "Understanding intermediate layers
using linear classifier probes", 2016): an area under its ROC curve of 0.5 means that it can't.
What the diagnosis and the source alone give away stands beside it: a model that knows skin well and
sharpness not at all would come near that.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hf_lesion.errors import InputError
from hf_lesion.evaluation import metrics
from hf_lesion.evaluation.intervals import LEVEL, RESAMPLES, bootstrap_statistic
from hf_lesion.evaluation.scoring import EvaluationSet, draw_rows, take_images
from hf_lesion.labels import CODES

SHARP = "sharp"
# Of the logistic regression, on standardised features: less than scikit-learn's default of 1, since
# there may be more than a thousand features.
INVERSE_REGULARISATION = 0.01
STEPS = 1000
SEED = 0


def is_sharp(evaluation_set: EvaluationSet) -> NDArray[np.bool_]:
    """Return (N,) whether each image is a sharper copy.

    Raises:
        InputError: If the set does not say, or all its images are of one kind.
    """
    kinds = evaluation_set.groups.get("copy")
    if kinds is None:
        raise InputError(
            f"{evaluation_set.source} has no column copy: all its images are of one kind. Prepare "
            "it with scripts/prepare_data.py --sharper FOLDER."
        )
    sharp = np.asarray([kind == SHARP for kind in kinds])
    if sharp.all() or not sharp.any():
        raise InputError(
            f"All images of {evaluation_set.source} ({evaluation_set.name}) are of one kind; both "
            "are needed. Pass another split."
        )
    return sharp


def choose_train(images: EvaluationSet, count: int) -> EvaluationSet:
    """Return `count` images at random, by a fixed seed; all where there are not more."""
    return take_images(images, draw_rows(len(images.image_ids), count, seed=SEED))


def probe(
    train: NDArray[np.float32], train_sharp: NDArray[np.bool_], features: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return (M,) chances of being sharp, from a linear probe fitted on other images.

    Args:
        train: (N, D) features.
        train_sharp: (N,) whether each of them is of a sharp copy.
        features: (M, D) features.
    """
    regression = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=STEPS)
    fitted = make_pipeline(StandardScaler(), regression).fit(train, train_sharp)
    return fitted.predict_proba(features)[:, 1]


def share_by_kind(
    train: Sequence[Any], train_sharp: NDArray[np.bool_], kinds: Sequence[Any]
) -> NDArray[np.float64]:
    """Return (M,) the share of sharp copies among the training images of the same kind.

    Args:
        train: N kinds, such as a diagnosis or a pair of diagnosis and source.
        train_sharp: (N,) whether each image is a sharp copy.
        kinds: M kinds; one that is not in `train` gets the overall share.
    """
    counts, sharp_counts = Counter(train), Counter(itertools.compress(train, train_sharp))
    overall = float(train_sharp.mean())
    return np.asarray(
        [sharp_counts[kind] / counts[kind] if kind in counts else overall for kind in kinds]
    )


# What is known of an image without a look at it.
KINDS: dict[str, Callable[[EvaluationSet], list[Any]]] = {
    "diagnosis": lambda images: images.references.tolist(),
    "diagnosis_and_source": lambda images: list(
        zip(images.references.tolist(), images.groups["dataset"], strict=True)
    ),
}


def describe_scores(
    scores: Mapping[str, NDArray[np.float64]],
    sharp: NDArray[np.bool_],
    lesion_ids: Sequence[str] | None,
) -> dict[str, dict[str, Any]]:
    """Return the AUROC of each score with its interval, by bootstrap over lesions.

    Args:
        scores: Name → (M,) values, higher for sharp.
        sharp: (M,) the truth.
        lesion_ids: M lesions, or None where they are unknown.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, values in scores.items():

        def area(rows: NDArray[np.int64], values: NDArray[np.float64] = values) -> float:
            drawn = sharp[rows]
            return float("nan") if drawn.all() or not drawn.any() else _auroc(drawn, values[rows])

        bounds = bootstrap_statistic(area, len(sharp), lesion_ids, seed=SEED)
        found[name] = {"auroc": _auroc(sharp, values), "interval": list(bounds)}
    return found


def pair_rows(sharp: EvaluationSet, soft: EvaluationSet) -> list[tuple[int, int]]:
    """Return, for each sharper copy, its row and the row of the same image in a soft preparation.

    Args:
        sharp: A split in which some images are sharper copies.
        soft: The same split of the same images, all soft.

    Raises:
        InputError: If an image is not in `soft`, or only as a sharper copy: that is another split.
    """
    row_of = {image_id: row for row, image_id in enumerate(soft.image_ids)}
    rows = np.flatnonzero(is_sharp(sharp))
    missing = [sharp.image_ids[row] for row in rows if sharp.image_ids[row] not in row_of]
    if missing or soft.groups.get("copy"):
        raise InputError(
            f"{soft.source} should hold the same split without sharper copies, but lacks "
            f"{len(missing)} images or has copies itself. Prepare it from the same source with the "
            "same --seed and without --sharper."
        )
    return [(int(row), row_of[sharp.image_ids[row]]) for row in rows]


def describe_pairs(
    sharp: NDArray[np.float64],
    soft: NDArray[np.float64],
    references: NDArray[np.int64],
    lesion_ids: Sequence[str] | None,
) -> dict[str, Any]:
    """Return what sharpness alone changes: the same images, once sharp and once soft.

    A sharper copy also shows a smaller part of the frame; the change is that of both.

    Args:
        sharp: (M, C) probabilities of the sharper copies.
        soft: (M, C) probabilities of the same images in the soft version.
        references: (M,) class ids.
        lesion_ids: M lesions, or None where they are unknown.

    Returns:
        `images`, `balanced_accuracy` of each version, `agreement` (share of equal answers) and
        `shift`: for each diagnosis the mean of sharp minus soft probability, with its interval.
    """
    shift = {}
    for column, code in enumerate(CODES):
        change = sharp[:, column] - soft[:, column]

        def mean(rows: NDArray[np.int64], change: NDArray[np.float64] = change) -> float:
            return float(change[rows].mean()) if len(rows) else float("nan")

        bounds = bootstrap_statistic(mean, len(change), lesion_ids, seed=SEED)
        shift[code] = {"mean": float(change.mean()), "interval": list(bounds)}
    return {
        "images": len(references),
        "balanced_accuracy": {
            name: metrics.compute_metrics(answers, references)["balanced_accuracy"]
            for name, answers in (("sharp", sharp), ("soft", soft))
        },
        "agreement": float((sharp.argmax(axis=1) == soft.argmax(axis=1)).mean()),
        "shift": shift,
    }


def describe_method(train_images: int) -> dict[str, Any]:
    """Return how the numbers were made, for the record.

    Args:
        train_images: How many images the probe was fitted on.
    """
    return {
        "probe": "logistic regression on standardised penultimate features, fitted on train",
        "train_images": train_images,
        "inverse_regularisation": INVERSE_REGULARISATION,
        "level": LEVEL,
        "resamples": RESAMPLES,
        "seed": SEED,
    }


def _auroc(sharp: NDArray[np.bool_], values: NDArray[np.float64]) -> float:
    return float(roc_auc_score(sharp, values))
