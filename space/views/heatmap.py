"""The heatmap: picture, overlay and map in one place, the legend, and a file to keep."""

import io
from html import escape

from PIL import Image, ImageDraw, ImageFont
from predictions import COLOURS, METHODS, Explained
from views.markup import data_url, picture_url
from views.text import SHORT, percent

from hf_lesion.labels import NAMES

LEGEND_STEPS = 16
STRIP = 56  # pixels: what is added below a saved heatmap
LITTLE_SHOWN = "The model gives this class < 1%: this map shows little."
NOT_OF_A_CLASS = "EigenCAM shows what stands out for any class."
NOT_SEEN = "Grey parts were not seen by the model."
LOW, HIGH = "low", "high (relative to this map)"


def figure(explained: Explained, colours: str = COLOURS) -> str:
    """Return picture, overlay and map as one figure; a switch outside says which is in sight.

    Args:
        explained: The result with its heatmap.
        colours: One of `predictions.COLOUR_MAPS`.
    """
    name = NAMES[explained.target]
    score = percent(explained.result.probability(explained.target))
    overlay, alone = explained.overlay(colours), explained.map(colours)
    layers = [("image", explained.result.picture, f"The image. {name}: {score}")]
    if overlay is not None and alone is not None:
        layers.append(("overlay", overlay, f"Heatmap over the image for {name}, {score}"))
        layers.append(("map", alone, f"Heatmap alone for {name}, {score}"))
    pictures = "".join(
        f'<img class="{kind}" src="{picture_url(picture)}" alt="{escape(alt)}" '
        f'width="{picture.width}" height="{picture.height}">'
        for kind, picture, alt in layers
    )
    faint = " faint" if explained.shows_little else ""
    return (
        f'<figure class="heatmap{faint}" data-target="{explained.target}" '
        f'data-method="{escape(explained.method)}" data-colours="{escape(colours)}" '
        f'data-has-map="{str(overlay is not None).lower()}"><div class="stage">{pictures}</div>'
        f"<figcaption>{'' if overlay is None else legend(colours)}<p>{escape(caption(explained))}"
        "</p></figcaption></figure>"
    )


def caption(explained: Explained) -> str:
    """Return what a heatmap shows, or why there is none."""
    if explained.notice:
        return explained.notice
    said = [f"Regions that raised the score for {NAMES[explained.target]}."]
    if explained.method == "eigencam":
        said = [NOT_OF_A_CLASS]
    elif explained.shows_little:
        said = [LITTLE_SHOWN]
    if explained.is_cropped:
        said.append(NOT_SEEN)
    return " ".join(said)


def legend(colours: str) -> str:
    """Return a heatmap's colours from low to high."""
    ramp = ",".join(f"rgb({red},{green},{blue})" for red, green, blue in _ramp(colours))
    return (
        f'<div class="legend"><span>{LOW}</span>'
        f'<i style="background:linear-gradient(90deg,{ramp})"></i><span>{HIGH}</span></div>'
    )


def file_name(explained: Explained) -> str:
    """Return the name of a saved heatmap: its method and class."""
    name = SHORT[explained.target].lower().replace(" / ", "_").replace(" (mole)", "")
    method = explained.method.replace("+", "p")
    return f"lesion_{method}_{name.replace(' ', '_').replace(chr(39), '')}.png"


def download(explained: Explained, colours: str) -> str:
    """Return a link that holds the overlay with its legend; pressed by the page itself."""
    overlay = explained.overlay(colours)
    if overlay is None:
        return ""
    stream = io.BytesIO()
    _with_legend(overlay, explained, colours).save(stream, "PNG")
    url = data_url(stream.getvalue(), "image/png")
    return f'<a download="{escape(file_name(explained))}" href="{url}">Download the heatmap</a>'


def _with_legend(overlay: Image.Image, explained: Explained, colours: str) -> Image.Image:
    """Return an overlay above a strip that names class, method and colours."""
    sheet = Image.new("RGB", (max(overlay.width, 480), overlay.height + STRIP), "white")
    sheet.paste(overlay, (0, 0))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    top = overlay.height + 8
    title = f"{NAMES[explained.target]}, {percent(explained.result.probability(explained.target))}"
    draw.text((8, top), f"{title} · {METHODS[explained.method]}", "black", font)
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
