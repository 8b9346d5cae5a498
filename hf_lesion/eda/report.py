"""Report of the data exploration: charts as PNG and SVG, and an HTML page with all of them."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats.contingency import association

from hf_lesion.eda import figures
from hf_lesion.eda.frame import has_masks, tabulate
from hf_lesion.errors import InputError
from hf_lesion.io.figures import write_figure
from hf_lesion.io.files import read_json, whole_file, write_text
from hf_lesion.labels import NOTICE

MEDIA_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
BOXES = "Box: quartiles; line: median; whiskers: 5th to 95th percentile; numbers: known values."
LESIONS = "All images of a lesion must be in one split."
LEAKAGE = "Leakage of splitting schemes. Random splits: mean of several draws."
MISSING = "Missing values are empty in some columns and “unknown” in others."
# Splitting schemes of scripts/audit_splits.py.
SCHEMES = {
    None: "as prepared: by lesion",
    "image-level": "by image",
    "copied-rows": "rows copied, then by row",
}


@dataclass(frozen=True)
class Chart:
    """A chart: stem of its files, title, caption and figure."""

    name: str
    title: str
    caption: str
    figure: Figure


def summarise(frame: pd.DataFrame, *, fingerprint: str) -> dict[str, Any]:
    """Return counts of a dataset that the web demo shows without access to it."""
    return {
        "fingerprint": fingerprint,
        "images": len(frame),
        "lesions": frame["lesion_id"].nunique(),
        "classes": frame["dx"].value_counts(sort=False).to_dict(),
        "splits": frame["split"].value_counts().to_dict(),
    }


def read_leakage(audits: Iterable[Path]) -> dict[str, float]:
    """Return the fraction of test images whose lesion is in train, by splitting scheme.

    `audits` are records of scripts/audit_splits.py. That of a random scheme is the mean of many
    draws, which is more precise than the single draw that was audited.
    """
    shares = {}
    for file in audits:
        fix = "Write it again with scripts/audit_splits.py."
        audit = read_json(file, fix=fix)
        try:
            scheme = audit["scheme"]
            name = scheme["name"] if scheme else None
            share = (
                scheme["average"]["share"]["mean"] if scheme else audit["test_rows_seen"]["share"]
            )
            shares[SCHEMES[name]] = float(share)
        except (KeyError, TypeError) as error:
            raise InputError(f"{file} is not the record of an audit. {fix}") from error
    return shares


def build_charts(frame: pd.DataFrame, leakage: Mapping[str, float]) -> list[Chart]:
    """Plot all charts for which the data is available, such as masks or `leakage` by scheme."""

    def bars(name: str, column: str, title: str) -> Chart:
        figure = figures.plot_shares(frame, column)
        return Chart(name, title, _association(frame, column), figure)

    def table(name: str, column: str, title: str) -> Chart:
        caption = f"Colour: fraction within the diagnosis. {_association(frame, column)}"
        return Chart(name, title, caption, figures.plot_table(frame, column))

    lesions = figures.plot_images_per_lesion(frame)
    charts = [
        Chart("classes", "Images by diagnosis", "", figures.plot_classes(frame)),
        Chart("images_per_lesion", "Images per lesion", LESIONS, lesions),
    ]
    if leakage:
        charts.append(Chart("leakage", "Leakage", LEAKAGE, figures.plot_leakage(leakage)))
    charts += [
        Chart("age", "Age", BOXES, figures.plot_age(frame)),
        bars("sex", "sex", "Sex"),
        table("localization", "localization", "Localisation"),
        bars("dx_type", "dx_type", "Confirmation of the diagnosis (dx_type)"),
        table("source", "dataset", "Source of the images"),
    ]
    if has_masks(frame):
        charts.append(Chart("masks", "Lesion masks", BOXES, figures.plot_masks(frame)))
    luminance = figures.plot_source_luminance(frame)
    return [
        *charts,
        Chart("colours", "Colours", BOXES, figures.plot_colours(frame)),
        Chart("source_luminance", "Luminance by source", BOXES, luminance),
        Chart("missing", "Missing values", MISSING, figures.plot_missing(frame)),
    ]


def write_charts(charts: Sequence[Chart], folder: Path) -> dict[str, Path]:
    """Write each chart as <name>.png and <name>.svg; return the SVG paths by name."""
    for chart in charts:
        write_figure(chart.figure, folder / f"{chart.name}.png")
        # Fixed salt and no date: matplotlib would write random ids and the time otherwise.
        with (
            whole_file(folder / f"{chart.name}.svg") as partial,
            matplotlib.rc_context({"svg.hashsalt": chart.name}),
        ):
            chart.figure.savefig(partial, metadata={"Date": None})
    return {chart.name: folder / f"{chart.name}.svg" for chart in charts}


def write_page(
    charts: Sequence[Chart],
    paths: Mapping[str, Path],
    target: Path,
    *,
    frame: pd.DataFrame,
    title: str,
    fingerprint: str,
) -> None:
    """Write a self-contained HTML page with all charts, from their SVG or PNG files by name."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hf_lesion.eda"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["embed"] = _embed
    text = environment.get_template("report.html.jinja").render(
        title=title,
        charts=charts,
        paths=paths,
        images=len(frame),
        lesions=frame["lesion_id"].nunique(),
        splits=frame["split"].value_counts(sort=False),
        sizes=frame[["width", "height"]].value_counts(),
        notice=NOTICE,
        fingerprint=fingerprint,
    )
    write_text(target, text)


def _association(frame: pd.DataFrame, column: str) -> str:
    """Return a sentence with Cramér's V between a text column and the diagnosis."""
    table = tabulate(frame, column)
    table = table[table.sum(axis=1) > 0]
    if min(table.shape) < 2:
        return "A single value."
    strength = association(table.to_numpy(), method="cramer")
    return f"Association with the diagnosis: Cramér's V {strength:.2f} (0 none, 1 complete)."


def _embed(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"data:{MEDIA_TYPES[path.suffix]};base64,{data}"
