"""Draw what a prepared dataset holds, with a sentence on what to notice in each chart.

python scripts/explore_data.py --dataset data/ham10000 --output reports/data
"""

import argparse
import functools
from pathlib import Path
from typing import TYPE_CHECKING

from hf_lesion.errors import one_line_errors

if TYPE_CHECKING:
    import pandas as pd

    from hf_lesion.data.page import Chart

EXAMPLES = """\
Writes each chart as PNG and SVG, and index.html, which holds them all and needs no other file. A
sheet of samples shows images of the dataset: it goes to --private, which git ignores by default,
with a second page, data.html, that holds the sheet too.

examples:
  python scripts/explore_data.py --dataset data/ham10000 --output reports/data
  python scripts/explore_data.py --dataset data/ham10000 --output reports/data --samples 8 --seed 1
"""
PAGE_FILE, PRIVATE_PAGE_FILE, SAMPLES_FILE = "index.html", "data.html", "samples.png"


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description="Draw what a prepared dataset holds.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--dataset", type=Path, required=True, help="dataset from scripts/prepare_data.py")
    add(
        "--output",
        type=Path,
        default=Path("reports/data"),
        help="folder for charts and page (default: %(default)s)",
    )
    add(
        "--private",
        type=Path,
        default=Path("reports/private"),
        help="folder for the sheet of samples: keep it out of git (default: %(default)s)",
    )
    add("--samples", type=int, default=6, help="images of each diagnosis, 0 for no sheet (6)")
    add("--seed", type=int, default=0, help="of the choice of samples (default: 0)")
    arguments = parser.parse_args()
    if arguments.samples < 0 or arguments.seed < 0:
        parser.error("--samples and --seed are at least 0")
    return arguments


def draw_samples(arguments: argparse.Namespace, frame: "pd.DataFrame") -> "Chart":
    """Choose, read and draw the images of the sheet."""
    from hf_lesion.data import exploration, page, rows, sheets

    chosen = exploration.choose_samples(frame, per_class=arguments.samples, seed=arguments.seed)
    wanted = {number for numbers in chosen.values() for number in numbers}
    pictures = rows.read_thumbnails(arguments.dataset, wanted, size=sheets.THUMBNAIL)
    sentence = f"Up to {arguments.samples} images of each diagnosis, at random, one per lesion."
    return page.Chart("samples", "Samples", sentence, sheets.draw_samples(chosen, pictures))


def draw_augmentations() -> "Chart":
    """Draw what training makes of a lesion, a drawn one: this page may go anywhere."""
    from hf_lesion.data import page
    from hf_lesion.synthetic.lesions import draw_lesion
    from hf_lesion.training.pictures import draw_augmentations

    lesions = [draw_lesion(dx, seed=seed)[0] for dx, seed in (("mel", 3), ("vasc", 2))]
    sentence = (
        "A synthetic lesion as each --augmentation shows it to a model in training, and mixed with "
        "another one by --mixup. Strong also takes sharpness away, so that it can't tell a class."
    )
    return page.Chart("augmentation", "Augmentation", sentence, draw_augmentations(lesions))


@one_line_errors
def main() -> None:
    """Read once, draw, write, say what to notice."""
    arguments = parse_arguments()
    from hf_lesion.canvas import write_figure
    from hf_lesion.data import exploration, page
    from hf_lesion.data.dataset import read_fingerprint

    dataset, output, private = arguments.dataset, arguments.output, arguments.private
    fingerprint = read_fingerprint(dataset)
    output.mkdir(parents=True, exist_ok=True)
    frame = exploration.read_frame(dataset)
    charts = [*page.build_charts(frame), draw_augmentations()]
    paths = page.write_charts(charts, output)
    write_page = functools.partial(
        page.write_page, frame=frame, title=f"What {dataset.name} holds", fingerprint=fingerprint
    )
    write_page(charts, paths, output / PAGE_FILE)
    for chart in charts:
        print(f"{chart.title}: {chart.sentence}\n")
    print(f"Page: {output / PAGE_FILE}; each chart beside it as PNG and SVG")
    if arguments.samples:
        samples = draw_samples(arguments, frame)
        paths["samples"] = private / SAMPLES_FILE
        write_figure(samples.figure, paths["samples"])
        write_page([*charts, samples], paths, private / PRIVATE_PAGE_FILE)
        print(f"With samples, not for git: {private / PRIVATE_PAGE_FILE} and {SAMPLES_FILE}")


if __name__ == "__main__":
    main()
