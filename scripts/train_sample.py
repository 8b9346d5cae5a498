"""Draw the sample set, prepare it and train three small models on it: the whole way in minutes.

python scripts/train_sample.py --output runs/sample

The lesions are drawn, not photographed: these models show how everything works and know nothing of
skin. What is finished is kept, so an interrupted run goes on where it stopped.
"""

import argparse
import json
from pathlib import Path

from hf_lesion.errors import one_line_errors

RECIPES = {
    "cnn": "sample_cnn.yaml",
    "resnet": "sample_resnet.yaml",
    "densenet": "sample_densenet.yaml",
}
CONFIGS = Path(__file__).parent / "configs"
IMAGES = 600


@one_line_errors
def main() -> None:
    """Draw, prepare, train; each step only if its result is not there yet."""
    options = parse_options()
    dataset = make_dataset(options)
    for name, recipe in RECIPES.items():
        train_model(name, CONFIGS / recipe, dataset, options)
    print(f"Models: {options.output / 'models'}")
    print(f"Open them: python space/app.py --models {options.output / 'models'}")


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, default=Path("runs/sample"), help="default: %(default)s"
    )
    parser.add_argument("--images", type=int, default=IMAGES, help="to draw; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument(
        "--max_steps", type=int, default=-1, help="stop each training early, for a quick check"
    )
    return parser.parse_args()


def make_dataset(options: argparse.Namespace) -> Path:
    """Draw the images and turn them into a dataset; return its folder."""
    from hf_lesion.data.build import prepare
    from hf_lesion.synthetic.dataset import write_sample

    raw, dataset = options.output / "raw", options.output / "dataset"
    if not raw.exists():
        write_sample(raw, options.images, seed=options.seed)
    if not dataset.exists():
        prepare(raw, dataset, seed=options.seed)
    check_dataset(dataset, options)
    return dataset


def check_dataset(dataset: Path, options: argparse.Namespace) -> None:
    """Raise InputError if an earlier run drew other images than are asked for now."""
    from hf_lesion.errors import InputError

    prepared = json.loads((dataset / "prepared.json").read_text(encoding="utf-8"))
    drawn = (sum(prepared["images"].values()), prepared["seed"])
    if drawn != (options.images, options.seed):
        raise InputError(
            f"{options.output} holds {drawn[0]} images of seed {drawn[1]}. Pass another --output, "
            "or remove that folder."
        )


def train_model(name: str, recipe: Path, dataset: Path, options: argparse.Namespace) -> None:
    """Train one model, or go on with it, unless it is finished."""
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
