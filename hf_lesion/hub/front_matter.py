"""Front matter of a model card: the YAML that the Hub reads, with scores and intervals."""

import math
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from hf_lesion.evaluation.report import tables
from hf_lesion.hub.results import TEST, VALIDATION, Shipped

TASK = "image-classification"
DIGITS = 4
# In the order of the card's front matter.
METRICS = (
    "balanced_accuracy",
    "accuracy",
    "macro_f1",
    "macro_auroc",
    "macro_average_precision",
    "sensitivity_mel",
)


def build_front_matter(model: Shipped) -> ModelCardData:
    """Return the front matter of a card, with a `model-index` of the test and validation splits.

    Args:
        model: Its records, as from `results.read_shipped`.
    """
    return ModelCardData(
        license="cc-by-nc-4.0",
        library_name="transformers",
        pipeline_tag=TASK,
        tags=["dermoscopy", "HAM10000", "medical", "calibration"],
        metrics=["accuracy"],
        model_name=model.name,
        eval_results=[
            result for split in (TEST, VALIDATION) for result in _results(split, model.report)
        ],
    )


def _results(split: str, report: dict[str, Any]) -> list[EvalResult]:
    record = report[split]
    return [
        EvalResult(
            task_type=TASK,
            dataset_type="ham10000",
            dataset_name=f"{_name(record['data'])}, split by lesion",
            dataset_split=split,
            metric_type=name,
            metric_name=tables.label_of(name),
            metric_value=round(record["metrics"][name], DIGITS),
            metric_args=_interval(record["intervals"], name),
        )
        for name in METRICS
        if not math.isnan(record["metrics"][name])
    ]


def _name(data: dict[str, Any]) -> str:
    """Return which images were scored; records of earlier versions only name their folder."""
    return str(data.get("description") or f"HAM10000 ({data['source']})")


def _interval(found: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Return the interval of a metric as `args`, the only field of the schema for it.

    None where there is none.
    """
    bounds = found["bounds"].get(name)
    if bounds is None or any(math.isnan(bound) for bound in bounds):
        return None
    return {
        "interval": [round(bound, DIGITS) for bound in bounds],
        "level": found["level"],
        "method": f"{found['method']} over {found['unit']}s",
    }
