"""Figures of the pictures themselves: masks, colours, and sheets that show images of the dataset.

What `draw_samples` and `draw_pairs` draw shows dataset images, and belongs where git ignores it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from hf_lesion.canvas import new_figure
from hf_lesion.data import exploration
from hf_lesion.data.duplicates import TURN_NAMES, NearDuplicate
from hf_lesion.data.figures import FAINT, MAP, SIZE, draw_boxes, name_of, plain

THUMBNAIL = (200, 150)  # pixels
SHOWN_PAIRS = 24
PAIRS_PER_ROW = 3
PAIRS_TITLE = 0.6  # inches
BINS = 40  # of the frame's width, in the map of positions
WIDTH = 9.6  # inches
RGB_MAXIMUM = 255
TITLE_SPACE, NAME_SPACE = 0.4, 0.3  # inches


def draw_masks(frame: pd.DataFrame) -> Figure:
    """Draw the share of the frame that the lesion covers, by diagnosis, and where it lies.

    Args:
        frame: As from `exploration.read_frame`, with at least one mask.
    """
    figure = new_figure((WIDTH, 4.5))
    area, place = figure.subplots(1, 2, width_ratios=(3, 2))
    draw_boxes(area, frame["area"], frame["dx"], label="Share of the frame")
    area.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    area.set_title("Area of the lesion", loc="left")
    known = frame[frame["x"].notna()]
    height = max(1, round(BINS * 3 / 4))
    counts, _, _ = np.histogram2d(
        known["y"], known["x"], bins=(height, BINS), range=((0, 1), (0, 1))
    )
    shown = np.ma.masked_equal(counts, 0)
    picture = place.imshow(shown, cmap=MAP, extent=(0, 1, 1, 0), aspect=3 / 4, norm="log")
    for axis in (place.xaxis, place.yaxis):
        axis.set_major_formatter(lambda share, _: f"{share:.0%}")
    place.set_xlabel("From the left of the frame")
    place.set_ylabel("From the top")
    place.set_title("Centre of the lesion", loc="left")
    figure.colorbar(picture, ax=place, label="Images", shrink=0.7)
    return figure


def draw_colours(frame: pd.DataFrame) -> Figure:
    """Draw the mean colours of lesion and skin by diagnosis, and the luminance of the lesion.

    Without any mask the whole frame stands for the lesion.

    Args:
        frame: As from `exploration.read_frame`.
    """
    parts = ["lesion", "skin"] if exploration.has_masks(frame) else ["frame"]
    names = {"lesion": "lesion", "skin": "skin around it", "frame": "whole frame"}
    figure = new_figure((WIDTH, 4.5))
    swatches, boxes = figure.subplots(1, 2, width_ratios=(2, 3))
    means = [exploration.mean_colours(frame, part) for part in parts]
    values = np.stack([part.to_numpy() / RGB_MAXIMUM for part in means], axis=1)
    # A diagnosis without any mask has no mean: white.
    swatches.imshow(np.nan_to_num(values, nan=1.0), aspect="auto")
    swatches.set_xticks(range(len(parts)), [names[part] for part in parts])
    swatches.set_yticks(range(len(means[0])), list(means[0].index))
    _separate(swatches, *values.shape[:2])
    swatches.set_title("Mean colour", loc="left")
    title = f"Luminance of the {names[parts[0]]}"
    draw_boxes(
        boxes, exploration.luminance(frame, parts[0]), frame["dx"], label="0 (black) to 255 (white)"
    )
    boxes.set_title(title, loc="left")
    return figure


def draw_source_colours(frame: pd.DataFrame) -> Figure:
    """Draw the luminance of the whole frame by source: what a model may read the source from.

    Args:
        frame: As from `exploration.read_frame`.
    """
    sources = frame["dataset"].fillna(exploration.UNKNOWN)
    values = exploration.luminance(frame, "frame")
    order = sources.value_counts().index
    figure = new_figure(SIZE)
    axes = figure.add_subplot()
    axes.boxplot(
        [values[sources == source].to_numpy() for source in order],
        whis=(5, 95),
        widths=0.6,
        showfliers=False,
        patch_artist=True,
        boxprops={"facecolor": FAINT},
        medianprops={"color": "black", "linewidth": 2},
    )
    names = [f"{source}\n{(sources == source).sum():,}" for source in order]
    axes.set_xticks(range(1, len(order) + 1), names)
    axes.set_ylabel("0 (black) to 255 (white)")
    axes.set_title("Luminance of the whole frame by source", loc="left")
    plain(axes, grid="y")
    return figure


def draw_samples(
    chosen: Mapping[str, Sequence[int]], pictures: Mapping[int, Image.Image]
) -> Figure:
    """Draw a row of images for each diagnosis.

    Args:
        chosen: Row numbers by diagnosis, as from `exploration.choose_samples`.
        pictures: Images by row number.
    """
    columns = max(len(numbers) for numbers in chosen.values())
    height = TITLE_SPACE + len(chosen) * (WIDTH / columns * 3 / 4 + NAME_SPACE)
    figure = new_figure((WIDTH, height))
    # By hand: constrained layout would make the first column as wide as the longest name.
    figure.set_layout_engine(None)
    grid = figure.subplots(len(chosen), columns, squeeze=False)
    figure.subplots_adjust(
        left=0.01,
        right=0.99,
        bottom=0.005,
        top=1 - (TITLE_SPACE + NAME_SPACE) / height,
        hspace=NAME_SPACE / (WIDTH / columns * 3 / 4),
        wspace=0.03,
    )
    for row, (code, numbers) in zip(grid, chosen.items(), strict=True):
        for axes in row:
            axes.set_axis_off()
        for axes, number in zip(row, numbers, strict=False):
            axes.imshow(pictures[number])
        row[0].set_title(name_of(code), loc="left", fontsize=11)
    figure.suptitle("Samples drawn at random, one per lesion", x=0.01, y=0.995, ha="left")
    return figure


def draw_pairs(
    rows: pd.DataFrame,
    pairs: Sequence[NearDuplicate],
    pictures: Mapping[int, Image.Image],
    *,
    total: int,
) -> Figure:
    """Draw pairs of near-duplicates side by side, with their ids, splits and agreement.

    Args:
        rows: image_id, label and split by row number.
        pairs: At least one, in the order to be shown.
        pictures: Images by row number.
        total: How many pairs were found in all.
    """
    columns = min(PAIRS_PER_ROW, len(pairs))
    lines = -(-len(pairs) // columns)
    figure = new_figure((columns * 4.2, PAIRS_TITLE + lines * 1.95))
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, pair in zip(grid, pairs, strict=False):
        both = [np.asarray(pictures[number]) for number in (pair.first, pair.second)]
        gap = np.full((both[0].shape[0], 6, 3), RGB_MAXIMUM, np.uint8)
        axes.imshow(np.concatenate([both[0], gap, both[1]], axis=1))
        axes.set_title(_caption(rows, pair), fontsize=8, loc="left")
    shown = "" if total == len(pairs) else f", the {len(pairs)} surest of them"
    figure.suptitle(f"{total} near-duplicates under two lesion_ids{shown}", x=0.01, ha="left")
    return figure


def _caption(rows: pd.DataFrame, pair: NearDuplicate) -> str:
    first, second = (
        "{image_id} {label} {split}".format(**rows.loc[number])
        for number in (pair.first, pair.second)
    )
    return f"{first} | {second}\ndetail {pair.correlation:.2f}, {TURN_NAMES[pair.turn]}"


def _separate(axes: Axes, rows: int, columns: int) -> None:
    axes.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=3)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
