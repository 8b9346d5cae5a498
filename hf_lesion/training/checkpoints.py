"""Finding the newest checkpoint that is whole, past those that a kill left half written."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open

from hf_lesion.io.checksums import CONFIG, WEIGHTS

PREFIX = "checkpoint-"
# In the order in which the Trainer writes them: the last one stands for a finished checkpoint.
STATE = "trainer_state.json"
FILES = (CONFIG, WEIGHTS, "optimizer.pt", "scheduler.pt", STATE)

logger = logging.getLogger(__name__)


def list_checkpoints(output_dir: Path) -> list[Path]:
    """Return the checkpoint folders of a run, newest first, whole or not."""
    numbered = [
        (int(folder.name.removeprefix(PREFIX)), folder)
        for folder in output_dir.glob(f"{PREFIX}*")
        if folder.is_dir() and folder.name.removeprefix(PREFIX).isdigit()
    ]
    return [folder for _, folder in sorted(numbered, reverse=True)]


def find_checkpoint(output_dir: Path, *, also: Sequence[str] = ()) -> Path | None:
    """Return the newest whole checkpoint, saying which newer ones are skipped and why.

    Args:
        output_dir: The run's folder.
        also: Files that a checkpoint of this run has beside the Trainer's own.
    """
    for folder in list_checkpoints(output_dir):
        damage = describe_damage(folder, also=also)
        if damage is None:
            return folder
        logger.warning("Skipping %s: %s.", folder, damage)
    return None


def describe_damage(folder: Path, *, also: Sequence[str] = ()) -> str | None:
    """Return what is wrong with a checkpoint folder, or None if it is whole."""
    missing = [name for name in (*FILES, *also) if not (folder / name).is_file()]
    if missing:
        return f"it has no {', '.join(missing)}"
    try:
        json.loads((folder / STATE).read_text(encoding="utf-8"))
        with safe_open(folder / WEIGHTS, framework="pt") as weights:
            weights.keys()
    except (ValueError, SafetensorError, OSError) as error:
        return f"it is damaged ({error})"
    return None
