"""What a way of splitting is worth: recipes compared over several seeds, as record and as table."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_lesion import markdown
from hf_lesion.errors import InputError
from hf_lesion.evaluation import intervals, metrics
from hf_lesion.evaluation.predictions import Predictions

START = "<!-- recipes: rendered by scripts/compare_recipes.py -->"
END = "<!-- /recipes -->"
put_between_markers = functools.partial(markdown.put_between, start=START, end=END)
MEASURES = ("accuracy", "balanced_accuracy")
SEED = 0
POINTS = 100
# The student project's own number, under copied rows that were split by row.
STUDENT_ACCURACY = 0.933
MISSING = "not run yet"
SCHEMA_VERSION = 1
_UNKNOWN = (float("nan"), float("nan"))

Key = tuple[str, str, str]  # question, network, arm


def summarise(runs: Sequence[Predictions], *, resamples: int = intervals.RESAMPLES) -> Any:
    """Return what several seeds of one recipe scored.

    Args:
        runs: One a seed; all of one test set, or each of its own.
        resamples: How often the bootstrap draws.

    Returns:
        `images` of the first test set, and for each of `MEASURES` its `mean` over the seeds, the
        `seeds`' own values and the `interval`: over lesions where all tested the same images, else
        NaN.
    """
    found: dict[str, Any] = {"images": len(runs[0].image_ids)}
    same = all(run.image_ids == runs[0].image_ids for run in runs)
    for name in MEASURES:
        each = [_measure(name, run.references, _answers(run)) for run in runs]
        bounds = _interval([(run, 1.0) for run in runs], name, resamples) if same else _UNKNOWN
        found[name] = {"mean": float(np.mean(each)), "seeds": each, "interval": list(bounds)}
    return found


def summarise_difference(
    pairs: Sequence[tuple[Predictions, Predictions]], *, resamples: int = intervals.RESAMPLES
) -> Any:
    """Return by how much the second of two recipes is better, on the same images and seeds.

    Args:
        pairs: One a seed: (without, with), of the same test images.
        resamples: How often the bootstrap draws.

    Returns:
        For each of `MEASURES` the `mean` difference over the seeds, the `seeds`' own and the
        `interval` over lesions of that mean.

    Raises:
        ValueError: If two of them tested other images.
    """
    first = pairs[0][0].image_ids
    if any(run.image_ids != first for pair in pairs for run in pair):
        raise ValueError("The differences are paired: every run must have the same test images.")
    found = {}
    for name in MEASURES:
        scores = [[_measure(name, run.references, _answers(run)) for run in p] for p in pairs]
        each = [after - before for before, after in scores]
        signed = [(run, sign) for pair in pairs for run, sign in zip(pair, (-1, 1), strict=True)]
        bounds = _interval(signed, name, resamples)
        found[name] = {"mean": float(np.mean(each)), "seeds": each, "interval": list(bounds)}
    return found


def build_results(
    cells: Mapping[str, tuple[Predictions, dict[str, Any]]],
    *,
    seeds_wanted: int,
    resamples: int = intervals.RESAMPLES,
) -> dict[str, Any]:
    """Put finished cells together to what is kept, drawn and rendered.

    Args:
        cells: `<question>-<network>-<arm>-<seed>` → answers and the cell's record.
        seeds_wanted: Of each recipe.
        resamples: How often the bootstrap draws.

    Returns:
        `leak`, `protocols` and `balance`, with None for what was not run; `method`, `hours`,
        `dataset` (fingerprint), `description` (of its images; None if unknown).

    Raises:
        InputError: If the leak or the protocols were run with two networks.
    """
    by_recipe: dict[tuple[str, str, str], dict[int, Predictions]] = {}
    records: dict[tuple[str, str, str], dict[str, Any]] = {}
    for name, (predictions, record) in cells.items():
        question, network, arm, seed = name.split("-")
        known = {key[1] for key in records if key[0] == question}
        if question != "balance" and known - {network}:
            raise InputError(
                f"The {question} cells are of two networks, {', '.join(sorted({*known, network}))}:"
                " their rows would not compare. Give each network an --output of its own."
            )
        by_recipe.setdefault((question, network, arm), {})[int(seed)] = predictions
        records[question, network, arm] = record
    summaries = {
        key: summarise([runs[seed] for seed in sorted(runs)], resamples=resamples)
        for key, runs in by_recipe.items()
    }
    some = next(iter(records.values()))
    return {
        "schema_version": SCHEMA_VERSION,
        "seeds_wanted": seeds_wanted,
        "leak": _build_leak(by_recipe, summaries, records, resamples),
        "protocols": {
            arm: _of_arm(summaries, records, "protocols", arm) for arm in ("honest", "copied")
        },
        "balance": {
            network: {
                data: summaries.get(("balance", network, data)) for data in ("original", "balanced")
            }
            for network in ("cnn", "resnet", "densenet")
        },
        "method": {
            "image_size": some["options"]["image_size"],
            "epochs": max(record["options"]["num_train_epochs"] for record in records.values()),
            "level": intervals.LEVEL,
            "resamples": resamples,
            "seed": SEED,
        },
        "dataset": some["dataset"],
        "description": some.get("description"),
        "hours": sum(record["hours"] for _, record in cells.values()),
    }


def render_section(results: dict[str, Any]) -> str:
    """Return what stands between the README's markers; cells that were not run say so."""
    parts = [
        _render_leak(results),
        _render_protocols(results),
        _render_balance(results),
        _render_method(results),
    ]
    return "\n\n".join(parts)


