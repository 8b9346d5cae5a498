"""Figures of a dataset: metadata, masks, colours, and contact sheets of its images.

`plot_samples` and `plot_near_duplicates` show dataset images, which must not be committed to git.
"""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from PIL import Image

from hf_lesion.data.near_duplicates import ORIENTATION_NAMES, NearDuplicate
from hf_lesion.eda.frame import (
    UNKNOWN,
    count_images_per_lesion,
    count_missing,
    has_masks,
    luminance,
    tabulate,
)
from hf_lesion.io.figures import new_figure
from hf_lesion.labels import CODES, NAMES

PALETTE = dict(zip(CODES, sns.color_palette("colorblind", len(CODES)), strict=True))
GREY, BLUE = "0.75", sns.color_palette("colorblind")[0]
MAP = "cividis"  # readable with colour blindness
SIZE, WIDE = (8.0, 4.5), (9.6, 4.5)  # inches
CELL = 0.62  # inches per column of a table
LEAST_LABEL = 0.05  # narrower parts of a bar have no label
POSITION_BINS = 40
PERCENT = PercentFormatter(1, decimals=0)
FRACTION = "Fraction of the images of the diagnosis"
THUMBNAIL = (200, 150)  # pixels
SHOWN_PAIRS, PAIRS_PER_ROW = 24, 3


def name_of(code: str) -> str:
    """Return the label of a diagnosis in figures."""
    return f"{NAMES[code]} ({code})"


