"""Fit the gate of a model: what tells images that are no dermoscopy, and answers that are unsure.

    python scripts/fit_gate.py --model runs/cnn --dataset data/ham10000 --photos everyday_photos

Fits on the validation split, chooses by half of the photos and by drawn pictures, measures on the
test split, the other half and other drawn pictures. Writes gate.safetensors, which is loaded with
the model from then on, gate.json with what was measured, and gate.png.
"""

import argparse
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_lesion import cli
from hf_lesion.errors import InputError, one_line_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.evaluation.gate import Seen

RECORD, FIGURE = "gate.json", "gate.png"
DRAWN_FOR_CHOICE, DRAWN_FOR_TEST = 40, 100  # of each kind
FIRST_TEST_SEED = 10_000
PHOTOS = "half of the photos"


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = cli.build_parser(__doc__)
    cli.add_shared(parser, "model", "dataset", required=True)
    cli.add_shared(parser, "batch_size", "output")
    add = parser.add_argument
    add("--photos", type=Path, metavar="DIR", help="photos of other things: half choose, half test")
    add("--more", type=Path, nargs="+", default=[], metavar="DIR", help="photos to measure only")
    add("--limit", type=cli.at_least(1), metavar="N", help="only N images of each set")
    return parser.parse_args()


@dataclass(frozen=True)
class Looker:
    """Shows images to a model, with a bar."""

    classifier: "LesionClassifier"
    names: tuple[str, ...]
    batch_size: int
    limit: int | None

    def see(self, name: str, count: int, load: "Callable[[int], Image.Image]") -> "Seen":
        """Return what the model makes of `count` images, one batch of them in memory."""
        import numpy as np
        from tqdm import trange

        from hf_lesion.classifier import softmax
        from hf_lesion.evaluation.gate import Seen

        count = min(count, self.limit or count)
        logits, blocks = [], []
        steps = trange(0, count, self.batch_size, desc=name, unit="batch", disable=None)
        for start in steps:
            some = [load(index) for index in range(start, min(start + self.batch_size, count))]
            found = self.classifier.look(some, self.names, batch_size=self.batch_size)
            logits.append(found[0])
            blocks.append(found[1])
        together = {key: np.concatenate([each[key] for each in blocks]) for key in self.names}
        return Seen(softmax(np.concatenate(logits)), together)


def list_photos(folder: Path) -> "list[Image.Image]":
    """Return the photos of a folder and its subfolders, in the order of their paths."""
    from hf_lesion.evaluation.bulk import list_folder
    from hf_lesion.io.decoding import describe_left_out

    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}. Pass one with photos of other things.")
    found = list_folder(folder)
    if found.left_out:
        print(f"{folder}: {describe_left_out(found.left_out)}", flush=True)
    return [found.load(index) for index in range(len(found.names))]


def see_strangers(
    looker: Looker, photos: "dict[str, list[Image.Image]]", *, drawn: int, first_seed: int
) -> "dict[str, Seen]":
    """Return what the model makes of photos, as they are and retaken, and of drawn pictures."""
    from functools import partial

    from hf_lesion.synthetic.ood_images import KINDS, draw_ood_image

    found: dict[str, Seen] = {}
    for name, images in photos.items():
        found |= see_twice(looker, name, len(images), images.__getitem__)
    for kind in KINDS:
        load = partial(_draw, draw_ood_image, kind, first_seed)
        found[f"drawn: {kind}"] = looker.see(kind, drawn, partial(_retake, load))
    return found


def see_twice(
    looker: Looker, name: str, count: int, load: "Callable[[int], Image.Image]"
) -> "dict[str, Seen]":
    """Return what the model makes of images, as they are and retaken."""
    from functools import partial

    again = f"{name}, retaken"
    return {
        name: looker.see(name, count, load),
        again: looker.see(again, count, partial(_retake, load)),
    }


def _retake(load: "Callable[[int], Image.Image]", index: int) -> "Image.Image":
    from hf_lesion.evaluation.distortions import retake

    return retake(load(index), seed=index)


def _draw(
    draw: "Callable[..., Image.Image]", kind: str, first_seed: int, index: int
) -> "Image.Image":
    return draw(kind, seed=first_seed + index)


