"""Measure robustness: scores under compression, blur, lighting, hair, cropping and more.

    python scripts/measure_robustness.py --model runs/cnn --dataset data/ham10000

Writes robustness.json and robustness.png to the model folder, and prints the table, worst first.
"""

import argparse
from functools import partial

from hf_lesion import cli
from hf_lesion.errors import one_line_errors

FIGURE = "robustness.png"


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.build_parser(__doc__)
    cli.add_shared(parser, "model", "dataset", required=True)
    cli.add_shared(parser, "split", "batch_size", "output")
    add = parser.add_argument
    add("--only", nargs="+", metavar="NAME", help="only these distortions, such as jpeg blur")
    add("--limit", type=cli.at_least(1), metavar="N", help="only N images, sampled at random")
    return parser.parse_args()


@one_line_errors
def main() -> None:
    """Measure, write record and figure, print the table."""
    arguments = parse_arguments()
    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.evaluation import robustness, scoring
    from hf_lesion.evaluation.distortions import DISTORTIONS
    from hf_lesion.evaluation.report.build import weights_sha256
    from hf_lesion.evaluation.report.figures import draw_robustness
    from hf_lesion.io.figures import write_figure
    from hf_lesion.verbosity import quiet_libraries

    quiet_libraries()
    images = scoring.read_split(arguments.dataset, arguments.split)
    images = scoring.sample_images(images, arguments.limit)
    classifier = LesionClassifier.from_pretrained(arguments.model)
    predict = partial(scoring.predict, classifier, batch_size=arguments.batch_size)
    names = arguments.only or tuple(DISTORTIONS)
    model = {"name": classifier.name, "weights_sha256": weights_sha256(arguments.model)}
    record = robustness.measure(predict, images, names, model=model)
    folder = arguments.output or arguments.model
    path = robustness.write_record(folder, record)
    title = f"{classifier.name} on {record['images']:,} images ({record['data']['split']})"
    write_figure(draw_robustness(record, title=title), folder / FIGURE)
    print(robustness.render_table(record))
    print(f"\nWritten: {path}, {folder / FIGURE}")


if __name__ == "__main__":
    main()
