"""Ask whether a model can tell sharper copies of images from soft ones: it should not.

    python scripts/prepare_data.py --source HAM10000 --sharper SHARPER --output data/ham10000_sharp
    python scripts/probe_copies.py --model runs/resnet18 --dataset data/ham10000_sharp

Fits a linear probe on the model's penultimate features of the train split, measures it on another
split and writes copies.json next to the model. 0.5 means that the features say nothing; the lines
below it are what the diagnosis, and diagnosis and source, give away without a look at the image.

With --soft_dataset, the same images prepared without --sharper, also: what the model answers to the
same image sharp and soft. A model that took sharpness for a diagnosis would shift its answers.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_lesion.errors import one_line_errors

if TYPE_CHECKING:
    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.evaluation.scoring import EvaluationSet

RECORD = "copies.json"
LABELS = {
    "features": "penultimate features",
    "diagnosis": "diagnosis alone",
    "diagnosis_and_source": "diagnosis and source alone",
}


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", type=Path, required=True, metavar="DIR", help="folder of a trained model")
    add("--dataset", type=Path, required=True, metavar="DIR", help="dataset with the column copy")
    add("--soft_dataset", type=Path, metavar="DIR", help="the same images and splits, all soft")
    add("--split", default="validation", metavar="NAME", help="measured on (default: %(default)s)")
    add(
        "--train_images",
        type=int,
        default=3000,
        metavar="N",
        help="fit the probe on so many images of train (default: %(default)s)",
    )
    add("--batch_size", type=int, default=32, metavar="N", help="images at once (default: 32)")
    add("--output", type=Path, metavar="DIR", help="where to write (default: the model's folder)")
    return parser.parse_args()


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the record of one model on one split."""
    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.data.dataset import read_fingerprint
    from hf_lesion.evaluation import copies, scoring
    from hf_lesion.evaluation.record import weights_sha256
    from hf_lesion.provenance import provenance
    from hf_lesion.verbosity import quiet_libraries

    quiet_libraries()
    fingerprint = read_fingerprint(arguments.dataset)
    train, held_out = (
        scoring.read_split(arguments.dataset, split, fingerprint=fingerprint)
        for split in ("train", arguments.split)
    )
    train = copies.choose_train(train, arguments.train_images)
    train_sharp, sharp = copies.is_sharp(train), copies.is_sharp(held_out)
    classifier = LesionClassifier.from_pretrained(arguments.model)
    features, answers = (
        scoring.over_batches(classifier.features, part, batch_size=arguments.batch_size)
        for part in (train, held_out)
    )
    scores = {"features": copies.probe(features, train_sharp, answers)}
    for name, kinds in copies.KINDS.items():
        scores[name] = copies.share_by_kind(kinds(train), train_sharp, kinds(held_out))
    return {
        "schema_version": 1,
        "split": arguments.split,
        "pairs": measure_pairs(arguments, classifier, held_out),
        "images": {"sharp": int(sharp.sum()), "soft": int((~sharp).sum())},
        "copy": copies.describe_scores(scores, sharp, held_out.lesion_ids),
        "method": copies.describe_method(len(train.image_ids)),
        "data": {"source": held_out.source, "fingerprint": fingerprint},
        "model": {"name": classifier.name, "weights_sha256": weights_sha256(arguments.model)},
        "provenance": provenance(),
    }


def measure_pairs(
    arguments: argparse.Namespace, classifier: "LesionClassifier", held_out: "EvaluationSet"
) -> dict[str, Any] | None:
    """Return what the model answers to the same images sharp and soft; None without the latter."""
    from hf_lesion.evaluation import copies, scoring

    if arguments.soft_dataset is None:
        return None
    soft = scoring.read_split(arguments.soft_dataset, arguments.split, fingerprint="")
    pairs = copies.pair_rows(held_out, soft)
    rows, soft_rows = (list(each) for each in zip(*pairs, strict=True))
    versions = scoring.take_images(held_out, rows), scoring.take_images(soft, soft_rows)
    answers, soft_answers = (
        scoring.predict(classifier, part, batch_size=arguments.batch_size).probabilities
        for part in versions
    )
    return copies.describe_pairs(
        answers, soft_answers, versions[0].references, versions[0].lesion_ids
    )


def print_pairs(pairs: dict[str, Any]) -> None:
    """Print what changes when the same images are sharp instead of soft."""
    from hf_lesion.explain.estimates import format_change

    scores = pairs["balanced_accuracy"]
    print(
        f"\nThe same {pairs['images']:,} images sharp and soft: balanced accuracy "
        f"{scores['sharp']:.3f} and {scores['soft']:.3f}, same answer for "
        f"{pairs['agreement']:.1%}. Mean change of the probability, sharp minus soft:"
    )
    for code, found in pairs["shift"].items():
        print(f"  {code:<6}{format_change((found['mean'], *found['interval']))}")


@one_line_errors
def main() -> None:
    """Measure, record, print."""
    arguments = parse_arguments()
    from hf_lesion.files import write_json

    record = measure(arguments)
    path = (arguments.output or arguments.model) / RECORD
    write_json(path, record)
    print(
        f"AUROC of the sharper copy ({record['split']}, {record['images']['sharp']:,} sharp, "
        f"{record['images']['soft']:,} soft), 95 % interval over lesions"
    )
    for name, found in record["copy"].items():
        low, high = found["interval"]
        print(f"  {LABELS[name]:<28}{found['auroc']:.3f} [{low:.3f}, {high:.3f}]")
    if record["pairs"] is not None:
        print_pairs(record["pairs"])
    print(f"\nWritten: {path}")


if __name__ == "__main__":
    main()
