"""Charts of a published model: reports and figures, drawn again from its records.

This guarantees that they match the records, and that none of them is a photograph.
"""

from pathlib import Path
from typing import Any

from hf_lesion.evaluation.explanations.figures import draw_scores
from hf_lesion.evaluation.report.figures import draw_robustness
from hf_lesion.evaluation.report.pages import FIGURES, write_pages
from hf_lesion.evaluation.report.record import REPORT, read_report
from hf_lesion.evaluation.robustness import RECORD as ROBUSTNESS
from hf_lesion.io.figures import write_figure
from hf_lesion.io.files import read_json_if_there
from hf_lesion.ood.figures import plot_gate
from hf_lesion.ood.gate import read_gate_record

EXPLANATIONS = "explanations.json"
ROBUSTNESS_CHART, GATE_CHART = f"{FIGURES}/robustness.png", f"{FIGURES}/gate.png"


def write_charts(folder: Path) -> list[str]:
    """Write report.md, report.html and a chart of each record that a model's folder holds.

    Returns:
        The names of the charts within the folder, in order.
    """
    if (folder / REPORT).is_file():
        write_pages(folder, read_report(folder))
    if (gate := read_gate_record(folder)) is not None:
        write_figure(plot_gate(gate), folder / GATE_CHART)
    if found := read_optional(folder / ROBUSTNESS):
        title = f"{found['model']['name']} on {found['images']:,} images ({found['data']['split']})"
        write_figure(draw_robustness(found, title=title), folder / ROBUSTNESS_CHART)
    for split, record in read_optional(folder / EXPLANATIONS).items():
        if "localisation" in record:
            title = f"Where {record['model']['name']} looks: {record['data']['source']}, {split}"
            write_figure(draw_scores(record, title=title), folder / explanation_chart(split))
    return sorted(file.relative_to(folder).as_posix() for file in folder.glob(f"{FIGURES}/*.png"))


def explanation_chart(split: str) -> str:
    """Return the name of the chart of one split's heatmap scores."""
    return f"{FIGURES}/explanations_{split}.png"


def read_optional(file: Path) -> dict[str, Any]:
    """Return what a record says; empty where it is absent."""
    return read_json_if_there(file, fix="Make it again.")
