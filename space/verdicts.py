"""The verdict in plain words: what it looks like, what such answers were worth, what to heed."""

from html import escape

from answers import Answer
from judgement import Judgement, MelanomaPoint
from messages import percent, tag
from opinions import Opinion

from hf_lesion.labels import NAMES, diagnosis_of

MOST_CERTAIN = 99  # per cent: no test shows that a model is always right
HIDDEN = "The answer is hidden, so that no one takes it for one."
VOWELS = "AEIOU"


def sentences(answer: Answer, judgement: Judgement, model: str) -> tuple[str, ...]:
    """Return the verdict as sentences, the most important first."""
    opinion = answer.opinion
    first = (
        f"Looks most like {_with_article(opinion.label)}: probability "
        f"{percent(opinion.probability())}, by the model {model}."
    )
    more = [reliability(opinion), _melanoma(judgement.melanoma)]
    return (first, *(text for text in more if text))


def warnings(opinion: Opinion) -> tuple[str, ...]:
    """Return what to know before reading the verdict; empty if the gate lets it pass."""
    if opinion.verdict is not None and (opinion.is_strange or opinion.is_unsure):
        return (opinion.verdict.sentence,)
    return ()


def reliability(opinion: Opinion) -> str:
    """Return how often such results were right; empty where that was not measured."""
    if opinion.reliability is None:
        return ""
    share = min(round(100 * opinion.reliability), MOST_CERTAIN)
    return f"Results like this were right {share}% of the time in our test."


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


def _melanoma(point: MelanomaPoint | None) -> str:
    if point is None:
        return ""
    reaches = "reaches" if point.flagged else "stays below"
    return (
        f"Melanoma: the score of {percent(point.score)} {reaches} the threshold of "
        f"{percent(point.threshold)}. In our {point.split} it was reached by "
        f"{100 * point.sensitivity:.0f}% of the melanomas, and by "
        f"{100 - 100 * point.specificity:.0f}% of the others."
    )
