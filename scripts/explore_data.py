r"""Plot the content of a prepared dataset, and write the counts that the web demo shows.

Writes each chart as PNG and SVG, a self-contained page with all charts (index.html), and counts
without images, which the web demo shows as space/dataset.json (summary.json). A contact sheet of
dataset images and a page that includes it (data.html) are written to --private, which git ignores
by default.

Examples:
  python scripts/explore_data.py --dataset data/ham10000 --output reports/data
  python scripts/explore_data.py --dataset data/ham10000 --output reports/data --samples 8 --seed 1
  python scripts/explore_data.py --dataset data/ham10000 --audits reports/leakage*.json \
      --summary space/dataset.json
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hf_lesion import cli
from hf_lesion.errors import one_line_errors

if TYPE_CHECKING:
    import pandas as pd

    from hf_lesion.eda.report import Chart

PAGE_FILE, SUMMARY_FILE = "index.html", "summary.json"
PRIVATE_PAGE_FILE, SAMPLES_FILE = "data.html", "samples.png"


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.build_parser(__doc__)
    cli.add_shared(parser, "dataset", required=True)
    add = parser.add_argument
    output_help = "folder for the charts and the page (default: %(default)s)"
    cli.add_shared(parser, "output", default=Path("reports/data"), help=output_help)
    cli.add_shared(parser, "private")
    count = cli.at_least(0)
    help_text = "images per diagnosis; 0: no contact sheet (default: 6)"
    add("--samples", type=count, default=6, help=help_text)
    add("--seed", type=count, default=0, help="seed of the sampled images (default: 0)")
    add("--audits", type=Path, nargs="*", default=[], help="records of scripts/audit_splits.py")
    add("--summary", type=Path, help="file for the counts (default: summary.json in --output)")
    return parser.parse_args()


def plot_samples(arguments: argparse.Namespace, frame: "pd.DataFrame") -> "Chart":
    """Plot the contact sheet."""
    from hf_lesion.data.reader import read_thumbnails
    from hf_lesion.eda import figures
    from hf_lesion.eda.frame import sample_images
    from hf_lesion.eda.report import Chart

    chosen = sample_images(frame, per_class=arguments.samples, seed=arguments.seed)
    wanted = {number for numbers in chosen.values() for number in numbers}
    images = read_thumbnails(arguments.dataset, wanted, size=figures.THUMBNAIL)
    caption = f"Up to {arguments.samples} random images of each diagnosis, one per lesion."
    return Chart("samples", "Contact sheet", caption, figures.plot_samples(chosen, images))


def plot_augmentations() -> "Chart":
    """Plot the training augmentations of a drawn lesion."""
    from hf_lesion.eda.report import Chart
    from hf_lesion.synthetic.lesions import draw_lesion
    from hf_lesion.training.figures import plot_augmentations

    lesions = [draw_lesion(dx, seed=seed)[0] for dx, seed in (("mel", 3), ("vasc", 2))]
    caption = "A drawn lesion with each --augmentation, and mixed with another (--mixup, --cutmix)."
    return Chart("augmentation", "Augmentation", caption, plot_augmentations(lesions))


@one_line_errors
def main() -> None:
    """Read the dataset, and write charts, page and counts."""
    arguments = parse_arguments()
    from hf_lesion.data.record import read_fingerprint
    from hf_lesion.eda.frame import read_frame
    from hf_lesion.eda.report import (
        build_charts,
        read_leakage,
        summarise,
        write_charts,
        write_page,
    )
    from hf_lesion.io.figures import write_figure
    from hf_lesion.io.files import write_json

    output, private = arguments.output, arguments.private
    fingerprint = read_fingerprint(arguments.dataset)
    leakage = read_leakage(arguments.audits)
    output.mkdir(parents=True, exist_ok=True)
    frame = read_frame(arguments.dataset)
    summary = summarise(frame, fingerprint=fingerprint)
    write_json(arguments.summary or output / SUMMARY_FILE, summary)
    charts = [*build_charts(frame, leakage), plot_augmentations()]
    paths = write_charts(charts, output)
    about = {"frame": frame, "title": arguments.dataset.name, "fingerprint": fingerprint}
    write_page(charts, paths, output / PAGE_FILE, **about)
    print(frame.groupby(["dx", "split"], observed=False).size().unstack().to_string())
    print(f"Page: {output / PAGE_FILE}; charts as PNG and SVG, and {SUMMARY_FILE}, next to it")
    if arguments.samples:
        samples = plot_samples(arguments, frame)
        paths["samples"] = private / SAMPLES_FILE
        write_figure(samples.figure, paths["samples"])
        write_page([*charts, samples], paths, private / PRIVATE_PAGE_FILE, **about)
        print(f"With dataset images, not for git: {private / PRIVATE_PAGE_FILE}, {SAMPLES_FILE}")


if __name__ == "__main__":
    main()
