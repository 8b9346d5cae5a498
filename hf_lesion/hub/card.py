"""Model cards: every number comes from the records next to the weights.

Mitchell et al., "Model cards for model reporting", FAT* 2019.
"""

import importlib.resources
import math
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from transformers import AutoImageProcessor

from hf_lesion.errors import InputError
from hf_lesion.evaluation.explanations.tables import render_section
from hf_lesion.evaluation.report import tables
from hf_lesion.evaluation.report.pages import MARKDOWN, PAGE, build_sections
from hf_lesion.evaluation.report.record import LATER_ENTRIES, format_metric, say_images
from hf_lesion.evaluation.robustness import RECORD as ROBUSTNESS
from hf_lesion.evaluation.robustness import render_table
from hf_lesion.evaluation.subgroups import SKIN_TONE
from hf_lesion.hub.charts import (
    EXPLANATIONS,
    GATE_CHART,
    ROBUSTNESS_CHART,
    explanation_chart,
    read_optional,
)
from hf_lesion.hub.quantisation import read_record, say_loss
from hf_lesion.hub.results import TEST, VALIDATION, Shipped
from hf_lesion.labels import CODES, NAMES, NOTICE
from hf_lesion.models.preprocessing import describe_geometry, preprocessing_of
from hf_lesion.ood.gate import Rejection, read_gate_record

CARD = "README.md"
TEMPLATE = "templates/card.md.jinja"
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
ANCESTRY = {
    "tf_efficientnet_lite0": " It started from timm's ImageNet weights of tf_efficientnet_lite0 "
    "(Apache-2.0)."
}
LIMITS = """\
- HAM10000 comes from two clinics, in Austria and Australia. Source and diagnosis are confounded
  (one source is 94% nevi), so part of what tells diagnoses apart may be the source.
- {skin_tone}
- Rare diagnoses have few lesions: read their scores with their intervals.
- Diagnoses were confirmed in unequal ways, melanomas by histopathology and many nevi by follow-up
  alone: see `dx_type` above.
- Heatmaps show which regions influenced a prediction. They are not evidence for a diagnosis."""


def render_card(model: Shipped, *, charts: Collection[str] = ()) -> str:
    """Return the card of one model as Markdown with YAML front matter.

    Of the `charts` next to the card, as from `charts.write_charts`, it shows those that it knows.

    Raises:
        InputError: If a split was scored before reports had what a card needs.
    """
    test = model.report[TEST]
    for split in (TEST, VALIDATION):
        if missing := [name for name in LATER_ENTRIES if name not in model.report[split]]:
            raise InputError(
                f"The report of {model.name} has no {', '.join(missing)} for {split}: it is of an "
                "earlier version. Run scripts/score.py again."
            )
    template = importlib.resources.files("hf_lesion.hub").joinpath(TEMPLATE)
    card = ModelCard.from_template(
        build_front_matter(model),
        template_str=template.read_text(encoding="utf-8"),
        name=model.name,
        notice=NOTICE,
        diagnoses=", ".join(f"{_lower(NAMES[code])} (`{code}`)" for code in CODES),
        network=(
            f"{model.architecture}, {model.training['parameters'] / 1e6:.1f} million "
            f"parameters, {model.weight_bytes / 1e6:.1f} MB"
        ),
        balanced=format_metric(test, "balanced_accuracy"),
        measured_on=_say_set(test),
        own_code="auto_map" in model.config,
        geometry=_say_geometry(model),
        data=_say_data(model),
        procedure=say_procedure(model.training),
        splits=[_split(split, model.report[split], charts) for split in (TEST, VALIDATION)],
        calibration=(
            f"{tables.say_calibration(test)} On test:\n\n{tables.calibration(test).markdown()}"
        ),
        points=_points(test),
        subgroups=_subgroups(test),
        optional=[
            {"title": title, "text": text + _show(SECTION_CHARTS.get(title, ""), title, charts)}
            for title, build in SECTIONS.items()
            if (text := build(model))
        ],
        limits=LIMITS.format(skin_tone=SKIN_TONE),
        ancestry=ANCESTRY.get(model.architecture, "") if _is_pretrained(model.training) else "",
    )
    return str(card).rstrip("\n") + "\n"


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
    settings = training["model"]
    before = training.get("started_from")
    return bool(
        settings.get("init_weights")
        or settings.get("pretrained")
        or (before and _is_pretrained(before))
    )


def _say_geometry(model: Shipped) -> str:
    """Return what the network sees of an image, and a warning if it was scored differently."""
    processor = AutoImageProcessor.from_pretrained(model.folder, trust_remote_code=False)
    own = preprocessing_of(processor)
    text = f"{describe_geometry(own)}; that and all other preprocessing is saved with the weights."
    scored = replace(own, crop_mode=model.report[TEST]["preprocessing"].get("crop_mode", "squash"))
    if scored == own:
        return text
    return (
        f"{text} The results below were measured differently: {_lower(describe_geometry(scored))}."
    )


def _lower(name: str) -> str:
    return name[0].lower() + name[1:]


def _say_set(record: dict[str, Any]) -> str:
    counts = ", ".join(f"{code} {record['class_counts'][code]:,}" for code in CODES)
    of = "" if record["lesions"] is None else f" of {record['lesions']:,} lesions"
    return f"{record['images']:,} images{of}: {counts}. {say_images(record)}"


def _say_data(model: Shipped) -> str:
    dataset = model.training["dataset"]
    counts = ", ".join(f"{count:,} in {split}" for split, count in dataset["images"].items())
    described = say_images({"data": {**dataset, "source": Path(dataset["folder"]).name}})
    return (
        "HAM10000 (Tschandl et al. 2018): dermoscopic images from two clinics, in Austria and "
        f"Australia, split by lesion so that no lesion is in two splits: {counts}. The model was "
        "trained on train and selected on validation; test was not used for fitting or selection. "
        f"{described} Preparation `{Path(dataset['folder']).name}`, fingerprint "
        f"`{dataset['fingerprint'][:12]}`."
    )


