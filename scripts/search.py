"""Search the settings of a recipe with Optuna, through the Trainer.

python scripts/search.py --config scripts/configs/cnn.yaml --trials 20 \
    --dataset data/ham10000 --output_dir runs/search_cnn --num_train_epochs 2

What is varied stands in --space, a YAML file (default: scripts/configs/search_space.yaml); all
flags of scripts/train.py hold for every trial. The study is an SQLite file in --output_dir: a
killed search goes on with the same line, and more --trials make it longer. Trials below the median
are pruned after an epoch. In the end --output_dir holds Optuna's plots, trials.csv and best.yaml, a
recipe. No weights are kept: train the best recipe with scripts/train.py.
"""

import logging
import sys
from pathlib import Path

from hf_lesion.errors import one_line_errors

SPACE = Path(__file__).parent / "configs" / "search_space.yaml"


@one_line_errors
def main() -> None:
    """Parse, search, say what was found."""
    from hf_lesion.training.arguments import build_parser, parse_arguments
    from hf_lesion.training.search import SearchArguments, search
    from hf_lesion.training.search_space import read_space

    parser = build_parser(str(__doc__), SearchArguments)
    model, recipe, training, what = parse_arguments(parser, sys.argv[1:])
    logging.basicConfig(format="%(message)s")
    logging.getLogger("hf_lesion").setLevel(logging.INFO)

    found = search(model, recipe, training, read_space(Path(what.space or SPACE)), what.trials)
    counts = ", ".join(f"{count} {state}" for state, count in found.states.items() if count)
    print(f"Trials: {counts}. Best validation {training.metric_for_best_model}: {found.value:.3f}")
    for key, value in found.settings.items():
        print(f"  {key}: {value}")
    print(f"Plots, trials.csv and best.yaml: {found.folder}")
    print(f"Train it: accelerate launch scripts/train.py --config {found.folder}/best.yaml \\")
    print("    --output_dir runs/best")


if __name__ == "__main__":
    main()
