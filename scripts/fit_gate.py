"""Fit a model's gate, which rejects non-dermoscopic images and flags uncertain predictions.

    python scripts/fit_gate.py --model runs/cnn --dataset data/ham10000 --ood_images photos phones

The gate is fitted on the train split, drawn images and, if given, photos. Thresholds are chosen on
validation. Rejection rates are measured on test and, for drawn images and photos, by cross-fitting.
Writes gate.safetensors, which is then loaded with the model, gate.json (rejection rates) and
gate.png.
"""

import argparse
from pathlib import Path
from typing import Any

from hf_lesion import cli
from hf_lesion.errors import one_line_errors

FIGURE = "gate.png"


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.build_parser(__doc__)
    cli.add_shared(parser, "model", "dataset", required=True)
    cli.add_shared(parser, "batch_size", default=8, help="images at once (default: 8)")
    cli.add_shared(parser, "output")
    add = parser.add_argument
    folders: dict[str, Any] = {"type": Path, "nargs": "+", "metavar": "DIR"}
    help_text = "folders of images to reject, such as phone photos of skin; one source per folder"
    add("--ood_images", **folders, default=[], help=help_text)
    help_text = "validation and test images with another crop, named <image_id>.jpg"
    add("--frames", type=Path, metavar="DIR", help=help_text)
    add("--limit", type=cli.at_least(1), metavar="N", help="only N images of each set")
    return parser.parse_args()


@one_line_errors
def main() -> None:
    """Fit, measure, write, plot, print."""
    arguments = parse_arguments()
    from hf_lesion.evaluation.bulk import list_folder
    from hf_lesion.evaluation.fitting import fit_gate
    from hf_lesion.io.decoding import describe_left_out
    from hf_lesion.io.figures import write_figure
    from hf_lesion.io.files import whole_file
    from hf_lesion.ood.figures import plot_gate
    from hf_lesion.ood.gate import GATE, GATE_RECORD, write_gate, write_gate_record
    from hf_lesion.verbosity import quiet_libraries

    quiet_libraries()
    photos = {folder.resolve().name: list_folder(folder) for folder in arguments.ood_images}
    for name, found in photos.items():
        if found.left_out:
            print(f"{name}: {describe_left_out(found.left_out)}", flush=True)
    gate, record = fit_gate(
        arguments.model,
        arguments.dataset,
        photos,
        frames=arguments.frames,
        batch_size=arguments.batch_size,
        limit=arguments.limit,
    )
    folder = arguments.output or arguments.model
    with whole_file(folder / GATE) as partial:
        write_gate(partial, gate)
    write_gate_record(folder, record)
    write_figure(plot_gate(record), folder / FIGURE)
    print(record.summary)
    for title, rejections in (("dermoscopic", record.dermoscopic), ("other", record.other)):
        print(f"\nrejected of {title} images")
        for name, rejection in rejections.items():
            print(f"  {name:<26}{rejection.text:>24} of {rejection.images:,}")
    print(f"\nWritten: {folder / GATE}, {folder / GATE_RECORD}, {folder / FIGURE}")


if __name__ == "__main__":
    main()
