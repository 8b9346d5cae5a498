"""Figures of a report: confusion matrix, curves, calibration, subgroups and robustness."""

import textwrap
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from hf_lesion.evaluation.report.record import format_metric
from hf_lesion.evaluation.report.tables import ANSWERS, GROUP_METRICS, behind, list_groups
from hf_lesion.evaluation.subgroups import FEWEST
from hf_lesion.io.figures import mark_score, name_rows, new_figure, title_figure
from hf_lesion.labels import CODES, NAMES

# One hue from light to dark: told apart by lightness, so safe for colour-blind readers.
COLOURS = "Blues"
INK_SWITCH = 0.72  # where white and black ink have the same contrast, about 4.5 to 1
SIZE = (9.6, 6.6)  # inches
# Blue and vermilion of Okabe and Ito, "Color Universal Design" (2008).
INK, SECOND, PALE, FAINT, GRID = "#0072B2", "#D55E00", "#CFE3F1", "0.45", "0.9"
PERCENT = PercentFormatter(1, decimals=0)
PANELS = (2, 4)
# Of a curve: short name of its area, names of its axes.
AXES = {
    "roc": ("AUROC", "1 − specificity", "sensitivity"),
    "precision_recall": ("AP", "recall (sensitivity)", "precision (PPV)"),
}
GROUP_ROW, GROUP_FRAME = 0.27, 1.9  # inches
SHOWN_GROUPS = ("malignant_auroc", "malignant_sensitivity", "balanced_accuracy")
MOST_PANELS = 2
WIDTH, ROW, FRAME = 8.6, 0.34, 1.9  # inches
DOT, WORST, UNCHANGED = "#1f6f8b", "#b3402a", "0.35"
# Characters that fit in one line of a title.
CONFUSION_TITLE, CURVES_TITLE, ROBUSTNESS_TITLE = 85, 100, 80


def draw_confusion(record: dict[str, Any], *, title: str) -> Figure:
    """Draw the confusion matrix: colour and percentage by row, with the counts."""
    counts = np.asarray(record["confusion_matrix"])
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    texts = np.full(counts.shape, "0", dtype=object)
    for cell in np.argwhere(counts):
        texts[tuple(cell)] = f"{shares[tuple(cell)]:.0%}\n{counts[tuple(cell)]:,}"
    texts[totals[:, 0] == 0] = "–"
    figure = new_figure(SIZE)
    axes = figure.add_subplot()
    sns.heatmap(
        shares,
        vmin=0,
        vmax=1,
        cmap=COLOURS,
        annot=texts,
        fmt="",
        annot_kws={"fontsize": 9},
        linewidths=1.5,
        xticklabels=CODES,
        cbar_kws={"label": "Share of the images with this diagnosis", "format": PERCENT},
        ax=axes,
    )
    for text, share in zip(axes.texts, shares.flat, strict=True):
        text.set_color("white" if share > INK_SWITCH else "black")
    names = [
        f"{NAMES[code]} ({code})\n{total:,} images"
        for code, total in zip(CODES, totals[:, 0], strict=True)
    ]
    axes.set_yticks(axes.get_yticks(), names, fontsize=9, rotation=0)
    axes.tick_params(length=0)
    axes.set(ylabel="True diagnosis", xlabel="Predicted diagnosis")
    title_figure(figure, title, characters=CONFUSION_TITLE)
    return figure


def draw_roc(record: dict[str, Any], *, title: str) -> Figure:
    """Draw the ROC curve of each diagnosis and of "malignant", with its area and interval."""
    figure, panels = _draw_curves(record, "roc", "auroc", title)
    for axes in panels.values():
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=":")
    return figure


def draw_precision_recall(record: dict[str, Any], *, title: str) -> Figure:
    """Draw the precision-recall curve of each diagnosis and of "malignant"."""
    figure, panels = _draw_curves(record, "precision_recall", "average_precision", title)
    positives = {
        **record["class_counts"],
        "malignant": record["questions"]["malignant"]["positives"],
    }
    for name, axes in panels.items():
        # The precision of a random ranking.
        axes.axhline(positives[name] / record["images"], color=FAINT, linewidth=1, linestyle=":")
    return figure