def fit_and_measure(arguments: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """Return the gate and its record."""
    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.evaluation import gate as fitting
    from hf_lesion.evaluation import scoring
    from hf_lesion.evaluation.report.build import weights_sha256
    from hf_lesion.io.provenance import provenance
    from hf_lesion.models.taps import COLOURS, tap_points
    from hf_lesion.verbosity import quiet_libraries

    quiet_libraries()
    classifier = LesionClassifier.from_pretrained(arguments.model)
    names = (COLOURS, *tap_points(classifier.model))
    looker = Looker(classifier, names, arguments.batch_size, arguments.limit)
    validation, test = (
        scoring.read_split(arguments.dataset, split) for split in ("validation", "test")
    )
    photos = list_photos(arguments.photos) if arguments.photos else []
    halves = [{PHOTOS: photos[half::2]} if photos else {} for half in (0, 1)]

    seen = see_twice(looker, "validation", len(validation.image_ids), validation.load)
    count = len(seen["validation"].probabilities)
    lesions = (validation.lesion_ids or validation.image_ids)[:count]
    versions = [each.blocks for each in seen.values()]
    tried = fitting.candidates(names)
    gates = {key: fitting.fit_gate(versions, lesions, inputs) for key, inputs in tried.items()}
    strangers = see_strangers(looker, halves[0], drawn=DRAWN_FOR_CHOICE, first_seed=0)
    chosen, shares = fitting.choose_gate(gates, strangers)
    unsure = fitting.fit_unsure(seen["validation"].probabilities, validation.references[:count])
    weights = weights_sha256(arguments.model)
    gate = replace(gates[chosen], unsure_below=unsure, weights_sha256=weights)

    tested = see_twice(looker, "test", len(test.image_ids), test.load)
    real = {
        name: fitting.describe_verdicts(gate, each, test.references[: len(each.probabilities)])
        for name, each in tested.items()
    }
    others = halves[1] | {folder.name: list_photos(folder) for folder in arguments.more}
    found = see_strangers(looker, others, drawn=DRAWN_FOR_TEST, first_seed=FIRST_TEST_SEED)
    record = {
        "schema_version": 1,
        "chosen": chosen,
        "inputs": list(gate.inputs),
        "refused_below": gate.refused_below,
        "unsure_below": gate.unsure_below,
        "candidates": shares,
        "real": real,
        "strange": {
            name: {"images": len(each.probabilities), "refused": fitting.refused(gate, each)}
            for name, each in found.items()
        },
        "data": test.origin,
        "model": {"name": classifier.name, "weights_sha256": weights},
        "provenance": provenance(),
    }
    return fitting.with_rates(gate, real["test"]), record


def print_record(record: dict[str, Any]) -> None:
    """Print what is refused of what."""
    print(f"Gate by: {record['chosen']}\n\nrefused of real dermoscopic images")
    for name, found in record["real"].items():
        print(f"  {name:<26}{found['refused']:>7.1%} of {found['images']:,}")
    print("refused of other pictures")
    for name, found in record["strange"].items():
        print(f"  {name:<26}{found['refused']:>7.1%} of {found['images']:,}")
    found = record["real"]["test"]
    if not math.isnan(found["accuracy_unsure"]):
        print(
            f"unsure: {found['unsure']:.1%} of test images, {found['accuracy_unsure']:.1%} of them "
            f"right; of the accepted {found['accuracy_accepted']:.1%}"
        )


@one_line_errors
def main() -> None:
    """Fit, measure, write, draw, print."""
    arguments = parse_arguments()
    from hf_lesion.decision import GATE, write_gate
    from hf_lesion.evaluation.gate_figures import draw_gate
    from hf_lesion.io.figures import write_figure
    from hf_lesion.io.files import whole_file, write_json

    gate, record = fit_and_measure(arguments)
    folder = arguments.output or arguments.model
    with whole_file(folder / GATE) as partial:
        write_gate(partial, gate)
    write_json(folder / RECORD, record)
    write_figure(draw_gate(record), folder / FIGURE)
    print_record(record)
    print(f"\nWritten: {folder / GATE}, {folder / RECORD}, {folder / FIGURE}")


if __name__ == "__main__":
    main()
