r"""Search hyperparameters of a recipe with Optuna.

python scripts/search.py --config scripts/configs/cnn.yaml --trials 20 \
    --dataset data/ham10000 --output_dir runs/search_cnn --num_train_epochs 2

--space is a YAML file with the search space (default: scripts/configs/search_space.yaml); flags of
scripts/train.py apply to all trials. The study is stored in --output_dir: run the same command to
resume an interrupted search, or increase --trials to extend it. Trials below the median are pruned.
Writes best.yaml, a recipe for scripts/train.py, trials.csv and the plots of Optuna.
"""

import argparse
import logging
from pathlib import Path

from hf_lesion.errors import one_line_errors

SPACE = Path(__file__).parent / "configs" / "search_space.yaml"


@one_line_errors
def main() -> None:
    """Run the search and print the best settings."""
    from hf_lesion.training.arguments import build_parser, read_recipe
    from hf_lesion.training.search import read_space, search

    parser = build_parser(str(__doc__))
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    parser.add_argument("--space", type=Path, default=SPACE, help="YAML file with the search space")
    parser.add_argument(
        "--trials", type=int, default=20, help="total number of trials, including earlier ones"
    )
    given = vars(parser.parse_args())
    space, trials, config = (given.pop(name, None) for name in ("space", "trials", "config"))
    settings = {**(read_recipe(Path(config)) if config else {}), **given}
    logging.basicConfig(format="%(message)s")
    logging.getLogger("hf_lesion").setLevel(logging.INFO)
    study = search(settings, read_space(space), trials)
    folder, best = settings["output_dir"], study.best_trial
    print(f"Best of {len(study.trials)} trials: {best.value:.3f}")
    print("\n".join(f"  {key}: {value}" for key, value in best.params.items()))
    print(f"Train it: accelerate launch scripts/train.py --config {folder}/best.yaml \\")
    print("    --output_dir runs/best")


if __name__ == "__main__":
    main()
