"""Heatmap: the figure with its legend, and the file to download."""

import io
from html import escape

from PIL import Image, ImageDraw, ImageFont
from predictions import COLOURS, Explanation
from views.markup import download_link, picture_url
from views.text import SHORT, percent

from hf_lesion.explain.names import METHOD_NAMES
from hf_lesion.labels import NAMES

LEGEND_STEPS = 16
LEGEND_PIXELS = 56  # added below a saved heatmap
IMPROBABLE = "The model gives this class < 1%, so this map means little."
CLASS_AGNOSTIC = "EigenCAM shows what stands out for any class."
CROPPED = "Grey parts were not seen by the model."
LOW, HIGH = "low", "high (relative to this map)"


def figure(explanation: Explanation, colours: str = COLOURS) -> str:
    """Return the image, overlay and map as one figure; a switch on the page shows one of them."""
    name = NAMES[explanation.target]
    score = percent(explanation.probability)
    overlay, alone = explanation.overlay(colours), explanation.map(colours)
    layers = [("image", explanation.result.picture, f"The image. {name}: {score}")]
    if overlay is not None and alone is not None:
        layers.append(("overlay", overlay, f"Heatmap over the image for {name}, {score}"))
        layers.append(("map", alone, f"Heatmap alone for {name}, {score}"))
    pictures = "".join(
        f'<img class="{kind}" src="{picture_url(picture)}" alt="{escape(alt)}" '
        f'width="{picture.width}" height="{picture.height}">'
        for kind, picture, alt in layers
    )
    faint = " faint" if explanation.is_improbable else ""
    return (
        f'<figure class="heatmap{faint}" data-target="{explanation.target}" '
        f'data-method="{escape(explanation.method)}" data-colours="{escape(colours)}" '
        f'data-has-map="{str(overlay is not None).lower()}"><div class="stage">{pictures}</div>'
        f"<figcaption>{'' if overlay is None else legend(colours)}<p>{escape(caption(explanation))}"
        "</p></figcaption></figure>"
    )


def caption(explanation: Explanation) -> str:
    """Return the caption of a heatmap, or why there is none."""
    if explanation.notice:
        return explanation.notice
    sentences = [f"Regions that raised the score for {NAMES[explanation.target]}."]
    if explanation.method == "eigencam":
        sentences = [CLASS_AGNOSTIC]
    elif explanation.is_improbable:
        sentences = [IMPROBABLE]
    if explanation.is_cropped:
        sentences.append(CROPPED)
    return " ".join(sentences)


def legend(colours: str) -> str:
    """Return the legend of a heatmap: its colours from low to high."""
    ramp = ",".join(f"rgb({red},{green},{blue})" for red, green, blue in _ramp(colours))
    return (
        f'<div class="legend"><span>{LOW}</span>'
        f'<i style="background:linear-gradient(90deg,{ramp})"></i><span>{HIGH}</span></div>'
    )


def file_name(explanation: Explanation) -> str:
    """Return the file name of a saved heatmap, with its method and class."""
    name = SHORT[explanation.target].lower().replace(" / ", "_").replace(" (mole)", "")
    method = explanation.method.replace("+", "p")
    return f"lesion_{method}_{name.replace(' ', '_').replace(chr(39), '')}.png"


def download(explanation: Explanation, colours: str) -> str:
    """Return a link that contains the overlay with its legend; the page clicks it."""
    overlay = explanation.overlay(colours)
    if overlay is None:
        return ""
    stream = io.BytesIO()
    _with_legend(overlay, explanation, colours).save(stream, "PNG")
    return download_link(
        file_name(explanation), stream.getvalue(), "image/png", "Download the heatmap"
    )


def _with_legend(overlay: Image.Image, explanation: Explanation, colours: str) -> Image.Image:
    """Return an overlay above a strip with its class, method and legend."""
    sheet = Image.new("RGB", (max(overlay.width, 480), overlay.height + LEGEND_PIXELS), "white")
    sheet.paste(overlay, (0, 0))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    top = overlay.height + 8
    title = f"{NAMES[explanation.target]}, {percent(explanation.probability)}"
    draw.text((8, top), f"{title} · {METHOD_NAMES[explanation.method]}", "black", font)
    draw.text((8, top + 22), LOW, "black", font)
    ramp = Image.new("RGB", (LEGEND_STEPS, 1))
    ramp.putdata(_ramp(colours))
    sheet.paste(ramp.resize((160, 12), Image.Resampling.BILINEAR), (44, top + 25))
    draw.text((212, top + 22), HIGH, "black", font)
    return sheet


def _ramp(colours: str) -> list[tuple[int, int, int]]:
    import matplotlib  # not before the page is served
    import numpy as np

    steps = matplotlib.colormaps[colours](np.linspace(0, 1, LEGEND_STEPS), bytes=True)
    return [(int(red), int(green), int(blue)) for red, green, blue, _ in steps]
