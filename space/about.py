"""The tab that says what this is, what it is not, and what happens to an image."""

from collections.abc import Mapping
from html import escape

from hf_lesion.labels import NOTICE

PARTS: Mapping[str, tuple[str, ...]] = {
    "What it is": (
        "Neural networks that were trained on HAM10000 and give a dermoscopic image one "
        "probability for each of seven diagnoses, with a map of where they looked. Made to learn "
        "how such a thing is built, measured, and where it breaks.",
    ),
    "What it is not": (
        NOTICE,
        "It knows seven diagnoses and has to choose among them: a rash, a burn or a healthy "
        "patch of skin gets one of the seven too. A low probability of melanoma does not rule it "
        "out, and a heat map shows where a network looked, not whether it is right.",
    ),
    "Whom it was trained on": (
        "The train split, about 70%, of the 10,015 images of 7,470 lesions of HAM10000, from "
        "patients of a university clinic in Vienna, Austria, "
        "and of a skin cancer practice in Queensland, Australia; mostly light skin. Skin tone is "
        "not recorded in HAM10000, so nothing can be said about how well it does on darker skin: "
        "expect it to do worse.",
    ),
    "Where it fails": (
        "Photos that were not taken through a dermatoscope. Rare diagnoses: a few dozen images of "
        "each are too few to learn and too few to measure, see the intervals in the tab Models. "
        "Images with rulers, ink, hair or dark corners, which may go together with a diagnosis "
        "in the data. Children, mucosa, nails and anything else that HAM10000 hardly has.",
    ),
    "Privacy": (
        "An image is read on the server that runs this page and is sent nowhere else. It lies in "
        "a temporary folder, is deleted within 70 minutes and when the page ends. So that another "
        "class or opacity needs no second pass, a picture of it of the size that you see and what "
        "the networks made of it stay in memory for five minutes after they were last asked for. "
        "No history is kept, nothing is counted, and no log names an image. What you download is "
        "made on the spot and not kept.",
    ),
}
LICENCE = (
    "Code: Apache-2.0. Weights trained on HAM10000: CC BY-NC 4.0, as the data. "
    "Drawn examples: ours."
)
CITATION = (
    "P. Tschandl, C. Rosendahl, H. Kittler. The HAM10000 dataset, a large collection of "
    "multi-source dermatoscopic images of common pigmented skin lesions. Scientific Data 5:180161 "
    "(2018)."
)
DOI = "https://doi.org/10.1038/sdata.2018.161"
API = """from gradio_client import Client, handle_file

client = Client("{address}")
image = handle_file("lesion.jpg")
client.predict(image=image, api_name="/classify")
client.predict(image=image, target="mel", api_name="/explain")
client.predict(image=image, api_name="/compare")"""
API_TEXT = (
    "Three calls, described under “Use via API” at the foot of the page. model= chooses a model by "
    "name, method= the kind of heat map. At most 10 MB and 40 million pixels an image; when too "
    "many wait, the answer is that the queue is full: try again a little later."
)


def render() -> str:
    """Return the tab's content."""
    parts = "".join(
        f"<section><h2>{escape(title)}</h2>{''.join(f'<p>{escape(p)}</p>' for p in paragraphs)}"
        "</section>"
        for title, paragraphs in PARTS.items()
    )
    address = "http://127.0.0.1:7860"
    return (
        f'<div class="about">{parts}<section><h2>From a program</h2><p>{escape(API_TEXT)}</p>'
        f'<pre tabindex="0" role="region" aria-label="A program that asks, scrolls sideways"><code>'
        f"{escape(API.format(address=address))}</code></pre></section>"
        f"<section><h2>Licence and citation</h2><p>{escape(LICENCE)}</p><p>{escape(CITATION)} "
        f'<a href="{DOI}" rel="noreferrer">{DOI}</a></p></section></div>'
    )
