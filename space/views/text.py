"""Texts of the page: names, percentages, and panels shown instead of a result."""

from html import escape

from uploads import MAX_FILE_TEXT, MAX_IMAGES, ImageError

from hf_lesion.errors import InputError
from hf_lesion.labels import MALIGNANT, NAMES

TITLE = "Skin lesion classifier"
LEDE = (
    "Classifies a dermatoscope image into seven lesion types and shows which regions drove the "
    "result."
)
NOTICE = "Research and teaching only. Not a medical device. See a doctor about any changing spot."
DRAWN_ONLY = (
    "These models were trained on drawn lesions only: their results on photographs of skin are "
    "meaningless."
)
UPLOAD_HINT = (
    f"Dermatoscope images only. JPEG or PNG, up to {MAX_FILE_TEXT}. Deleted within 70 minutes."
)
BATCH_HINT = (
    f"Up to {MAX_IMAGES} dermatoscope images, or zips of them, up to {MAX_FILE_TEXT} each. Deleted "
    "within 70 minutes."
)
# For bars and tables; `hf_lesion.labels.NAMES` elsewhere.
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


def percent(probability: float) -> str:
    """Return a probability in whole per cent, never as 0% or 100%."""
    if probability < 0.01:
        return "< 1%"
    if probability > 0.99:
        return "> 99%"
    return f"{100 * probability:.0f}%"


def dot(code: str) -> str:
    """Return the red dot of a malignant diagnosis; empty for a benign one."""
    if code not in MALIGNANT:
        return ""
    return '<span class="dot" role="img" aria-label="malignant" title="malignant"></span> '


def header(drawn_only: bool) -> str:
    """Return the title, description and research notice, and a warning for sample models."""
    banner = f'<p class="note warning" role="note">{escape(DRAWN_ONLY)}</p>' if drawn_only else ""
    return (
        f'<header class="top"><h1>{escape(TITLE)}</h1><p class="lede">{escape(LEDE)}</p>'
        f'<p id="notice" role="note">{escape(NOTICE)}</p>{banner}</header>'
    )


def empty(text: str) -> str:
    """Return a panel shown before there is a result."""
    return f'<section class="panel empty"><p>{escape(text)}</p></section>'


def failure(error: InputError) -> str:
    """Return the panel for an error; its title tells whether the upload is at fault."""
    title = "Image not usable" if isinstance(error, ImageError) else "Something went wrong"
    return (
        f'<section class="panel problem" role="alert"><h2>{title}</h2>'
        f"<p>{escape(str(error))}</p></section>"
    )