def plot_classes(frame: pd.DataFrame) -> Figure:
    """Plot the number of images of each diagnosis, in descending order."""
    counts = frame["dx"].value_counts()
    figure, axes = _new_axes()
    bars = axes.barh(
        [name_of(c) for c in counts.index], counts, color=[PALETTE[c] for c in counts.index]
    )
    axes.bar_label(bars, [f"{n:,}  ({n / len(frame):.1%})" for n in counts], padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.grid(visible=False, axis="y")
    axes.set(xlabel="Images")
    return figure


def plot_images_per_lesion(frame: pd.DataFrame) -> Figure:
    """Plot the number of lesions by their number of images."""
    counts = count_images_per_lesion(frame)
    figure, axes = _new_axes()
    bars = axes.bar(counts.index.astype(str), counts, color=BLUE)
    axes.bar_label(bars, [f"{count:,}" for count in counts], padding=3)
    axes.grid(visible=False, axis="x")
    axes.set(xlabel="Images of the lesion", ylabel="Lesions")
    return figure


def plot_age(frame: pd.DataFrame) -> Figure:
    """Plot the age of the patients by diagnosis."""
    figure, axes = _new_axes()
    plot_boxes(axes, frame["age"], frame["dx"], palette=PALETTE)
    axes.set(ylabel="Age in years")
    return figure


def plot_shares(frame: pd.DataFrame, column: str) -> Figure:
    """Plot the values of a text column by diagnosis, as fractions in stacked bars."""
    table = tabulate(frame, column)
    shares = table.div(table.sum(axis=1), axis=0).fillna(0)
    shares.index = [f"{name_of(str(code))}, {total:,}" for code, total in table.sum(axis=1).items()]
    colours = dict(zip(table, sns.color_palette("pastel", len(table.columns)), strict=True))
    figure, axes = _new_axes()
    shares.plot.barh(stacked=True, ax=axes, color=colours | {UNKNOWN: GREY}, width=0.8)
    for bars in axes.containers:
        texts = [f"{bar.get_width():.0%}" if bar.get_width() >= LEAST_LABEL else "" for bar in bars]
        axes.bar_label(bars, texts, label_type="center", fontsize=9)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.xaxis.set_major_formatter(PERCENT)
    axes.set(xlim=(0, 1), xlabel=FRACTION, ylabel="")
    axes.get_legend().remove()
    figure.legend(loc="outside lower center", ncols=min(5, len(table.columns)), frameon=False)
    return figure


def plot_table(frame: pd.DataFrame, column: str) -> Figure:
    """Plot counts of diagnosis × text column, coloured by the fraction within the diagnosis."""
    table = tabulate(frame, column)
    shares = table.div(table.sum(axis=1), axis=0)
    figure, axes = _new_axes((max(SIZE[0], 4 + CELL * len(table.columns)), SIZE[1]))
    names = [name_of(code) for code in table.index]
    legend = {"label": FRACTION, "format": PERCENT}
    sns.heatmap(
        shares, annot=table, fmt=",d", cmap=MAP, vmin=0, ax=axes, yticklabels=names, cbar_kws=legend
    )
    axes.set_xticks(
        axes.get_xticks(), table.columns, rotation=40, ha="right", rotation_mode="anchor"
    )
    axes.set(xlabel="", ylabel="")
    return figure


def plot_masks(frame: pd.DataFrame) -> Figure:
    """Plot the area of the lesion as a fraction of the frame by diagnosis, and its centre."""
    figure, (area, position) = _new_axes(WIDE, columns=2, width_ratios=(3, 2))
    plot_boxes(area, frame["area"], frame["dx"], palette=PALETTE)
    area.yaxis.set_major_formatter(PERCENT)
    area.set(title="Area of the lesion", ylabel="Fraction of the frame")
    legend = {"label": "Images", "shrink": 0.7}
    sns.histplot(
        frame, x="x", y="y", bins=POSITION_BINS, cmap=MAP, cbar=True, cbar_kws=legend, ax=position
    )
    position.set(xlim=(0, 1), ylim=(1, 0), aspect=3 / 4, title="Centre of the lesion")
    position.set(xlabel="x (fraction of the width)", ylabel="y (fraction of the height)")
    for axis in (position.xaxis, position.yaxis):
        axis.set_major_formatter(PERCENT)
    return figure


def plot_colours(frame: pd.DataFrame) -> Figure:
    """Plot the mean colour of lesion and skin by diagnosis, and the luminance of the lesion.

    Without masks the whole frame is used instead of the lesion.
    """
    parts = ["lesion", "skin"] if has_masks(frame) else ["frame"]
    columns = [f"{part}_{channel}" for part in parts for channel in "rgb"]
    means = frame.groupby("dx", observed=False)[columns].mean() / 255
    figure, (swatches, boxes) = _new_axes(WIDE, columns=2, width_ratios=(2, 3))
    # A diagnosis without masks has no mean and is shown in white.
    shown = means.fillna(1).to_numpy().reshape(len(means), len(parts), 3)
    swatches.imshow(shown, aspect="auto")
    swatches.set(xticks=range(len(parts)), xticklabels=parts, title="Mean colour")
    swatches.set(yticks=range(len(means)), yticklabels=means.index)
    swatches.grid(visible=False)
    plot_boxes(boxes, luminance(frame, parts[0]), frame["dx"], palette=PALETTE)
    boxes.set(title=f"Luminance of the {parts[0]}", ylabel="0 (black) to 255 (white)")
    return figure


def plot_source_luminance(frame: pd.DataFrame) -> Figure:
    """Plot the luminance of the whole frame by source, a possible shortcut for a model."""
    figure, axes = _new_axes()
    plot_boxes(axes, luminance(frame, "frame"), frame["dataset"].fillna(UNKNOWN))
    axes.set(ylabel="0 (black) to 255 (white)")
    return figure


def plot_missing(frame: pd.DataFrame) -> Figure:
    """Plot the number of missing values of each column."""
    missing = count_missing(frame)
    figure, axes = _new_axes()
    missing.plot.barh(stacked=True, ax=axes, color=sns.color_palette("colorblind")[:2])
    totals = missing.sum(axis=1)
    axes.bar_label(axes.containers[-1], [f"{total:,}" for total in totals], padding=4)
    axes.margins(x=0.1)
    axes.invert_yaxis()
    axes.set(xlabel="Images")
    return figure


def plot_leakage(shares: Mapping[str, float]) -> Figure:
    """Plot the fraction of test images whose lesion is in train, by splitting scheme."""
    figure, axes = _new_axes()
    bars = axes.barh(list(shares), list(shares.values()), color=BLUE)
    axes.bar_label(bars, [f"{share:.1%}" for share in shares.values()], padding=4)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(PERCENT)
    axes.set(xlim=(0, 1.1), xlabel="Test images whose lesion is in train")
    return figure


def plot_boxes(axes: Axes, values: pd.Series, groups: pd.Series, *, palette: Any = None) -> None:
    """Plot quartiles of (N,) values by group, with whiskers from the 5th to the 95th percentile.

    Tick labels include the number of known values of a group; NaN is ignored.
    """
    known = values.notna()
    counts = groups[known].value_counts()
    hue = {"hue": groups[known], "palette": palette} if palette else {"color": GREY}
    options = {"whis": (5, 95), "showfliers": False, "dodge": False, "legend": False, **hue}
    places = []
    if known.any():
        sns.boxplot(x=groups[known], y=values[known], ax=axes, **options)
        places = [text.get_text() for text in axes.get_xticklabels()]
    axes.set_xticks(range(len(places)), [f"{name}\n{counts.get(name, 0):,}" for name in places])
    axes.set(xlabel="")


def plot_samples(chosen: Mapping[str, Sequence[int]], images: Mapping[int, Image.Image]) -> Figure:
    """Plot a contact sheet with a row of images for each diagnosis, as from `sample_images`."""
    columns = max(len(numbers) for numbers in chosen.values())
    height = WIDE[0] / columns * THUMBNAIL[1] / THUMBNAIL[0] + 0.3
    figure = new_figure((WIDE[0], len(chosen) * height))
    rows = figure.subfigures(len(chosen), 1, squeeze=False).ravel()
    for row, (code, numbers) in zip(rows, chosen.items(), strict=True):
        row.suptitle(name_of(code), x=0.01, ha="left", fontsize=11)
        for axes, number in zip_longest(row.subplots(1, columns, squeeze=False)[0], numbers):
            axes.set_axis_off()
            if number is not None:
                axes.imshow(images[number])
    return figure


def plot_near_duplicates(
    rows: pd.DataFrame,
    pairs: Sequence[NearDuplicate],
    images: Mapping[int, Image.Image],
    *,
    total: int,
) -> Figure:
    """Plot some of `total` pairs side by side, with their ids, splits and correlation.

    Images are of equal height, by row number.
    """
    columns = min(PAIRS_PER_ROW, len(pairs))
    lines = -(-len(pairs) // columns)
    figure = new_figure((columns * 4.2, 0.6 + lines * 1.95))
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, pair in zip_longest(grid, pairs):
        axes.set_axis_off()
        if pair is not None:
            both = [np.asarray(images[number]) for number in (pair.first, pair.second)]
            axes.imshow(np.concatenate(both, axis=1))
            axes.set_title(_caption(rows, pair), fontsize=8, loc="left")
    shown = "" if total == len(pairs) else f"; the {len(pairs)} most similar are shown"
    figure.suptitle(f"{total} near-duplicates under two lesion_ids{shown}", x=0.01, ha="left")
    return figure


def _caption(rows: pd.DataFrame, pair: NearDuplicate) -> str:
    first, second = (
        "{image_id} {label} {split}".format(**rows.loc[number])
        for number in (pair.first, pair.second)
    )
    orientation = ORIENTATION_NAMES[pair.orientation]
    return f"{first} | {second}\ncorrelation {pair.correlation:.2f}, {orientation}"


def _new_axes(
    size: tuple[float, float] = SIZE, *, columns: int = 1, **options: Any
) -> tuple[Figure, Any]:
    figure = new_figure(size)
    with sns.axes_style("whitegrid", {"axes.spines.top": False, "axes.spines.right": False}):
        return figure, figure.subplots(1, columns, **options)
