"""Verdict: diagnosis, chips, probabilities, and how far a result can be trusted."""

from html import escape

from predictions import IS_BLANK, MALIGNANCY, MELANOMA, Result
from registry import Entry, get_nested
from views.text import SHORT, dot, percent

from hf_lesion.labels import CODES, MALIGNANT, NAMES, diagnosis_of

UNSURE_CHIP = "Low confidence: often wrong"
NOT_LIKE_TRAINING = (
    "This doesn't look like the dermatoscope images the model was trained on, so its result is "
    "hidden."
)
BARS_ON_PHONES = 4  # style.css hides the others
EXAMPLE = "Example (drawn)"
BARS_TITLE = "Probabilities: choose a row for its heatmap"


def line(result: Result) -> str:
    """Return how often similar results were right in the test; empty if unmeasured."""
    if result.share_right is None:
        return ""
    return f"Results like this were right {100 * result.share_right:.0f}% of the time in our test."


def chips(result: Result, entry: Entry) -> list[tuple[str, str]]:
    """Return the text and kind ("loud", "calm" or "warning") of each chip of a result."""
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


def panel(result: Result, entry: Entry, *, title: str, is_example: bool = False) -> str:
    """Return the verdict as the page shows it; the examples of the page get a badge."""
    badge = f'<span class="badge">{EXAMPLE}</span>' if is_example else ""
    items = "".join(
        f'<li class="chip {kind}">{escape(text)}</li>' for text, kind in chips(result, entry)
    )
    sentence = f"<p>{escape(line(result))}</p>" if line(result) else ""
    return (
        f'<section class="verdict {"unsure" if result.is_unsure else ""}" '
        f'data-label="{result.label}" data-model="{escape(entry.name)}">{badge}'
        f'<h2 title="{escape(title)}">{dot(result.label)}{escape(NAMES[result.label])} '
        f'<span class="value">{escape(percent(result.probability()))}</span></h2>'
        f'<ul class="chips">{items}</ul>{sentence}</section>'
    )


def rejection_text(result: Result) -> str:
    """Return why no diagnosis is shown for an image, and how often the gate is wrong."""
    if result.is_blank:
        return IS_BLANK
    rate = result.verdict.false_alarm_rate
    if not rate:
        return NOT_LIKE_TRAINING
    return (
        f"{NOT_LIKE_TRAINING} (About 1 in {max(2, round(1 / rate))} genuine dermatoscope images is "
        "stopped by mistake.)"
    )


def rejection(result: Result) -> str:
    """Return the panel shown instead of a verdict if the image is rejected."""
    title = "Blank image" if result.is_blank else "Result hidden"
    return (
        f'<section class="panel rejected" role="note"><h2>{title}</h2>'
        f"<p>{escape(rejection_text(result))}</p></section>"
    )


def bars(result: Result, target: str) -> str:
    """Return the seven probabilities, the highest first; each bar is a button for its heatmap.

    That of the class `target` is pressed.
    """
    rows = "".join(_bar(code, result.probability(code), code == target) for code in result.order())
    return (
        f'<section class="bars" aria-label="{BARS_TITLE}"><ul>{rows}</ul>'
        f'<button type="button" class="more">{len(CODES) - BARS_ON_PHONES} more</button>'
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
    """Return how reliable such results are, as a list in Markdown."""
    diagnosis = diagnosis_of(result.label)
    points = [f"**{diagnosis.name}.** {diagnosis.sentence}"]
    points.append(
        line(result) or "How often such results are right was not measured for this model."
    )
    for name, flag, positives, negatives in (
        (MELANOMA, "melanoma flag", "melanomas", "other lesions"),
        (MALIGNANCY, "malignant total", "malignant lesions", "benign lesions"),
    ):
        if (rates := find_rates(entry, name)) is not None:
            sensitivity, specificity, split = rates
            points.append(
                f"The {flag} is raised for {100 * sensitivity:.0f}% of {positives} and for "
                f"{100 - 100 * specificity:.0f}% of {negatives} ({split})."
            )
    if result.is_unsure:
        points.append(result.verdict.sentence)
    summary = get_nested(entry.gate, "summary")
    if isinstance(summary, str) and summary:
        points.append(summary)
    points.append("Malignant includes pre-cancer: actinic keratosis and Bowen's disease.")
    points.append(
        "Every image gets one of seven diagnoses, even a rash or healthy skin. A low probability "
        "of melanoma does not rule it out."
    )
    points.append("Bright regions raised a score. They don't show whether the class is right.")
    return "\n".join(f"- {text}" for text in points)


def find_rates(entry: Entry, name: str) -> tuple[float, float, str] | None:
    """Return sensitivity, specificity and split of a threshold; on the test split if measured."""
    point = entry.points.get(name)
    if point is None:
        return None
    measured = get_nested(entry.report, "test", "operating_points", name, "metrics")
    sensitivity = get_nested(measured, "sensitivity")
    specificity = get_nested(measured, "specificity")
    if isinstance(sensitivity, float) and isinstance(specificity, float):
        return sensitivity, specificity, "test"
    return point.sensitivity, point.specificity, "validation"
