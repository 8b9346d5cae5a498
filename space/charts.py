"""Charts as HTML and SVG in the page's own colours: sharp at any size, light and dark.

Every chart has its numbers in words or figures beside the drawing, so none is needed to read them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

SIDE = 240  # of a square plot, in pixels
PAD = 46  # around it, for numbers and names
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
# Classes of style.css whose colours colour-blind readers can tell apart, by order.
SERIES = ("one", "two", "three", "four", "five", "six", "seven", "rest")
LEAST_LABEL = 0.08  # a narrower part of a bar holds no number
Numbers = Sequence[float | None] | Sequence[float]


@dataclass(frozen=True)
class Point:
    """A measured value in [0, 1] with its interval, if it has one.

    Attributes:
        name: Of what was measured.
        value: None where it could not be measured.
        interval: From and to.
    """

    name: str
    value: float | None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Bar:
    """A share in [0, 1] to be drawn as a bar.

    Attributes:
        name: Of what has it.
        share: How long the bar is.
        kind: "malignant" or "benign": its colour.
    """

    name: str
    share: float
    kind: str = "benign"


def figure(title: str, body: str, caption: str = "") -> str:
    """Return a chart with its title and what to notice in it."""
    said = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure class="panel chart"><h3>{escape(title)}</h3>{body}{said}</figure>'


def count_bars(counts: Mapping[str, int], *, kinds: Mapping[str, str] | None = None) -> str:
    """Return counts as bars, longest first, each with its number and share.

    Args:
        counts: By name.
        kinds: "malignant" or "benign" of some names.
    """
    most, total = max(counts.values(), default=0) or 1, sum(counts.values()) or 1
    rows = "".join(
        f'<li class="{(kinds or {}).get(name, "benign")}"><div class="row">'
        f'<span class="name">{escape(name)}</span>'
        f'<span class="value">{count:,} ({100 * count / total:.1f}%)</span></div>'
        f'<div class="track" aria-hidden="true"><div class="fill" '
        f'style="width:{100 * count / most:.2f}%"></div></div></li>'
        for name, count in sorted(counts.items(), key=lambda item: -item[1])
    )
    return f'<ul class="bars">{rows}</ul>'


def percent_bars(bars: Sequence[Bar]) -> str:
    """Return shares as bars, each with its number, from top to bottom."""
    rows = "".join(
        f'<li class="{bar.kind}"><div class="row"><span class="name">{escape(bar.name)}</span>'
        f'<span class="value">{100 * bar.share:.1f}%</span></div>'
        '<div class="track" aria-hidden="true">'
        f'<div class="fill" style="width:{100 * bar.share:.2f}%"></div></div></li>'
        for bar in bars
    )
    return f'<ul class="bars">{rows}</ul>'


def share_bars(rows: Mapping[str, Mapping[str, int]], columns: Sequence[str]) -> str:
    """Return how each row divides into the columns, as bars of one length under a legend.

    Args:
        rows: Counts by row and column.
        columns: In the order to be shown, at most as many as `SERIES`.
    """
    styles = dict(zip(columns, SERIES, strict=False))
    body = "".join(_share_row(name, counts, styles) for name, counts in rows.items())
    return f'{_key(styles)}<ul class="shares">{body}</ul>'


def _key(styles: Mapping[str, str]) -> str:
    keys = "".join(
        f'<li><i class="{style}"></i>{escape(name)}</li>' for name, style in styles.items()
    )
    return f'<ul class="key">{keys}</ul>'


def _share_row(name: str, counts: Mapping[str, int], styles: Mapping[str, str]) -> str:
    total = sum(counts.values()) or 1
    shares = {column: counts.get(column, 0) / total for column in styles}
    parts = "".join(
        f'<span class="{style}" style="width:{100 * shares[column]:.2f}%">'
        f"{f'{100 * shares[column]:.0f}' if shares[column] >= LEAST_LABEL else ''}</span>"
        for column, style in styles.items()
    )
    words = ", ".join(f"{column} {100 * share:.0f}%" for column, share in shares.items() if share)
    return (
        f'<li><span class="name">{escape(name)}</span><div class="whole" role="img" '
        f'aria-label="{escape(name)}: {escape(words)}">{parts}</div></li>'
    )


def interval_rows(points: Sequence[Point], *, mark: float | None = None) -> str:
    """Return values as dots with their 95% intervals as lines, on a scale from 0 to 1.

    Args:
        points: From top to bottom.
        mark: A value to compare with, drawn as a line through all rows.
    """
    line = "" if mark is None else f'<b style="left:{100 * mark:.2f}%"></b>'
    rows = "".join(
        f'<li><div class="row"><span class="name">{escape(point.name)}</span>'
        f'<span class="value">{say_point(point)}</span></div>'
        f'<div class="scale" aria-hidden="true">{line}{_dot(point)}</div></li>'
        for point in points
    )
    return f'<ul class="intervals">{rows}</ul>'


def say_point(point: Point) -> str:
    """Return a value in figures, with its interval."""
    if point.value is None:
        return "not measured"
    text = f"{point.value:.3f}"
    if point.interval is None:
        return text
    return f"{text} [{point.interval[0]:.3f}, {point.interval[1]:.3f}]"


def _dot(point: Point) -> str:
    if point.value is None:
        return ""
    low, high = point.interval or (point.value, point.value)
    return (
        f'<s style="left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%"></s>'
        f'<i style="left:{100 * point.value:.2f}%"></i>'
    )


def box_rows(quantiles: Mapping[str, Sequence[float]], *, highest: float, unit: str) -> str:
    """Return boxes from quartile to quartile, whiskers from the 5th to the 95th percentile.

    Args:
        quantiles: 5th, 25th, 50th, 75th and 95th percentile by name.
        highest: The right end of the scale, which begins at 0.
        unit: Of the values.
    """
    rows = ""
    for name, values in quantiles.items():
        at = [f"{100 * value / highest:.2f}%" for value in values]
        width = f"{100 * (values[3] - values[1]) / highest:.2f}%"
        reach = f"{100 * (values[4] - values[0]) / highest:.2f}%"
        rows += (
            f'<li><div class="row"><span class="name">{escape(name)}</span><span class="value">'
            f"median {values[2]:.0f}, half {values[1]:.0f} to {values[3]:.0f} {escape(unit)}</span>"
            f'</div><div class="scale box" aria-hidden="true"><s style="left:{at[0]};'
            f'width:{reach}"></s><u style="left:{at[1]};width:{width}"></u>'
            f'<em style="left:{at[2]}"></em></div></li>'
        )
    return f'<ul class="intervals">{rows}</ul>'


def matrix(counts: Sequence[Sequence[int]], names: Sequence[str], *, corner: str) -> str:
    """Return a table of counts coloured by their share of the row.

    Args:
        counts: Rows by columns.
        names: Of the rows, and of the columns.
        corner: What rows and columns are.
    """
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = ""
    for name, row in zip(names, counts, strict=True):
        total = sum(row) or 1
        cells = "".join(
            f'<td style="--share:{100 * count / total:.0f}%">{count:,}</td>' for count in row
        )
        body += f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Table, scrolls sideways">'
        f'<table class="matrix"><thead><tr><td class="corner">{escape(corner)}</td>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>"
    )


def curves(
    lines: Mapping[str, tuple[Numbers, Numbers]],
    *,
    across: str,
    up: str,
    words: str,
    diagonal: bool = False,
) -> str:
    """Return lines in the unit square as SVG, with a legend if there are several.

    Args:
        lines: x and y in [0, 1] by name; those of up to two points are drawn as dots too.
        across: What the horizontal axis is.
        up: What the vertical axis is.
        words: The same for who can't see it.
        diagonal: Draw the line where x equals y.
    """
    styles = dict(zip(lines, SERIES, strict=False))
    drawn = "".join(_line(*lines[name], style) for name, style in styles.items())
    if diagonal:
        drawn = f'<path class="diagonal" d="M{_x(0)},{_y(0)}L{_x(1)},{_y(1)}"/>{drawn}'
    grid = "".join(
        f'<path class="grid" d="M{_x(0)},{_y(tick)}H{_x(1)}M{_x(tick)},{_y(0)}V{_y(1)}"/>'
        f'<text x="{_x(tick)}" y="{_y(0) + 14}" text-anchor="middle">{tick:g}</text>'
        f'<text x="{_x(0) - 5}" y="{_y(tick) + 4}" text-anchor="end">{tick:g}</text>'
        for tick in TICKS
    )
    keys = "".join(
        f'<li><i class="{style}"></i>{escape(name)}</li>' for name, style in styles.items()
    )
    legend = f'<ul class="key">{keys}</ul>' if len(lines) > 1 else ""
    size = SIDE + 2 * PAD
    return (
        f'{legend}<svg class="plot" viewBox="0 0 {size} {size}" role="img" '
        f'aria-label="{escape(words)}">{grid}{drawn}'
        f'<text x="{size / 2}" y="{size - 3}" text-anchor="middle">{escape(across)}</text>'
        f'<text transform="translate(10 {size / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(up)}</text></svg>"
    )


def _line(x: Numbers, y: Numbers, style: str) -> str:
    pairs = [(a, b) for a, b in zip(x, y, strict=True) if a is not None and b is not None]
    points = [(_x(a), _y(b)) for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
    path = "L".join(f"{a:.1f},{b:.1f}" for a, b in points)
    dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3"/>' for a, b in points)
    return f'<g class="{style}"><path d="M{path}"/>{dots if len(points) <= 20 else ""}</g>'


def _x(value: float) -> float:
    return PAD + SIDE * value


def _y(value: float) -> float:
    return PAD + SIDE * (1 - value)
