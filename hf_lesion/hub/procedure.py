"""How a model was trained, and what that run built on, in the sentences of its card."""

from pathlib import Path
from typing import Any

# The last is of earlier versions, in whose records it stands.
NOT_SHOWN = ("dataset", "checkpoint_minutes", "balance_copies")


def say_procedure(training: dict[str, Any]) -> str:
    """Return the sentences of a card on how its model was trained.

    Args:
        training: The record of the run, as training leaves it.
    """
    hours = training.get("hours_of_last_leg")
    took = "" if hours is None else f", {hours:.1f} hours"
    legs = len(training.get("legs", []))
    of_last = f" in the last of {legs} runs" if legs > 1 else ""
    machine = training["provenance"]["machine"]
    return (
        f"{training['epochs']:g} epochs ({training['steps']:,} steps of "
        f"{training['effective_batch_size']}) on {training['device']}{took}{of_last}; "
        f"{machine['platform']}, Python {machine['python']}. Seed {training['seed']}. Settings: "
        f"{_say_settings(training)}. {_say_lineage(training)}All of them, versions and the loss: "
        "`training.json`."
    )


def _say_settings(training: dict[str, Any]) -> str:
    shown = {
        key: value
        for key, value in {**training["model"], **training["recipe"]}.items()
        if value not in (None, False, 0, 0.0) and key not in NOT_SHOWN
    }
    return ", ".join(f"{key} {_base(value)}" for key, value in shown.items())


def _say_lineage(training: dict[str, Any]) -> str:
    """Return a sentence for the run it started from and one for each teacher's, where known."""
    mean = _say_mean(training)
    sentences = [f"The weights are {mean}. "] if mean else []
    for key, word in {"started_from": "Before that", "taught_by": "The teacher"}.items():
        found = training.get(key)
        for before in filter(None, found if isinstance(found, list) else [found]):
            stamp = before["dataset"]["fingerprint"][:12]
            which = ", ".join(filter(None, (f"seed {before['seed']}", _say_mean(before))))
            sentences.append(
                f"{word}: {before['epochs']:g} epochs on `{stamp}`, {which}; "
                f"{_say_settings(before)}. "
            )
    return "".join(sentences)


def _base(value: Any) -> Any:
    """Return a path's last part: where a teacher lay on somebody's disk tells nobody anything."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return " and ".join(map(_base, value))
    return Path(value).name if isinstance(value, str) and "/" in value else value


def _say_mean(training: dict[str, Any]) -> str:
    """Return of how many checkpoints the weights are the mean; empty for weights as trained."""
    count = len(training.get("averaged", ()))
    return f"the mean of {count} checkpoints" if count else ""