def _build_leak(
    runs: Mapping[Key, dict[int, Predictions]],
    summaries: Mapping[Key, Any],
    records: Mapping[Key, dict[str, Any]],
    resamples: int,
) -> dict[str, Any]:
    found = {arm: _of_arm(summaries, records, "leak", arm) for arm in ("without", "with")}
    arms = {arm: by_seed for (question, _, arm), by_seed in runs.items() if question == "leak"}
    before, after = (arms.get(arm, {}) for arm in ("without", "with"))
    pairs = [(before[seed], after[seed]) for seed in sorted(before.keys() & after.keys())]
    difference = summarise_difference(pairs, resamples=resamples) if pairs else None
    return {**found, "difference": difference}


def _of_arm(
    summaries: Mapping[Key, Any], records: Mapping[Key, dict[str, Any]], question: str, arm: str
) -> dict[str, Any] | None:
    for key, summary in summaries.items():
        if (key[0], key[2]) == (question, arm):
            record = records[key]
            about = {name: record[name] for name in ("share_seen", "train_images", "steps")}
            start = record["options"].get("init_weights")
            return {"network": key[1], "init_weights": start, **summary, **about}
    return None


def _render_leak(results: dict[str, Any]) -> str:
    leak = results["leak"]
    rows = [
        ("no image of the tested lesions in train", leak["without"]),
        ("their other images in train", leak["with"]),
    ]
    table = _table("same test images, same recipe", rows, results["seeds_wanted"])
    if leak["difference"] is None:
        return f"{table}\n\nWhat the leak adds: {MISSING}."
    words = " and ".join(
        f"{_points(leak['difference'][name])} points of {name.replace('_', ' ')}"
        for name in MEASURES
    )
    return (
        f"{table}\n\nLeaked siblings alone add {words}: {leak['with']['images']:,} test images of "
        f"as many lesions; in the second row {leak['with']['share_seen']:.0%} of them have another "
        f"image of their lesion in train, in the first none. Both train on "
        f"{leak['with']['train_images']:,} images."
    )


def _render_protocols(results: dict[str, Any]) -> str:
    found = results["protocols"]
    rows = [
        ("split by lesion, then copied (honest)", found["honest"]),
        ("copied, then split by row (the student's)", found["copied"]),
    ]
    table = _table("single-image lesions, rows copied", rows, results["seeds_wanted"])
    said = f"The student project reported {STUDENT_ACCURACY:.1%} under the second protocol"
    if found["copied"] is None:
        return f"{table}\n\n{said}."
    return f"{table}\n\n{said}: {found['copied']['share_seen']:.0%} of its test rows are in train."


def _render_balance(results: dict[str, Any]) -> str:
    rows = [
        (f"`{network}`, {data} data", cell)
        for network, by_data in results["balance"].items()
        for data, cell in by_data.items()
    ]
    return _table("single-image lesions, honestly split", rows, results["seeds_wanted"])


def _render_method(results: dict[str, Any]) -> str:
    method = results["method"]
    found = [results["leak"]["without"], results["protocols"]["honest"]]
    ours = sorted({_name_network(cell) for cell in found if cell is not None})
    named = f"; the first two tables: {', '.join(ours)}" if ours else ""
    return (
        f"Small networks from random weights{named}. {method['image_size']} px, "
        f"{method['epochs']:g} epochs (of copied rows half as many); mean over "
        f"the seeds, in brackets the {method['level']:.0%} interval over lesions. "
        f"{results['hours']:.1f} hours of training in all. Images: {results['description']}."
    )


def _name_network(cell: dict[str, Any]) -> str:
    start = cell["init_weights"]
    return f"`{cell['network']}` from {f'`{start}`' if start else 'random weights'}"


def _table(title: str, rows: Sequence[tuple[str, Any]], wanted: int) -> str:
    header = (title, "accuracy", "balanced accuracy", "seeds")
    return "\n".join(markdown.table_lines(header, [_cells(*row, wanted) for row in rows]))


def _cells(label: str, cell: Any, wanted: int) -> list[str]:
    if cell is None:
        return [label, MISSING, MISSING, f"0 of {wanted}"]
    values = [_value(cell[name]) for name in MEASURES]
    return [label, *values, f"{len(cell['accuracy']['seeds'])} of {wanted}"]


def _value(found: dict[str, Any]) -> str:
    low, high = found["interval"]
    known = low is not None and not np.isnan(low)
    return f"{found['mean']:.3f}" + (f" [{low:.3f}, {high:.3f}]" if known else "")


def _points(found: dict[str, Any]) -> str:
    low, high = (POINTS * bound for bound in found["interval"])
    return f"{POINTS * found['mean']:+.1f} [{low:+.1f}, {high:+.1f}]"


def _answers(run: Predictions) -> NDArray[np.int64]:
    return metrics.predicted_classes(run.probabilities, run.references)


def _measure(name: str, references: NDArray[np.int64], answers: NDArray[np.int64]) -> float:
    return float(getattr(metrics, name)(metrics.confusion_matrix(references, answers)))


def _interval(
    signed: Sequence[tuple[Predictions, float]], name: str, resamples: int
) -> tuple[float, float]:
    """Return the interval over lesions of a signed sum of runs, divided by the number of seeds."""
    first = signed[0][0]
    seeds = sum(sign > 0 for _, sign in signed)
    answers = [(_answers(run), sign) for run, sign in signed]

    def statistic(rows: NDArray[np.int64]) -> float:
        references = first.references[rows]
        return sum(sign * _measure(name, references, each[rows]) for each, sign in answers) / seeds

    return intervals.bootstrap_statistic(
        statistic, len(first.image_ids), first.lesion_ids, resamples=resamples, seed=SEED
    )
