"""Words of the page: names, numbers, and what stands where there is no result."""

from html import escape

from uploads import LARGEST, MOST_IMAGES

from hf_lesion.labels import MALIGNANT, NAMES

TITLE = "Skin lesion classifier"
LEDE = (
    "Classifies a dermatoscope image into seven lesion types and shows which regions drove the "
    "result."
)
NOTICE = "Research and teaching only. Not a medical device. See a doctor about any changing spot."
DRAWN_ONLY = (
    "These models were trained on drawn lesions only: what they say about a photograph of skin "
    "means nothing."
)
UPLOAD_HINT = f"Dermatoscope images only. JPEG or PNG, up to {LARGEST}. Deleted within 70 minutes."
BATCH_HINT = (
    f"Up to {MOST_IMAGES} dermatoscope images, or zips of them, up to {LARGEST} each. Deleted "
    "within 70 minutes."
)
# For bars, tiles and tables; `hf_lesion.labels.NAMES` elsewhere.
SHORT = {
    **NAMES,
    "akiec": "Actinic keratosis / Bowen",
    "nv": "Nevus (mole)",
}
TILES = {
    "akiec": "Actinic keratosis",
    "bcc": "Basal cell carcinoma",
    "bkl": "Benign keratosis",
    "df": "Dermato\u00adfibroma",
    "mel": "Melanoma",
    "nv": "Nevus (mole)",
    "vasc": "Vascular lesion",
    "none": "Not a lesion",
}
LEAST = 0.01


def percent(probability: float) -> str:
    """Return a probability as whole per cent that never claims 0% or 100%."""
    if probability < LEAST:
        return "< 1%"
    if probability > 1 - LEAST:
        return "> 99%"
    return f"{100 * probability:.0f}%"


def dot(code: str) -> str:
    """Return the mark of a malignant diagnosis; empty for a benign one."""
    if code not in MALIGNANT:
        return ""
    return '<span class="dot" role="img" aria-label="malignant" title="malignant"></span> '


def header(drawn_only: bool) -> str:
    """Return title, what this is, the research notice and, if it applies, the sample banner."""
    banner = f'<p class="note warning" role="note">{escape(DRAWN_ONLY)}</p>' if drawn_only else ""
    return (
        f'<header class="top"><h1>{escape(TITLE)}</h1><p class="lede">{escape(LEDE)}</p>'
        f'<p id="notice" role="note">{escape(NOTICE)}</p>{banner}</header>'
    )


def empty(text: str) -> str:
    """Return what stands in a result's place before there is one."""
    return f'<section class="panel empty"><p>{escape(text)}</p></section>'


def problem(text: str, title: str = "Image not usable") -> str:
    """Return what stands in a result's place when there can be none."""
    return (
        f'<section class="panel problem" role="alert"><h2>{escape(title)}</h2>'
        f"<p>{escape(text)}</p></section>"
    )


def trouble(text: str) -> str:
    """Return the same where something other than the image is wrong."""
    return problem(text, "That did not work")
