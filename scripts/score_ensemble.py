"""Score an ensemble, the mean probabilities of several models, and compare the models pairwise.

    python scripts/score.py --model models/cnn --dataset data/ham10000 --split test
    python scripts/score.py --model models/resnet --dataset data/ham10000 --split test
    python scripts/score_ensemble.py --models models --dataset data/ham10000 --split test

Reads predictions_<split>.csv of each model, and writes ensemble.json to the folder of models, with
differences of balanced accuracy between models of adjacent rank (paired bootstrap over lesions).
The web demo and the tables of results show it as long as the weights do not change.
"""

import argparse

from hf_lesion import cli
from hf_lesion.errors import one_line_errors


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.build_parser(__doc__)
    cli.add_shared(parser, "models", "dataset", required=True)
    cli.add_shared(parser, "split")
    return parser.parse_args()


@one_line_errors
def main() -> None:
    """Score the ensemble, compare models, write and print the record."""
    arguments = parse_arguments()
    from hf_lesion.evaluation import ensemble, scoring
    from hf_lesion.evaluation.explanations.estimates import format_change
    from hf_lesion.evaluation.report import record
    from hf_lesion.evaluation.report.build import weights_sha256
    from hf_lesion.verbosity import quiet_libraries

    quiet_libraries()
    members = ensemble.find_members(arguments.models)
    images = scoring.read_split(arguments.dataset, arguments.split)
    answers = ensemble.read_members(members, images, arguments.split)
    weights = {folder.name: weights_sha256(folder) for folder in members}
    mean = ensemble.average(answers)
    found = ensemble.describe(mean, data=images.origin, weights=weights)
    found["pairs"] = ensemble.compare_pairs(answers, mean)
    file = ensemble.write_ensemble(arguments.models, arguments.split, found)
    for name in ("balanced_accuracy", "accuracy", "macro_auroc"):
        print(f"{name}: {record.format_metric(found, name)}")
    for pair in found["pairs"]:
        change = format_change(pair["differences"]["balanced_accuracy"])
        print(f"{pair['first']} minus {pair['second']}: {change}")
    print(f"\nMean of {', '.join(weights)} on {found['images']:,} images. Written: {file}")


if __name__ == "__main__":
    main()
