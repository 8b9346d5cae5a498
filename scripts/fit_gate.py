"""Fit the gate of a model, which rejects non-dermoscopic images and marks unsure answers.

    python scripts/fit_gate.py --model runs/cnn --dataset data/ham10000 --ood_images photos phones

Fits on the train split, drawn pictures and, if given, photos; chooses thresholds on validation;
measures on test, and on pictures and photos by cross-fitting. Writes gate.safetensors, which is
loaded with the model from then on, gate.json with what was measured, and gate.png.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hf_lesion import cli
from hf_lesion.errors import InputError, one_line_errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.evaluation.scoring import EvaluationSet
    from hf_lesion.ood.fit import Observed
    from hf_lesion.ood.gate import Gate, GateRecord

FIGURE = "gate.png"
OF_A_CLASS, PICTURES = 100, 30  # images of the train split for each class; pictures of each kind
EVERY = 3  # one in three test images is also measured retaken: an answer within minutes
TRAIN, VALIDATION, TEST = "train", "validation", "test"
FRAMES = "other framing"


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = cli.build_parser(__doc__)
    cli.add_shared(parser, "model", "dataset", required=True)
    cli.add_shared(parser, "batch_size", default=8, help="images at once (default: 8)")
    cli.add_shared(parser, "output")
    add = parser.add_argument
    add(
        "--ood_images", type=Path, nargs="+", default=[], metavar="DIR",
        help="photos to be rejected, such as phone photos of skin; each folder is one source",
    )  # fmt: skip
    add(
        "--frames", type=Path, metavar="DIR",
        help="images of the dataset in another framing, named <image_id>.jpg: those of validation "
        "help to choose thresholds, those of test are measured",
    )  # fmt: skip
    add("--limit", type=cli.at_least(1), metavar="N", help="only N images of each set")
    return parser.parse_args()


@dataclass(frozen=True)
class Images:
    """N images that are read one at a time, and their groups."""

    name: str
    groups: Sequence[str]
    load: "Callable[[int], Image.Image]"

    def retaken(self) -> "Images":
        """Return the same images, changed at random: see `ood.fit.retake`."""
        return Images(f"{self.name}, retaken", self.groups, partial(_retake, self.load))


@dataclass(frozen=True)
class Observer:
    """Shows images to a model, with a progress bar."""

    classifier: "LesionClassifier"
    layers: tuple[str, ...]
    batch_size: int
    limit: int | None

    def observe(self, images: Images, references: "NDArray[np.int64] | None" = None) -> "Observed":
        """Return what the model makes of images; one batch of them is in memory."""
        import numpy as np
        from tqdm import trange

        from hf_lesion.classifier import softmax
        from hf_lesion.ood.fit import Observed

        count = min(len(images.groups), self.limit or len(images.groups))
        logits, features = [], []
        for start in trange(0, count, self.batch_size, desc=images.name, disable=None):
            some = [images.load(row) for row in range(start, min(start + self.batch_size, count))]
            found = self.classifier.look(some, self.layers, batch_size=self.batch_size)
            logits.append(found[0])
            features.append(found[1])
        return Observed(
            softmax(np.concatenate(logits)),
            {name: np.concatenate([one[name] for one in features]) for name in self.layers},
            images.groups[:count],
            None if references is None else references[:count],
        )

    def observe_twice(self, images: Images) -> "list[Observed]":
        """Return what the model makes of images as they are and retaken."""
        return [self.observe(images), self.observe(images.retaken())]


def _retake(load: "Callable[[int], Image.Image]", index: int) -> "Image.Image":
    from hf_lesion.ood.fit import retake

    return retake(load(index), seed=index)


def read_photos(folder: Path) -> Images:
    """Return the photos of a folder and its subfolders; those of one patient are one group."""
    from hf_lesion.evaluation.bulk import list_folder
    from hf_lesion.io.decoding import describe_left_out
    from hf_lesion.ood.fit import group_of

    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. Pass one with photos to be rejected.")
    found = list_folder(folder)
    if found.left_out:
        print(f"{folder}: {describe_left_out(found.left_out)}", flush=True)
    return Images(folder.resolve().name, list(map(group_of, found.names)), found.load)


def draw_pictures(kind: str) -> Images:
    """Return drawn pictures of one kind."""
    from hf_lesion.ood.fit import DRAWN
    from hf_lesion.synthetic.ood_images import draw_ood_image

    groups = [f"{kind} {seed}" for seed in range(PICTURES)]
    return Images(f"{DRAWN}{kind}", groups, lambda index: draw_ood_image(kind, seed=index))


def of_split(split: "EvaluationSet", rows: "Sequence[int] | None" = None) -> Images:
    """Return images of a split, in the order of `rows`."""
    chosen = range(len(split.image_ids)) if rows is None else rows
    lesions = split.lesion_ids or split.image_ids
    return Images(split.name, [lesions[row] for row in chosen], lambda i: split.load(chosen[i]))


def in_frames(split: "EvaluationSet", folder: Path) -> "tuple[Images, NDArray[np.int64]]":
    """Return those images of a split that a folder holds in another framing, and their classes."""
    from hf_lesion.evaluation.bulk import list_folder

    found = list_folder(folder)
    place = {name.rsplit("/", 1)[-1]: index for index, name in enumerate(found.names)}
    rows = [row for row, name in enumerate(split.image_ids) if name in place]
    if not rows:
        raise InputError(f"{folder} holds no image of the {split.name} split, by image_id.")
    lesions = split.lesion_ids or split.image_ids
    images = Images(
        f"{split.name}, {FRAMES}",
        [lesions[row] for row in rows],
        lambda index: found.load(place[split.image_ids[rows[index]]]),
    )
    return images, split.references[rows]


def fit_and_measure(arguments: argparse.Namespace) -> "tuple[Gate, GateRecord]":
    """Return the gate and its record."""
    from dataclasses import replace

    import numpy as np
    import torch

    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.evaluation import risk_coverage, scoring
    from hf_lesion.evaluation.predictions import Predictions
    from hf_lesion.evaluation.report.build import weights_sha256
    from hf_lesion.io.provenance import provenance
    from hf_lesion.ood import fit
    from hf_lesion.ood.features import COLOURS, feature_layers
    from hf_lesion.ood.gate import GateRecord, MeasuredModel, RiskCoverage
    from hf_lesion.synthetic.ood_images import KINDS
    from hf_lesion.verbosity import quiet_libraries

    quiet_libraries()
    photos = [read_photos(folder) for folder in arguments.ood_images]
    train, validation, test = (
        scoring.read_split(arguments.dataset, split) for split in (TRAIN, VALIDATION, TEST)
    )
    classifier = LesionClassifier.from_pretrained(arguments.model)
    classifier.network.to(memory_format=torch.channels_last)  # twice as fast on a CPU
    layers = (COLOURS, *feature_layers(classifier.network))
    observer = Observer(classifier, layers, arguments.batch_size, arguments.limit)

    chosen = scoring.choose_rows(train.references, OF_A_CLASS)
    accepted = observer.observe_twice(of_split(train, chosen))
    dermoscopic = fit.join(accepted)
    others = {
        one.name: observer.observe_twice(one) for one in (*photos, *map(draw_pictures, KINDS))
    }
    held_out = {VALIDATION: observer.observe(of_split(validation), validation.references)}
    if arguments.frames:
        frames = observer.observe(*in_frames(validation, arguments.frames))
        held_out[f"{VALIDATION}, {FRAMES}"] = frames
    known = fit.join(list(held_out.values()))
    joined = {name: fit.join(versions) for name, versions in others.items()}
    weights = weights_sha256(arguments.model)
    gate = replace(fit.fit_gate(layers, dermoscopic, joined, known), weights_sha256=weights)

    tested = {TEST: observer.observe(of_split(test), test.references)}
    some = range(0, len(test.image_ids), EVERY)
    retaken = of_split(test, some).retaken()
    tested[f"{TEST}, retaken"] = observer.observe(retaken, test.references[::EVERY])
    if arguments.frames:
        tested[f"{TEST}, {FRAMES}"] = observer.observe(*in_frames(test, arguments.frames))
    measured = {
        name: fit.measure_dermoscopic(gate, one, share_interval) for name, one in tested.items()
    }
    answers, sources = tested[TEST], fit.list_sources(accepted, others, held_out)
    record = GateRecord(
        schema_version=2,
        summary=fit.summarise(sources),
        fitted_on=sources,
        inputs=list(gate.inputs),
        refused_below=gate.refused_below,
        unsure_below=gate.unsure_below,
        dermoscopic=measured,
        other=fit.measure_others(layers, dermoscopic, others, known, share_interval),
        risk_coverage=RiskCoverage(
            **risk_coverage.measure_risk(
                Predictions(
                    test.image_ids[: len(answers)],
                    test.references[: len(answers)],
                    answers.probabilities.astype(np.float64),
                    tuple(answers.groups),
                )
            )
        ),
        data=test.origin,
        model=MeasuredModel(name=classifier.name, weights_sha256=weights),
        provenance=provenance(),
    )  # fmt: skip
    return fit.with_rates(gate, measured[TEST]), record


def share_interval(flags: "NDArray[np.bool_]", groups: Sequence[str]) -> tuple[float, float]:
    """Return the bootstrap interval of the share of true flags."""
    from hf_lesion.evaluation.bootstrap import bootstrap_statistic

    return bootstrap_statistic(lambda rows: flags[rows].mean(), len(flags), groups)


@one_line_errors
def main() -> None:
    """Fit, measure, write, plot, print."""
    arguments = parse_arguments()
    from hf_lesion.io.figures import write_figure
    from hf_lesion.io.files import whole_file
    from hf_lesion.ood.figures import plot_gate
    from hf_lesion.ood.gate import GATE, GATE_RECORD, write_gate, write_gate_record

    gate, record = fit_and_measure(arguments)
    folder = arguments.output or arguments.model
    with whole_file(folder / GATE) as partial_file:
        write_gate(partial_file, gate)
    write_gate_record(folder, record)
    write_figure(plot_gate(record), folder / FIGURE)
    print(record.summary)
    print("\nrejected of dermoscopic images")
    for name, found in record.dermoscopic.items():
        print(f"  {name:<26}{found.text:>24} of {found.images:,}")
    print("rejected of other images")
    for name, one in record.other.items():
        print(f"  {name:<26}{one.text:>24} of {one.images:,}")
    print(f"\nWritten: {folder / GATE}, {folder / GATE_RECORD}, {folder / FIGURE}")


if __name__ == "__main__":
    main()
