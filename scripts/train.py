r"""Train or fine-tune a classifier of the seven diagnoses.

accelerate launch scripts/train.py --config scripts/configs/cnn.yaml \
    --dataset data/ham10000 --output_dir runs/cnn

`python` instead of `accelerate launch` also works. To resume an interrupted run, run the same
command with `--resume_from_checkpoint true`. `--push_to_hub true --hub_model_id me/name` publishes
the model at the end, like scripts/publish.py.
"""

import logging
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hf_lesion.errors import InputError, one_line_errors

if TYPE_CHECKING:
    from hf_lesion.training.arguments import LesionTrainingArguments


@one_line_errors
def main() -> None:
    """Train the model and print the output folder."""
    from hf_lesion.training.arguments import build_parser, parse_arguments

    parser = build_parser(str(__doc__))
    model, recipe, training = parse_arguments(parser, sys.argv[1:])
    logging.basicConfig(format="%(message)s")
    logging.getLogger("hf_lesion").setLevel(logging.INFO)

    repo_id = check_repository(training) if training.publish else None
    from hf_lesion.training.run import train

    run = train(model, recipe, training)
    if training.process_index == 0:
        best = run.record["best_metric"]
        score = "not evaluated" if best["value"] is None else f"{best['value']:.3f}"
        print(f"Validation {best['name']} of the best checkpoint: {score}")
        print(f"Model, training.json and curves.png: {run.output_dir}")
        print(f"Score it: python scripts/score.py --model {run.output_dir} --split test \\")
        print(f"    --dataset {recipe.dataset}", flush=True)
        if repo_id is not None:
            publish(run.output_dir, repo_id, training)


def check_repository(training: "LesionTrainingArguments") -> str:
    """Return the repository of --push_to_hub; checked before training starts."""
    from hf_lesion.hub.client import check_account, check_target, find_target

    repo_id = check_account(training.hub_model_id or Path(str(training.output_dir)).resolve().name)
    target = find_target(repo_id, "model", revision=training.hub_revision)
    check_target(target, private=training.hub_private_repo, overwrite=False)
    return repo_id


def publish(folder: Path, repo_id: str, training: "LesionTrainingArguments") -> None:
    """Publish a finished run, like scripts/publish.py."""
    from hf_lesion.hub.model import build_model_folder
    from hf_lesion.hub.publish import publish_folder

    try:
        with tempfile.TemporaryDirectory(prefix="hf_lesion_publish_") as built:
            build_model_folder(folder, Path(built), name=repo_id)
            publish_folder(
                Path(built),
                repo_id,
                "model",
                revision=training.hub_revision,
                private=training.hub_private_repo,
            )
    except InputError as error:
        raise InputError(
            f"The run in {folder} is finished but was not published: {error} To publish it, run: "
            f"python scripts/publish.py model --model {folder} --repo_id {repo_id}"
        ) from error


if __name__ == "__main__":
    main()
