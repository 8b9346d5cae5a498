"""Model cards and their charts, from the records next to the weights.

Mitchell et al., "Model cards for model reporting", FAT* 2019.
"""

import functools
import math
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
from huggingface_hub import EvalResult, ModelCardData
from transformers import AutoImageProcessor

from hf_lesion.errors import InputError
from hf_lesion.evaluation.explanations.figures import draw_scores
from hf_lesion.evaluation.explanations.tables import render_section
from hf_lesion.evaluation.report import tables
from hf_lesion.evaluation.report.figures import draw_robustness
from hf_lesion.evaluation.report.pages import FIGURES, build_sections, write_pages
from hf_lesion.evaluation.report.record import (
    LATER_ENTRIES,
    REPORT,
    format_metric,
    read_report,
    say_images,
)
from hf_lesion.evaluation.robustness import RECORD as ROBUSTNESS
from hf_lesion.evaluation.robustness import render_table
from hf_lesion.evaluation.subgroups import SKIN_TONE
from hf_lesion.hub.quantisation import read_record
from hf_lesion.hub.results import TEST, VALIDATION, Shipped
from hf_lesion.io.figures import write_figure
from hf_lesion.io.files import read_json_if_there
from hf_lesion.io.numbers import format_difference
from hf_lesion.labels import NAMES, NOTICE
from hf_lesion.models.preprocessing import describe_geometry, preprocessing_of
from hf_lesion.ood.figures import plot_gate
from hf_lesion.ood.gate import GateRecord, read_gate_record

TASK = "image-classification"
EXPLANATIONS = "explanations.json"
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
# The last is of earlier versions, in whose records it stands.
NOT_SHOWN = ("dataset", "checkpoint_minutes", "balance_copies")

read_optional = functools.partial(read_json_if_there, fix="Make it again.")


def render_card(model: Shipped, *, charts: Collection[str] = ()) -> str:
    """Return the card of one model as Markdown with YAML front matter.

    `charts` are files next to the card, as from `write_charts`; unknown ones are not shown.

    Raises:
        InputError: If the report of a split is too old for a card.
    """
    test, validation, training = model.report[TEST], model.report[VALIDATION], model.training
    for split in (TEST, VALIDATION):
        if missing := [name for name in LATER_ENTRIES if name not in model.report[split]]:
            raise InputError(
                f"The report of {model.name} has no {', '.join(missing)} for {split}: it is of an "
                "earlier version. Run scripts/score.py again."
            )
    processor = AutoImageProcessor.from_pretrained(model.folder, trust_remote_code=False)
    own = preprocessing_of(processor)
    scored = replace(own, crop_mode=test["preprocessing"].get("crop_mode", "squash"))
    explanations = read_optional(model.folder / EXPLANATIONS)
    teachers = training.get("taught_by") or []
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hf_lesion.hub"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("card.md.jinja").render(
        charts=charts,
        format_difference=format_difference,
        format_metric=format_metric,
        front_matter=build_front_matter(model).to_yaml(),
        gate=read_gate_record(model.folder),
        gate_table=_gate_table,
        geometry=describe_geometry(own),
        heatmaps=explanations.get(TEST) or explanations.get(VALIDATION) or {},
        heatmaps_section=render_section,
        is_pretrained=_is_pretrained,
        lower=lambda name: name[0].lower() + name[1:],
        model=model,
        names=NAMES,
        notice=NOTICE,
        number="{:,}".format,
        pictures={
            split: [
                picture
                for section in build_sections(split, model.report[split])
                for picture in section.pictures
            ]
            for split in (TEST, VALIDATION)
        },
        quantised=read_record(model.folder),
        robustness=read_optional(model.folder / ROBUSTNESS),
        robustness_table=render_table,
        say_images=say_images,
        say_settings=_say_settings,
        scored_geometry=describe_geometry(scored),
        skin_tone=SKIN_TONE,
        tables=tables,
        teachers=teachers if isinstance(teachers, list) else [teachers],
        test=test,
        training=training,
        validation=validation,
    )
    return f"{text}\n"


