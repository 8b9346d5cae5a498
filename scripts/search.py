"""Search the settings of a recipe with Optuna.

python scripts/search.py --config scripts/configs/cnn.yaml --trials 20 \
    --dataset data/ham10000 --output_dir runs/search_cnn --num_train_epochs 2

--space is a YAML file of what is varied (default: scripts/configs/search_space.yaml); every flag of
scripts/train.py holds for all trials. The study is stored in --output_dir: the same line goes on
with a search that was killed, and more --trials make it longer. Trials below the median are pruned.
--output_dir then holds best.yaml, a recipe for scripts/train.py, trials.csv and Optuna's plots.
"""

import argparse
import logging
from pathlib import Path

from hf_lesion.errors import one_line_errors

SPACE = Path(__file__).parent / "configs" / "search_space.yaml"


@one_line_errors
def main() -> None:
    """Parse, search, print the best settings."""
    from hf_lesion.training.arguments import build_parser, read_recipe
    from hf_lesion.training.search import read_space, search

    parser = build_parser(str(__doc__))
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    parser.add_argument("--space", type=Path, default=SPACE, help="YAML file of what is varied")
    parser.add_argument("--trials", type=int, default=20, help="in all, with those of earlier runs")
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
