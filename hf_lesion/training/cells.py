"""One cell of a comparison: a recipe trained on given rows and asked about others, nothing kept."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict
from numpy.typing import NDArray
from scipy.special import softmax
from transformers import set_seed

from hf_lesion.data.protocols import Protocol
from hf_lesion.models.build import build_model
from hf_lesion.training.arguments import build_parser, parse_arguments
from hf_lesion.training.trainer import build_eval_samples, build_trainer

# No checkpoints and no look at the tested images before the end.
SETTINGS: dict[str, Any] = {
    "eval_strategy": "no",
    "save_strategy": "no",
    "load_best_model_at_end": "false",
    "report_to": "none",
    "logging_steps": 1000,
}


@dataclass(frozen=True)
class Answers:
    """What a trained cell answers.

    Attributes:
        probabilities: (N, C) of the tested rows.
        steps: How many the training took.
        images: How many images it saw in an epoch.
    """

    probabilities: NDArray[np.float64]
    steps: int
    images: int


def train_cell(
    rows: Dataset, protocol: Protocol, options: dict[str, Any], *, scratch: Path
) -> Answers:
    """Train a recipe on a protocol's train rows and return its answers to the test rows.

    Args:
        rows: With the columns `image`, `label` and `image_id`.
        protocol: Which rows are for what.
        options: Flags of `scripts/train.py` by name: config, image_size, seed and so on.
        scratch: The Trainer's folder; nothing is left in it.

    Raises:
        InputError: If an option is unknown or a class has no training image.
    """
    words = {**SETTINGS, **options, "output_dir": scratch}
    argv = [word for key, value in words.items() for word in (f"--{key}", str(value))]
    model_arguments, recipe, arguments = parse_arguments(build_parser(""), argv)
    set_seed(arguments.seed)
    model, processor = build_model(
        model_arguments.model,
        image_size=model_arguments.image_size,
        init_weights=Path(model_arguments.init_weights) if model_arguments.init_weights else None,
        model_args=model_arguments.model_args,
    )
    splits = DatasetDict(train=rows.select(protocol.train), validation=rows.select(protocol.test))
    trainer = build_trainer(model, processor, splits, recipe, arguments)
    trainer.train()
    found = trainer.predict(build_eval_samples(processor, splits))
    logits = np.asarray(found.predictions, dtype=np.float64)
    return Answers(
        probabilities=softmax(logits, axis=1),
        steps=int(trainer.state.global_step),
        images=len(splits["train"]),
    )
