"""The verdict in plain words: what it looks like, what such answers were worth, what to heed."""

from html import escape

from answers import Answer
from judgement import Confidence, Judgement, MelanomaPoint
from messages import percent, tag

from hf_lesion.labels import CODES, NAMES, diagnosis_of

NOT_MEASURED = "How often such answers are right was not measured for this model."
HIDDEN = "The answer is hidden, so that no one takes it for one."
VOWELS = "AEIOU"


def sentences(answer: Answer, judgement: Judgement, model: str) -> tuple[str, ...]:
    """Return the verdict as sentences, the most important first."""
    top = float(answer.probabilities.max())
    first = (
        f"Looks most like {_with_article(NAMES[answer.label])}: probability {percent(top)}, by the "
        f"model {model}."
    )
    more = [_worth(judgement.confidence), _corrected(answer, judgement), _melanoma(judgement)]
    return (first, *(text for text in more if text))


def warnings(judgement: Judgement) -> tuple[str, ...]:
    """Return what to know before reading the verdict; empty if the gate lets it pass."""
    if judgement.verdict is not None and (judgement.is_strange or judgement.is_unsure):
        return (judgement.verdict.sentence,)
    return ()


def panel(answer: Answer, judgement: Judgement, model: str) -> str:
    """Return the verdict as the page shows it."""
    diagnosis = diagnosis_of(answer.label)
    first, *more = sentences(answer, judgement, model)
    notes = "".join(
        f'<p class="note warning" role="note">{escape(text)}</p>' for text in warnings(judgement)
    )
    words = "".join(f"<p>{escape(text)}</p>" for text in more)
    return (
        f'<section class="panel verdict" data-label="{answer.label}" '
        f'data-model="{escape(model)}"><h2>{escape(diagnosis.name)} {tag(diagnosis)}</h2>{notes}'
        f'<p class="first">{escape(first)}</p>{words}'
        f'<p class="meaning">{escape(diagnosis.sentence)}</p></section>'
    )


def refusal(judgement: Judgement) -> str:
    """Return what stands in the verdict's place when the image is of no kind that is known."""
    (text,) = warnings(judgement)
    return (
        '<section class="panel strange" role="note"><h2>Not a dermoscopic image?</h2>'
        f"<p>{escape(text)}</p><p>{escape(HIDDEN)}</p></section>"
    )


def _worth(found: Confidence | None) -> str:
    if found is None:
        return NOT_MEASURED
    return (
        f"In our {found.split}, answers this confident were right {100 * found.right:.0f}% of the "
        f"time ({found.images:,} images)."
    )


def _corrected(answer: Answer, judgement: Judgement) -> str:
    if judgement.corrected is None:
        return ""
    own = float(judgement.corrected[CODES.index(answer.label)])
    likeliest = CODES[int(judgement.corrected.argmax())]
    text = (
        "Training shows rare diagnoses more often than they are. Corrected for that, the "
        f"calibrated probability of this one is {percent(own)}"
    )
    if likeliest == answer.label:
        return f"{text}."
    return (
        f"{text}, and the likeliest is {_with_article(NAMES[likeliest])} with "
        f"{percent(float(judgement.corrected.max()))}."
    )


def _melanoma(judgement: Judgement) -> str:
    point: MelanomaPoint | None = judgement.melanoma
    if point is None:
        return ""
    reaches = "reaches" if point.flagged else "stays below"
    return (
        f"Melanoma: this image {reaches} the threshold of {percent(point.threshold)}. In our "
        f"{point.split} it was reached by {100 * point.sensitivity:.0f}% of the melanomas, and by "
        f"{100 - 100 * point.specificity:.0f}% of the others."
    )


def _with_article(name: str) -> str:
    return f"{'an' if name[0] in VOWELS else 'a'} {name[0].lower()}{name[1:]}"
