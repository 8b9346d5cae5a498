"""The verdict in plain words: what it looks like, what such answers were worth, what to heed."""

from html import escape

from answers import Answer
from judgement import Confidence, Judgement, MelanomaPoint
from messages import percent, tag
from opinions import Opinion

from hf_lesion.labels import NAMES, diagnosis_of

NOT_MEASURED = "How often such answers are right was not measured for this model."
HIDDEN = "The answer is hidden, so that no one takes it for one."
VOWELS = "AEIOU"


def sentences(answer: Answer, judgement: Judgement, model: str) -> tuple[str, ...]:
    """Return the verdict as sentences, the most important first."""
    opinion = answer.opinion
    first = (
        f"Looks most like {_with_article(opinion.label)}: probability "
        f"{percent(opinion.probability())}, by the model {model}."
    )
    more = [likelier(opinion), _worth(opinion, judgement.confidence), _melanoma(judgement.melanoma)]
    return (first, *(text for text in more if text))


def warnings(opinion: Opinion) -> tuple[str, ...]:
    """Return what to know before reading the verdict; empty if the gate lets it pass."""
    if opinion.verdict is not None and (opinion.is_strange or opinion.is_unsure):
        return (opinion.verdict.sentence,)
    return ()


def likelier(opinion: Opinion) -> str:
    """Return why the answer is not the likeliest diagnosis; empty if it is."""
    if opinion.likeliest == opinion.label:
        return ""
    return (
        f"By probability {_with_article(opinion.likeliest)} is likelier "
        f"({percent(opinion.probability(opinion.likeliest))}). The answer goes by the model's own "
        "scores: by probability, rare diagnoses, melanoma among them, would be named too seldom."
    )


def panel(answer: Answer, judgement: Judgement, model: str) -> str:
    """Return the verdict as the page shows it."""
    diagnosis = diagnosis_of(answer.label)
    first, *more = sentences(answer, judgement, model)
    notes = "".join(
        f'<p class="note warning" role="note">{escape(text)}</p>'
        for text in warnings(answer.opinion)
    )
    words = "".join(f"<p>{escape(text)}</p>" for text in more)
    return (
        f'<section class="panel verdict" data-label="{answer.label}" '
        f'data-model="{escape(model)}"><h2>{escape(diagnosis.name)} {tag(diagnosis)}</h2>{notes}'
        f'<p class="first">{escape(first)}</p>{words}'
        f'<p class="meaning">{escape(diagnosis.sentence)}</p></section>'
    )


def refusal(opinion: Opinion) -> str:
    """Return what stands in the verdict's place when the image is of no kind that is known."""
    (text,) = warnings(opinion)
    return (
        '<section class="panel strange" role="note"><h2>Not a dermoscopic image?</h2>'
        f"<p>{escape(text)}</p><p>{escape(HIDDEN)}</p></section>"
    )


def _with_article(code: str) -> str:
    """Return a diagnosis as it stands within a sentence."""
    name = NAMES[code]
    return f"{'an' if name[0] in VOWELS else 'a'} {name[0].lower()}{name[1:]}"


def _worth(opinion: Opinion, found: Confidence | None) -> str:
    if found is None:
        return NOT_MEASURED
    own = "" if opinion.corrected is None else f" (own score {percent(opinion.score)})"
    return (
        f"In our {found.split}, answers this confident{own} were right {100 * found.right:.0f}% of "
        f"the time ({found.images:,} images)."
    )


def _melanoma(point: MelanomaPoint | None) -> str:
    if point is None:
        return ""
    reaches = "reaches" if point.flagged else "stays below"
    return (
        f"Melanoma: the model's own score of {percent(point.score)} {reaches} the threshold of "
        f"{percent(point.threshold)}. In our {point.split} it was reached by "
        f"{100 * point.sensitivity:.0f}% of the melanomas, and by "
        f"{100 - 100 * point.specificity:.0f}% of the others."
    )
