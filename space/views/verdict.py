"""The verdict: headline, chips, one line, the bars; and what was measured of such results."""

from dataclasses import dataclass
from html import escape

from predictions import IS_BLANK, MALIGNANCY, MELANOMA, Result
from registry import Entry, dig
from views.text import SHORT, dot, percent

from hf_lesion.labels import CODES, MALIGNANT, NAMES, diagnosis_of

UNSURE_CHIP = "Low confidence: often wrong"
NOT_LIKE_TRAINING = (
    "This doesn't look like the dermatoscope images the model was trained on, so its result is "
    "hidden."
)
FIRST_ON_PHONES = 4  # bars; style.css hides the others
BARS_TITLE = "Probabilities: choose a row for its heatmap"


@dataclass(frozen=True)
class Rates:
    """How good a threshold is: sensitivity and specificity in [0, 1], and the split they are of."""

    sensitivity: float
    specificity: float
    split: str


def headline(result: Result) -> str:
    """Return the predicted diagnosis with its probability, as text."""
    return f"{NAMES[result.label]}, {percent(result.probability())}"


def line(result: Result) -> str:
    """Return how often results like this were right in the test; empty if not measured."""
    if result.share_right is None:
        return ""
    return f"Results like this were right {100 * result.share_right:.0f}% of the time in our test."


def chips(result: Result, entry: Entry) -> list[tuple[str, str]]:
    """Return what is to be said of a result in a few words each, with the kind of chip.

    Args:
        result: The model's.
        entry: The model.
    """
    found = []
    flagged = result.reaches(entry.points.get(MELANOMA))
    if flagged is not None:
        found.append(("Melanoma flag raised", "loud") if flagged else ("No melanoma flag", "calm"))
    raised = result.reaches(entry.points.get(MALIGNANCY))
    found.append(
        (f"Malignant, all three: {percent(result.malignant)}", "loud" if raised else "calm")
    )
    if result.is_unsure:
        found.append((UNSURE_CHIP, "warning"))
    return found


def panel(result: Result, entry: Entry, *, name: str, example: str = "") -> str:
    """Return the verdict as the page shows it.

    Args:
        result: The model's.
        entry: The model.
        name: What the model is called.
        example: What the image is, if it is an example; empty otherwise.
    """
    badge = f'<span class="badge">{escape(example)}</span>' if example else ""
    items = "".join(
        f'<li class="chip {kind}">{escape(text)}</li>' for text, kind in chips(result, entry)
    )
    said = line(result)
    return (
        f'<section class="verdict {"unsure" if result.is_unsure else ""}" '
        f'data-label="{result.label}" data-model="{escape(entry.name)}">{badge}'
        f'<h2 title="{escape(name)}">{dot(result.label)}{escape(NAMES[result.label])} '
        f'<span class="value">{escape(percent(result.probability()))}</span></h2>'
        f'<ul class="chips">{items}</ul>{f"<p>{escape(said)}</p>" if said else ""}</section>'
    )


def refusal_text(result: Result) -> str:
    """Return why no diagnosis is shown for an image, with how often that is a mistake."""
    if result.is_blank:
        return IS_BLANK
    rate = result.verdict.false_alarm_rate
    if not rate:
        return NOT_LIKE_TRAINING
    return (
        f"{NOT_LIKE_TRAINING} (About 1 in {max(2, round(1 / rate))} genuine dermatoscope images is "
        "stopped by mistake.)"
    )


def refusal(result: Result) -> str:
    """Return what stands in the verdict's place when the image is rejected."""
    title = "Blank image" if result.is_blank else "Result hidden"
    return (
        f'<section class="panel rejected" role="note"><h2>{title}</h2>'
        f"<p>{escape(refusal_text(result))}</p></section>"
    )


def bars(result: Result, target: str) -> str:
    """Return the seven probabilities, the highest first; each bar is a button for its heatmap.

    Args:
        result: The model's.
        target: The code of the class whose heatmap is shown.
    """
    rows = "".join(_bar(code, result.probability(code), code == target) for code in result.order())
    return (
        f'<section class="bars" aria-label="{BARS_TITLE}"><ul>{rows}</ul>'
        f'<button type="button" class="more">{len(CODES) - FIRST_ON_PHONES} more</button>'
        f'<p class="key">{dot(MALIGNANT[0])}malignant</p></section>'
    )


def _bar(code: str, probability: float, is_shown: bool) -> str:
    kind = "malignant" if code in MALIGNANT else "benign"
    faint = " faint" if percent(probability).startswith("<") else ""
    text = escape(percent(probability))
    return (
        f'<li class="{kind}{faint}"><button type="button" data-dx="{code}" '
        f'data-probability="{probability:.8f}" aria-pressed="{str(is_shown).lower()}" '
        f'aria-label="{escape(NAMES[code])}, {kind}, {text}: show its heatmap">'
        f'<span class="name">{dot(code)}{escape(SHORT[code])}</span>'
        f'<span class="track"><span class="fill" style="width:{100 * probability:.2f}%"></span>'
        f'</span><span class="value">{text}</span></button></li>'
    )


def trust(result: Result, entry: Entry) -> str:
    """Return what was measured of such results, as a list in Markdown."""
    diagnosis = diagnosis_of(result.label)
    points = [f"**{diagnosis.name}.** {diagnosis.sentence}"]
    points.append(
        line(result) or "How often such results are right was not measured for this model."
    )
    for name, what in ((MELANOMA, "melanoma flag"), (MALIGNANCY, "malignant total")):
        rates = find_rates(entry, name)
        if rates is not None:
            others = "other lesions" if name == MELANOMA else "benign lesions"
            caught = "melanomas" if name == MELANOMA else "malignant lesions"
            points.append(
                f"The {what} is raised for {100 * rates.sensitivity:.0f}% of {caught} and for "
                f"{100 - 100 * rates.specificity:.0f}% of {others} ({rates.split})."
            )
    if result.is_unsure:
        points.append(result.verdict.sentence)
    summary = dig(entry.gate, "summary")
    if isinstance(summary, str) and summary:
        points.append(summary)
    points.append("Malignant includes pre-cancer: actinic keratosis and Bowen's disease.")
    points.append(
        "Every image gets one of seven diagnoses, also a rash or healthy skin. A low probability "
        "of melanoma does not rule it out."
    )
    points.append("Bright regions raised a score. They don't show whether the class is right.")
    return "\n".join(f"- {text}" for text in points)


def find_rates(entry: Entry, name: str) -> Rates | None:
    """Return how good a model's threshold is, on the test split if it was measured there."""
    point = entry.points.get(name)
    if point is None:
        return None
    measured = dig(entry.report, "test", "operating_points", name, "metrics")
    sensitivity, specificity = dig(measured, "sensitivity"), dig(measured, "specificity")
    if isinstance(sensitivity, float) and isinstance(specificity, float):
        return Rates(sensitivity, specificity, "test")
    return Rates(point.sensitivity, point.specificity, "validation")
