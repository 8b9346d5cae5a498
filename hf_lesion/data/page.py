"""The exploration as files: charts as PNG and SVG, and one HTML page that holds them all."""

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from hf_lesion.canvas import write_figure
from hf_lesion.data import exploration, figures, observations, sheets
from hf_lesion.files import write_text
from hf_lesion.labels import NOTICE

KINDS = {".svg": "image/svg+xml", ".png": "image/png"}

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.55 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1.5rem; }}
h1 {{ line-height: 1.2; }}
figure {{ margin: 2.5rem 0; }}
img {{ width: 100%; height: auto; background: white; border-radius: 6px; }}
figcaption {{ margin-top: .6rem; }}
nav ul {{ columns: 15rem; padding-left: 1.2rem; }}
footer {{ border-top: 1px solid #8888; margin-top: 3rem; padding-top: 1rem; font-size: .9rem; }}
code {{ overflow-wrap: anywhere; }}
</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p>{summary}</p>
<nav aria-label="Charts"><ul>
{contents}
</ul></nav>
</header>
<main>
{charts}
</main>
<footer>
<p>{notice}</p>
<p>Data: Tschandl, Rosendahl, Kittler, “The HAM10000 dataset”, Scientific Data 5:180161 (2018),
doi:10.7910/DVN/DBW86T, CC BY-NC 4.0.</p>
<p>Made by <code>scripts/explore_data.py</code> from the dataset with the fingerprint
<code>{fingerprint}</code>.</p>
</footer>
</body>
</html>
"""
CHART = """<figure id="{name}">
<h2>{title}</h2>
<img src="data:{kind};base64,{data}" alt="{alt}">
<figcaption>{sentence}</figcaption>
</figure>"""
ENTRY = '<li><a href="#{name}">{title}</a></li>'


@dataclass(frozen=True)
class Chart:
    """One chart: the stem of its files, its title, what to notice, and its drawing."""

    name: str
    title: str
    sentence: str
    figure: Figure


def build_charts(frame: pd.DataFrame) -> list[Chart]:
    """Draw every chart that the data can fill, with what to notice in each.

    Args:
        frame: As from `exploration.read_frame`; charts of masks are left out without masks.
    """
    charts = [*_chart_classes(frame), *_chart_patients(frame), *_chart_origin(frame)]
    if exploration.has_masks(frame):
        say = observations.say_masks(frame)
        charts.append(Chart("masks", "Area and place", say, sheets.draw_masks(frame)))
    say = observations.say_colours(frame)
    charts.append(Chart("colours", "Colours", say, sheets.draw_colours(frame)))
    say = observations.say_source_colours(frame)
    charts.append(
        Chart("source_colours", "Brightness by source", say, sheets.draw_source_colours(frame))
    )
    missing = figures.draw_missing(exploration.count_missing(frame))
    charts.append(Chart("missing", "Missing values", observations.say_missing(frame), missing))
    return charts


def write_charts(charts: Sequence[Chart], folder: Path) -> dict[str, Path]:
    """Write each chart as <name>.png and <name>.svg; return the SVG's path by name."""
    paths = {}
    for chart in charts:
        write_figure(chart.figure, folder / f"{chart.name}.png")
        paths[chart.name] = folder / f"{chart.name}.svg"
        figures.write_svg(chart.figure, paths[chart.name])
    return paths


def write_page(
    charts: Sequence[Chart],
    paths: Mapping[str, Path],
    target: Path,
    *,
    frame: pd.DataFrame,
    title: str,
    fingerprint: str,
) -> None:
    """Write a page that holds every chart and needs no other file.

    Args:
        charts: In the order to be shown.
        paths: The SVG or PNG file of each, by name.
        target: The HTML file to write.
        frame: As from `exploration.read_frame`.
        title: Of the page.
        fingerprint: Of the dataset.
    """
    entries = [ENTRY.format(name=chart.name, title=html.escape(chart.title)) for chart in charts]
    text = PAGE.format(
        title=html.escape(title),
        summary=html.escape(_summarise(frame)),
        contents="\n".join(entries),
        charts="\n".join(_embed(chart, paths[chart.name]) for chart in charts),
        notice=html.escape(NOTICE),
        fingerprint=html.escape(fingerprint),
    )
    write_text(target, text)


def _chart_classes(frame: pd.DataFrame) -> list[Chart]:
    counts = exploration.count_classes(frame)
    bars, pie = figures.draw_class_bars(counts), figures.draw_class_pie(counts)
    per_lesion = exploration.count_per_lesion(frame)
    return [
        Chart("class_bars", "Images by diagnosis", observations.say_balance(frame), bars),
        Chart("class_pie", "Share by diagnosis", observations.say_malignant(frame), pie),
        Chart(
            "images_per_lesion",
            "Images per lesion",
            observations.say_per_lesion(frame),
            figures.draw_per_lesion(per_lesion),
        ),
    ]


def _chart_patients(frame: pd.DataFrame) -> list[Chart]:
    places = exploration.tabulate(frame, "localization")
    return [
        Chart("age", "Age", observations.say_age(frame), figures.draw_age(frame)),
        Chart(
            "sex",
            "Sex",
            observations.say_sex(frame),
            figures.draw_shares(exploration.tabulate(frame, "sex"), title="Sex by diagnosis"),
        ),
        Chart(
            "localization",
            "Place on the body",
            observations.say_localization(frame),
            figures.draw_table(places, title="Images by diagnosis and place", label="Place"),
        ),
    ]


def _chart_origin(frame: pd.DataFrame) -> list[Chart]:
    ways, sources = (exploration.tabulate(frame, column) for column in ("dx_type", "dataset"))
    return [
        Chart(
            "dx_type",
            "How the diagnosis was confirmed",
            observations.say_dx_type(frame),
            figures.draw_shares(ways, title="How the diagnosis was confirmed (dx_type)"),
        ),
        Chart(
            "source",
            "Source of the images",
            observations.say_source(frame),
            figures.draw_table(sources, title="Images by diagnosis and source", label="Source"),
        ),
    ]


def _summarise(frame: pd.DataFrame) -> str:
    sizes = frame[["width", "height"]].value_counts()
    width, height = sizes.index[0]
    mixed = "" if len(sizes) == 1 else f", mostly {width}×{height}"
    size = f" of {width}×{height} pixels" if len(sizes) == 1 else f" in {len(sizes)} sizes{mixed}"
    splits = frame["split"].value_counts(sort=False)
    parts = ", ".join(f"{count:,} in {split}" for split, count in splits.items())
    return f"{len(frame):,} images{size} of {frame['lesion_id'].nunique():,} lesions: {parts}."


def _embed(chart: Chart, path: Path) -> str:
    return CHART.format(
        name=chart.name,
        title=html.escape(chart.title),
        kind=KINDS[path.suffix],
        data=base64.b64encode(path.read_bytes()).decode("ascii"),
        alt=html.escape(f"{chart.title}. {chart.sentence}"),
        sentence=html.escape(chart.sentence),
    )
