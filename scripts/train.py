"""Fine-tune or train a classifier of the seven diagnoses.

accelerate launch scripts/train.py --config scripts/configs/cnn.yaml \
    --dataset data/ham10000 --output_dir runs/cnn

Works the same with `python` in place of `accelerate launch`. A killed run goes on with the same
line and `--resume_from_checkpoint true`.
"""

import logging
import sys

from hf_lesion.errors import one_line_errors


@one_line_errors
def main() -> None:
    """Parse the recipe and the flags, train, say where the results lie."""
    from hf_lesion.training.arguments import build_parser, parse_arguments

    parser = build_parser(str(__doc__))
    model, recipe, training = parse_arguments(parser, sys.argv[1:])
    logging.basicConfig(format="%(message)s")
    logging.getLogger("hf_lesion").setLevel(logging.INFO)

    from hf_lesion.training.run import train

    run = train(model, recipe, training)
    if training.process_index == 0:
        best = run.record["best_metric"]
        score = "not evaluated" if best["value"] is None else f"{best['value']:.3f}"
        print(f"Validation {best['name']} of the best checkpoint: {score}")
        print(f"Model, training.json and curves.png: {run.output_dir}")
        print(f"Score it: python scripts/score.py --model {run.output_dir} --split test \\")
        print(f"    --dataset {recipe.dataset}")


if __name__ == "__main__":
    main()