def _split(split: str, record: dict[str, Any], charts: Collection[str]) -> dict[str, str]:
    return {
        "title": f"On {split}",
        "sentence": _say_set(record)
        + ("" if split == TEST else " Models, thresholds and calibration were chosen on it."),
        "headlines": tables.headlines(record).markdown(),
        "classes": tables.classes(record).markdown(),
        "questions": tables.questions(record).markdown() + _show_split(split, record, charts),
    }


def _show_split(split: str, record: dict[str, Any], charts: Collection[str]) -> str:
    """Return the charts of the test split, or links to the pages of another split."""
    pictures = [part for section in build_sections(split, record) for part in section.pictures]
    if split == TEST:
        return "".join(_show(picture.file, picture.alt, charts) for picture in pictures)
    if not any(picture.file in charts for picture in pictures):
        return ""
    return (
        f"\n\nIts charts are in [{MARKDOWN}]({MARKDOWN}). [{PAGE}]({PAGE}), once downloaded, also "
        "says what the thresholds mean at a prevalence of your own."
    )


def _show(file: str, alt: str, charts: Collection[str]) -> str:
    """Return a figure as a paragraph of its own; empty if it is not next to the card."""
    return f"\n\n![{alt}]({file})" if file in charts else ""


def _points(record: dict[str, Any]) -> str:
    table = tables.operating_points(record)
    if table is None:
        return "This model has no thresholds."
    return (
        "Thresholds on sums of probabilities, chosen on validation for the sensitivity in the "
        "third column (`operating_points.json`), and their performance on test. PPV and the "
        "counts per 1,000 people assume the prevalence in the table, which is not that of a "
        "clinic: `scripts/score.py` takes yours (`--malignant_prevalence`, "
        "`--melanoma_prevalence`).\n\n" + table.markdown()
    )


def _subgroups(record: dict[str, Any]) -> str:
    table = tables.subgroups(record)
    if table is None:
        return SKIN_TONE
    return (
        f"On test. {SKIN_TONE} Balanced accuracy is averaged over the diagnoses present in a "
        f"group; compare only groups with the same diagnoses.\n\n{table.markdown()}"
    )


def _robustness(model: Shipped) -> str:
    """Return what `robustness.json` says; empty where it is absent."""
    found = read_optional(model.folder / ROBUSTNESS)
    if not found:
        return ""
    data = found["data"]
    return (
        f"The same {found['images']:,} images ({data.get('source')}, {data.get('split')}), changed "
        "under distortions; the worst case in bold. The last row counts an image only if it is "
        f"classified correctly under all of them.\n\n{render_table(found)}"
    )


def _gate(model: Shipped) -> str:
    """Return what `gate.json` says; empty where it is absent."""
    found = read_gate_record(model.folder)
    if found is None:
        return ""
    test = found.dermoscopic["test"]
    sources: dict[str, Rejection] = {
        f"dermoscopic: {name}": one for name, one in found.dermoscopic.items()
    }
    for code, one in test.by_class.items():
        sources[f"dermoscopic: test, `{code}`"] = one
    sources |= {f"not dermoscopic: {name}": one for name, one in found.other.items()}
    rows = [(name, f"{one.images:,}", one.text) for name, one in sources.items()]
    table = tables.Table(("images", "count", "rejected"), tuple(rows))
    unsure = (
        f"{test.unsure:.1%} of the test images, and {test.right_unsure:.1%} of the correct "
        f"predictions, are marked as unsure. "
        if test.unsure is not None and test.right_unsure is not None
        else ""
    )
    return (
        "The gate (`gate.safetensors`) rejects non-dermoscopic images and marks unsure "
        f"predictions. {unsure}{found.summary} "
        "Rejection rates; for dermoscopic images these are false alarms:\n\n"
        f"{table.markdown()}"
    )


def _explanations(model: Shipped) -> str:
    """Return what `explanations.json` says of heatmaps; empty where it is absent."""
    found = read_optional(model.folder / EXPLANATIONS)
    record = found.get(TEST) or found.get(VALIDATION) or {}
    return render_section(record) if "localisation" in record else ""


def _quantised(model: Shipped) -> str:
    """Return what `quantisation.json` says; empty where it is absent."""
    found = read_record(model.folder)
    return say_loss(found) if found else ""


# Each gives "" where the record is absent.
SECTIONS: dict[str, Callable[[Shipped], str]] = {
    "Robustness": _robustness,
    "Abstention": _gate,
    "Where it looks": _explanations,
    "In eight bits": _quantised,
}
SECTION_CHARTS = {
    "Robustness": ROBUSTNESS_CHART,
    "Abstention": GATE_CHART,
    "Where it looks": explanation_chart(TEST),
}


# The last is of earlier versions, in whose records it stands.
NOT_SHOWN = ("dataset", "checkpoint_minutes", "balance_copies")


def say_procedure(training: dict[str, Any]) -> str:
    """Return sentences on how a model was trained, from the record that training leaves."""
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
    """Return the last part of a path: the rest only describes somebody's disk."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return " and ".join(map(_base, value))
    return Path(value).name if isinstance(value, str) and "/" in value else value


def _say_mean(training: dict[str, Any]) -> str:
    """Return of how many checkpoints the weights are the mean; empty for weights as trained."""
    count = len(training.get("averaged", ()))
    return f"the mean of {count} checkpoints" if count else ""
