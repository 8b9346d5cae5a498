"""Figure of a gate's rejection rates on dermoscopic images and each other source."""

from matplotlib.figure import Figure

from hf_lesion.io.figures import new_figure, title_figure
from hf_lesion.ood.gate import GateRecord

WIDTH, ROW, FRAME = 8.6, 0.3, 1.8  # inches
TITLE_WIDTH = 80  # characters that fit in one line
DERMOSCOPIC, OTHER = "#b3402a", "#1f6f8b"
AIMS = (0.04, 0.99)  # at most of dermoscopic images, at least of the others


def plot_gate(record: GateRecord) -> Figure:
    """Plot the rejected share of each source, with its interval where there is one."""
    rows = [(name, found, OTHER) for name, found in reversed(record.other.items())]
    rows += [(name, found, DERMOSCOPIC) for name, found in reversed(record.dermoscopic.items())]
    figure = new_figure((WIDTH, FRAME + ROW * len(rows)))
    axes = figure.add_subplot()
    places = range(len(rows))
    shares = [found.refused or 0.0 for _, found, _ in rows]
    axes.barh(places, shares, color=[colour for *_, colour in rows], height=0.62)
    for place, (_, found, _) in zip(places, rows, strict=True):
        low, high = found.interval or (None, None)
        if low is not None and high is not None:
            axes.plot((low, high), (place, place), color="0.2", linewidth=1)
    for place, share in zip(places, shares, strict=True):
        axes.annotate(
            f"{share:.1%}", (share, place), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=8.5,
        )  # fmt: skip
    for aim in AIMS:
        axes.axvline(aim, color="0.35", linestyle=":", linewidth=1)
    labels = [f"{name} ({found.images:,})" for name, found, _ in rows]
    axes.set_yticks(places, labels, fontsize=9)
    axes.set_xlim(0, 1.08)
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set_xlabel(
        "rejected as non-dermoscopic; dotted: at most of dermoscopic images, at least of others"
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    title = f"{record.model.name}: rejection of dermoscopic (red) and of other images"
    title_figure(figure, title, characters=TITLE_WIDTH)
    return figure
