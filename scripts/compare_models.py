"""Compare scored models in pairs, on the same images.

    python scripts/score.py --model models/cnn --dataset data/ham10000 --split test
    python scripts/score.py --model models/resnet --dataset data/ham10000 --split test
    python scripts/compare_models.py --models models --dataset data/ham10000 --split test

Reads predictions_<split>.csv next to each model in the folder and writes comparison.json next to
the model folders: differences between neighbours in balanced accuracy (paired bootstrap over
lesions), which the results table shows as long as the weights are the same.
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
    """Compare the models, write the record and print the differences."""
    arguments = parse_arguments()
    from hf_lesion.evaluation import comparison, scoring
    from hf_lesion.evaluation.report.build import weights_sha256
    from hf_lesion.io.numbers import format_difference
    from hf_lesion.io.provenance import provenance
    from hf_lesion.verbosity import quiet_libraries

    quiet_libraries()
    folders = comparison.find_models(arguments.models)
    images = scoring.read_split(arguments.dataset, arguments.split)
    answers = comparison.read_answers(folders, images, arguments.split)
    weights = {folder.name: weights_sha256(folder) for folder in folders}
    pairs = comparison.compare_pairs(answers)
    about = {"models": weights, "data": images.origin, "provenance": provenance()}
    file = comparison.write_comparison(arguments.models, arguments.split, {**about, "pairs": pairs})
    for pair in pairs:
        change = format_difference(pair["differences"]["balanced_accuracy"])
        print(f"{pair['first']} minus {pair['second']}: balanced accuracy {change}")
    print(f"\nWritten: {file}")


if __name__ == "__main__":
    main()