def draw_reliability(record: dict[str, Any], *, title: str) -> Figure:
    """Draw the calibration curve: accuracy against the top probability.

    The band holds 95 % of the accuracies that a perfectly calibrated model would show.
    """
    kinds = [kind for kind in ANSWERS if kind in record["calibration"]]
    figure = new_figure((4.2 * max(len(kinds), 1.4), 5.2))
    rows = figure.subplots(2, len(kinds), squeeze=False, height_ratios=(4, 1), sharex="col")
    for upper, lower, kind in zip(rows[0], rows[1], kinds, strict=True):
        _reliability(upper, lower, record["calibration"][kind])
        upper.set_title(textwrap.fill(ANSWERS[kind], 38), fontsize=10)
    handles, labels = rows[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=2, frameon=False, fontsize=9)
    rows[0][0].set_ylabel("accuracy")
    rows[1][0].set_ylabel("images")
    title_figure(figure, title, characters=CURVES_TITLE)
    return figure


def draw_risk(record: dict[str, Any], *, title: str) -> Figure:
    """Draw the risk-coverage curve with its interval."""
    found = record["risk_coverage"]
    figure = new_figure((7.2, 4.4))
    axes = figure.add_subplot()
    coverage, risk, low, high = (
        np.asarray(found[name], dtype=float) for name in ("coverage", "risk", "low", "high")
    )
    axes.fill_between(coverage, low, high, color=PALE, linewidth=0, label="95% interval")
    axes.plot(coverage, risk, color=INK, marker="o", markersize=4, label="error rate")
    axes.set(
        xlim=(0, 1.02),
        ylim=(0, None),
        xlabel="coverage (most confident images first)",
        ylabel="wrong among them",
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PERCENT)
    axes.legend(frameon=False, loc="upper left")
    _plain(axes)
    title_figure(figure, title, characters=75)
    return figure


def draw_subgroups(record: dict[str, Any], *, title: str) -> Figure:
    """Draw two scores of every subgroup; hollow squares: fewer than 30 images."""
    rows = list_groups(record)[::-1]
    shown = [name for name in SHOWN_GROUPS if name in rows[0][1]["metrics"]][:MOST_PANELS]
    figure = new_figure((10.5, GROUP_FRAME + GROUP_ROW * len(rows)))
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    whole = dict(record["metrics"])
    for kind in ("questions", "operating_points"):
        of_all = record.get(kind, {}).get("malignant", {"metrics": {}})["metrics"]
        whole |= {f"malignant_{name}": value for name, value in of_all.items()}
    for axes, name in zip(panels, shown, strict=True):
        axes.axvline(whole[name], color=FAINT, linestyle=":", linewidth=1)
        for place, (_, part) in enumerate(rows):
            _group(axes, place, part, name)
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel(f"{GROUP_METRICS[name]}, with 95% interval")
        _plain(axes)
    labels = [f"{label} ({part['images']:,})" for label, part in rows]
    panels[0].set_yticks(range(len(rows)), labels, fontsize=8.5)
    panels[0].set_ylim(-0.7, len(rows) - 0.3)
    figure.supxlabel(
        f"squares: fewer than {FEWEST} images behind the number; –: no such image; dotted: all "
        "images",
        fontsize=9,
    )
    title_figure(figure, title, characters=CURVES_TITLE)
    return figure


