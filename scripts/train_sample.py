"""Draw the sample set, prepare it, and train three small models on it in minutes.

python scripts/train_sample.py --output runs/sample

The lesions are drawn: the models demonstrate the software and have no diagnostic value.
Finished steps are kept; run the same command to resume.
"""

import argparse
from pathlib import Path

from hf_lesion import cli
from hf_lesion.errors import InputError, one_line_errors

RECIPES = {
    "cnn": "sample_cnn.yaml",
    "resnet": "sample_resnet.yaml",
    "densenet": "sample_densenet.yaml",
}
CONFIGS = Path(__file__).parent / "configs"
IMAGES = 600


@one_line_errors
def main() -> None:
    """Generate images, prepare the dataset and train the models, skipping finished steps."""
    options = parse_arguments()
    dataset = make_dataset(options)
    for name, recipe in RECIPES.items():
        train_model(name, CONFIGS / recipe, dataset, options)
    print(f"Models: {options.output / 'models'}")
    print(f"Open them: python space/app.py --models {options.output / 'models'}")


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.build_parser(__doc__)
    output_help = "folder to write to (default: %(default)s)"
    cli.add_shared(parser, "output", default=Path("runs/sample"), help=output_help)
    add = parser.add_argument
    add("--images", type=int, default=IMAGES, help="number of images (default: %(default)s)")
    add("--seed", type=int, default=0, help="random seed (default: %(default)s)")
    add("--max_steps", type=int, default=-1, help="training steps per model, for a quick check")
    return parser.parse_args()


def make_dataset(options: argparse.Namespace) -> Path:
    """Generate the images, prepare the dataset, and return its folder.

    Raises:
        InputError: If an existing dataset has another number of images or seed.
    """
    from hf_lesion.data.build import prepare
    from hf_lesion.data.record import read_record
    from hf_lesion.synthetic.dataset import write_sample

    raw, dataset = options.output / "raw", options.output / "dataset"
    if not raw.exists():
        write_sample(raw, options.images, seed=options.seed)
    if not dataset.exists():
        prepare(raw, dataset, seed=options.seed)
    prepared = read_record(dataset)
    images, seed = sum(prepared["images"].values()), prepared["seed"]
    if (images, seed) != (options.images, options.seed):
        raise InputError(
            f"{options.output} contains {images} images of seed {seed}. Pass another --output, or "
            "remove that folder."
        )
    return dataset


def train_model(name: str, recipe: Path, dataset: Path, options: argparse.Namespace) -> None:
    """Train or resume a model, unless it is finished."""
    from hf_lesion.io.checksums import TRAINING

    folder = options.output / "models" / name
    if (folder / TRAINING).exists():
        return
    from hf_lesion.training.arguments import build_parser, parse_arguments
    from hf_lesion.training.run import train

    print(f"Training {name} on drawn lesions ({recipe.name}) …", flush=True)
    words = {
        "config": recipe,
        "dataset": dataset,
        "output_dir": folder,
        "seed": options.seed,
        "max_steps": options.max_steps,
        "resume_from_checkpoint": "true",
    }
    argv = [word for key, value in words.items() for word in (f"--{key}", str(value))]
    run = train(*parse_arguments(build_parser(""), argv))
    best = run.record["best_metric"]["value"]
    print(f"{name}: validation balanced accuracy {best or float('nan'):.2f}")


if __name__ == "__main__":
    main()
