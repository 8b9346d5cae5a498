"""What a gate refuses, as a picture: real images beside every kind of stranger."""

from typing import Any

from matplotlib.figure import Figure

from hf_lesion.io.figures import new_figure, title_figure

WIDTH, ROW, FRAME = 8.6, 0.3, 1.8  # inches
TITLE_WIDTH = 80  # characters that fit in one line
REAL, STRANGE = "#b3402a", "#1f6f8b"
AIMS = (0.05, 0.95)  # at most of real images, at least of the others


def draw_gate(record: dict[str, Any]) -> Figure:
    """Draw the share that is refused, of real images and of each kind of stranger.

    Args:
        record: As `scripts/fit_gate.py` writes it.
    """
    rows = [(name, found, STRANGE) for name, found in reversed(record["strange"].items())]
    rows += [(name, found, REAL) for name, found in reversed(record["real"].items())]
    figure = new_figure((WIDTH, FRAME + ROW * len(rows)))
    axes = figure.add_subplot()
    places = range(len(rows))
    shares = [found["refused"] for _, found, _ in rows]
    axes.barh(places, shares, color=[colour for *_, colour in rows], height=0.62)
    for place, share in zip(places, shares, strict=True):
        axes.annotate(
            f"{share:.1%}", (share, place), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=8.5,
        )  # fmt: skip
    for aim in AIMS:
        axes.axvline(aim, color="0.35", linestyle=":", linewidth=1)
    labels = [f"{name} ({found['images']:,})" for name, found, _ in rows]
    axes.set_yticks(places, labels, fontsize=9)
    axes.set_xlim(0, 1.08)
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set_xlabel("refused as no dermoscopy; dotted: the aims for real images and for the others")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    title = f"{record['model']['name']}: the gate on real images (red) and on other pictures"
    title_figure(figure, title, characters=TITLE_WIDTH)
    return figure