def _draw_curves(
    record: dict[str, Any], kind: str, metric: str, title: str
) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure with one panel for each diagnosis and one for "malignant"."""
    short, x, y = AXES[kind]
    figure = new_figure((11, 6.2))
    panels = figure.subplots(*PANELS, sharex=True, sharey=True)
    title_figure(figure, title, characters=CURVES_TITLE)
    found = dict(zip([*CODES, "malignant"], panels.flat, strict=True))
    for name, axes in found.items():
        if name == "malignant":
            label = "malignant (mel, bcc, akiec)"
            score = format_metric(record["questions"][name], metric)
        else:
            label, score = f"{NAMES[name]} ({name})", format_metric(record, f"{metric}_{name}")
        axes.set_title(textwrap.fill(label, 27) + f"\n{short} {score}", fontsize=9.5)
        points = record["curves"][name][kind]
        if points["x"]:
            axes.plot(points["x"], points["y"], color=INK, linewidth=1.8)
        else:
            axes.text(
                0.5, 0.5, "not defined:\nno such image", ha="center", va="center", color=FAINT
            )
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xlabel=x, ylabel=y)
        axes.label_outer()
        _plain(axes)
    return figure, found


def _reliability(upper: Axes, lower: Axes, found: dict[str, Any]) -> None:
    bins = {name: np.asarray(values, dtype=float) for name, values in found["reliability"].items()}
    confidence = bins["confidence"]
    upper.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=":")
    upper.vlines(
        confidence, bins["low"], bins["high"], color=PALE, linewidth=9,
        label="95% band if calibrated",
    )  # fmt: skip
    upper.plot(
        confidence, bins["accuracy"], color=SECOND, marker="o", linestyle="none", markersize=6,
        label="measured",
    )  # fmt: skip
    chance = found["chance"]["ece"]["mean"]
    upper.text(
        0.97, 0.04, f"ECE {found['metrics']['ece']:.3f}\nif calibrated {chance:.3f}",
        ha="right", va="bottom", transform=upper.transAxes, fontsize=9.5,
    )  # fmt: skip
    upper.set(xlim=(0, 1.02), ylim=(-0.02, 1.02))
    for axis in (upper.xaxis, upper.yaxis):
        axis.set_major_formatter(PERCENT)
    _plain(upper)
    lower.bar(confidence, bins["count"], width=0.045, color=INK)
    lower.set_xlabel("top probability")
    _plain(lower)


def _group(axes: Axes, place: int, part: dict[str, Any], name: str) -> None:
    value, (low, high) = part["metrics"][name], part["intervals"]["bounds"][name]
    if np.isnan(value):
        axes.text(0.0, place, "–", ha="center", va="center", color=FAINT)
        return
    few = behind(part, name) < FEWEST
    colour = SECOND if few else INK
    if not np.isnan(low):
        axes.plot([low, high], [place, place], color=colour, linewidth=1.2 if few else 2)
    marker, face = ("s", "white") if few else ("o", colour)
    axes.plot([value], [place], marker=marker, markersize=6, color=colour, markerfacecolor=face)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(color=GRID, linewidth=0.8)
    axes.tick_params(length=0, labelsize=8.5)


def draw_robustness(record: dict[str, Any], *, title: str) -> Figure:
    """Draw balanced accuracy under each distortion, with its interval, of a `robustness` record."""
    ordered = sorted(
        record["distortions"].values(), key=lambda scores: -scores["metrics"]["balanced_accuracy"]
    )
    rows = [("correct under all distortions", record["always_right"])]
    for scores in reversed(ordered):
        few = scores["images"] != record["images"]
        label = f"{scores['label']} ({scores['images']:,} images)" if few else scores["label"]
        rows.append((label, scores))
    rows.append(("unchanged", record["unchanged"]))
    figure = new_figure((WIDTH, FRAME + ROW * len(rows)))
    axes = figure.add_subplot()
    worst = record["distortions"].get(record["worst"])
    for place, (_, scores) in enumerate(rows):
        colour = WORST if scores is worst or place == 0 else DOT
        colour = UNCHANGED if place == len(rows) - 1 else colour
        value, bounds = (scores[key]["balanced_accuracy"] for key in ("metrics", "intervals"))
        mark_score(axes, place, value, bounds, colour)
        axes.annotate(
            f"{value:.3f}", (bounds[1], place), xytext=(6, 0), textcoords="offset points",
            va="center", fontsize=8.5, color=colour,
        )  # fmt: skip
    before = record["unchanged"]["metrics"]["balanced_accuracy"]
    axes.axvline(before, color=UNCHANGED, linestyle=":", linewidth=1)
    name_rows(axes, [label for label, _ in rows])
    axes.set_xlabel("balanced accuracy, with 95% interval over lesions")
    title_figure(figure, title, characters=ROBUSTNESS_TITLE)
    return figure