def build_front_matter(model: Shipped) -> ModelCardData:
    """Return the front matter of a card, with a `model-index` of the test and validation splits."""
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


def write_charts(folder: Path) -> list[str]:
    """Write report.md, report.html and a chart of each record that a model's folder holds.

    Drawn from the records, charts match them, and none of them can be a photograph.

    Returns:
        The names of the charts within the folder, in order.
    """
    if (folder / REPORT).is_file():
        write_pages(folder, read_report(folder))
    if (gate := read_gate_record(folder)) is not None:
        write_figure(plot_gate(gate), folder / FIGURES / "gate.png")
    if found := read_optional(folder / ROBUSTNESS):
        title = f"{found['model']['name']} on {found['images']:,} images ({found['data']['split']})"
        write_figure(draw_robustness(found, title=title), folder / FIGURES / "robustness.png")
    for split, record in read_optional(folder / EXPLANATIONS).items():
        if "localisation" in record:
            title = f"Where {record['model']['name']} looks: {record['data']['source']}, {split}"
            figure = draw_scores(record, title=title)
            write_figure(figure, folder / FIGURES / f"explanations_{split}.png")
    return sorted(file.relative_to(folder).as_posix() for file in folder.glob(f"{FIGURES}/*.png"))


def _results(split: str, report: dict[str, Any]) -> list[EvalResult]:
    record = report[split]
    data = record["data"]
    # Records of earlier versions only name the folder of the images.
    images = data.get("description") or f"HAM10000 ({data['source']})"
    return [
        EvalResult(
            task_type=TASK,
            dataset_type="ham10000",
            dataset_name=f"{images}, split by lesion",
            dataset_split=split,
            metric_type=name,
            metric_name=tables.label_of(name),
            metric_value=round(record["metrics"][name], DIGITS),
            metric_args=_interval(record["intervals"], name),
        )
        for name in METRICS
        if not math.isnan(record["metrics"][name])
    ]


def _interval(found: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Return the interval of a metric as `args`, the only field for it; None if there is none."""
    bounds = found["bounds"].get(name)
    if bounds is None or any(math.isnan(bound) for bound in bounds):
        return None
    return {
        "interval": [round(bound, DIGITS) for bound in bounds],
        "level": found["level"],
        "method": f"{found['method']} over {found['unit']}s",
    }


def _is_pretrained(training: dict[str, Any]) -> bool:
    """Return whether a run, or one that it started from, began with ImageNet weights."""
    settings, before = training["model"], training.get("started_from")
    own = settings.get("init_weights") or settings.get("pretrained")
    return bool(own or (before and _is_pretrained(before)))


def _gate_table(found: GateRecord) -> tables.Table:
    of_test = found.dermoscopic["test"].by_class.items()
    sources = {
        **{f"dermoscopic: {name}": one for name, one in found.dermoscopic.items()},
        **{f"dermoscopic: test, `{code}`": one for code, one in of_test},
        **{f"not dermoscopic: {name}": one for name, one in found.other.items()},
    }
    rows = tuple((name, f"{one.images:,}", one.text) for name, one in sources.items())
    return tables.Table(("images", "count", "rejected"), rows)


def _say_settings(training: dict[str, Any]) -> str:
    """Return the settings of a run that are not off."""
    shown = {
        key: value
        for key, value in {**training["model"], **training["recipe"]}.items()
        if value not in (None, False, 0, 0.0) and key not in NOT_SHOWN
    }
    return ", ".join(f"{key} {_base(value)}" for key, value in shown.items())


def _base(value: Any) -> Any:
    """Return the last part of a path: the rest only describes somebody's disk."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return " and ".join(map(_base, value))
    return Path(value).name if isinstance(value, str) and "/" in value else value
