"""Measure how a model's scores change under compression, blur, other light, hair, another framing.

    python scripts/measure_robustness.py --model runs/cnn --dataset data/ham10000

Writes robustness.json and robustness.png beside the model and prints the table, worst case first.
"""

import argparse
from pathlib import Path
from typing import Any

from hf_lesion.errors import one_line_errors

FIGURE = "robustness.png"


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", type=Path, required=True, metavar="DIR", help="folder of a trained model")
    add("--dataset", type=Path, required=True, metavar="DIR", help="what prepare_data.py wrote")
    add("--split", default="test", metavar="NAME", help="measured on (default: %(default)s)")
    add("--only", nargs="+", metavar="NAME", help="these distortions alone, such as jpeg blur")
    add("--limit", type=int, metavar="N", help="only N images, at random: for a quick look")
    add("--batch_size", type=int, default=32, metavar="N", help="images at once (default: 32)")
    add("--output", type=Path, metavar="DIR", help="where to write (default: the model's folder)")
    return parser.parse_args()


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the record of one model on one split."""
    from functools import partial

    from hf_lesion.evaluation import robustness, scoring
    from hf_lesion.evaluation.distortions import DISTORTIONS
    from hf_lesion.evaluation.record import weights_sha256
    from hf_lesion.inference import LesionClassifier
    from hf_lesion.verbosity import quiet_libraries

    quiet_libraries()
    images = scoring.read_split(arguments.dataset, arguments.split)
    images = robustness.choose_images(images, arguments.limit)
    classifier = LesionClassifier.from_pretrained(arguments.model)
    predict = partial(scoring.predict, classifier, batch_size=arguments.batch_size)
    found = robustness.measure(predict, images, arguments.only or tuple(DISTORTIONS))
    model = {"name": classifier.name, "weights_sha256": weights_sha256(arguments.model)}
    return robustness.build_record(found, data=images.origin, model=model)


@one_line_errors
def main() -> None:
    """Measure, record, draw, print."""
    arguments = parse_arguments()
    from hf_lesion.canvas import write_figure
    from hf_lesion.evaluation import robustness
    from hf_lesion.evaluation.robustness_figures import draw_robustness

    record = measure(arguments)
    folder = arguments.output or arguments.model
    path = robustness.write_record(folder, record)
    title = f"{record['model']['name']} on {record['images']:,} images ({record['data']['split']})"
    write_figure(draw_robustness(record, title=title), folder / FIGURE)
    print(robustness.render_table(record))
    print(f"\nWritten: {path}, {folder / FIGURE}")


if __name__ == "__main__":
    main()
