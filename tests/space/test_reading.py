"""The tabs to read: every number is that of the records, and a missing record is said."""

import json
import re
from pathlib import Path

import pytest

SPACE = Path(__file__).resolve().parents[2] / "space"
SHIPPED = sorted(file.parent for file in (SPACE / "models").glob("*/config.json"))


@pytest.fixture(scope="module")
def summary():
    from data_tab import read_summary

    return read_summary()


def test_the_data_tab_shows_the_counts_and_the_leak(summary):
    from data_tab import data

    shown = data(summary)
    assert "6,705 (66.9%)" in shown
    for audit in summary["leakage"]:
        assert f"{100 * audit['share']:.1f}%" in shown
    assert shown.count("<figure") == 7
    assert "<img" not in shown


def test_the_price_of_the_leak_is_shown_once_it_is_measured(summary):
    from data_tab import data

    price = [{"name": "with the leak", "balanced_accuracy": 0.75, "interval": [0.7, 0.8]}]
    assert "0.750 [0.700, 0.800]" in data({**summary, "price": price})


def test_without_a_summary_the_data_tab_says_so(tmp_path):
    from data_tab import data, read_summary

    assert "is not in this folder" in data(read_summary(tmp_path / "none.json"))


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_the_models_tab_shows_what_the_report_says(folder):
    from catalogue import read_entry
    from models_tab import models

    shown = models([read_entry("x", folder)])
    part = json.loads((folder / "report.json").read_text())["test"]
    for name in ("balanced_accuracy", "sensitivity_mel", "sensitivity_df"):
        low, high = part["intervals"]["bounds"][name]
        assert f"{part['metrics'][name]:.3f} [{low:.3f}, {high:.3f}]" in shown
    cells = [int(text.replace(",", "")) for text in re.findall(r"<td style[^>]+>([\d,]+)<", shown)]
    assert cells == [count for row in part["confusion_matrix"] for count in row]
    assert part["model"]["weights_sha256"][:12] in shown


def test_calibration_and_explanations_are_shown_where_they_were_measured():
    from catalogue import Entry
    from models_tab import models

    answers = {
        "reliability": {"confidence": [0.3, 0.9], "accuracy": [0.4, None], "count": [5, 5]},
        "metrics": {"ece": 0.034},
        "chance": {"ece": {"upper": 0.02}},
    }
    part = {"metrics": {"balanced_accuracy": 0.5}, "calibration": {"answers": answers}}
    energy = {"all": {"energy": [0.4, 0.3, 0.5]}}
    maps = {"gradcam": energy, "gaussian": energy, "flat": {"all": {"energy": [None] * 3}}}
    explanations = {"test": {"localisation": {"maps": maps}}}
    shown = models([Entry("m", Path(), {"test": part}, {}, explanations)])
    assert "Calibration error 0.034, 0.020 would be chance at most" in shown
    assert shown.count("<circle") == 1
    assert "a spot in the middle (control)" in shown
    assert "0.400 [0.300, 0.500]" in shown


def test_a_model_without_a_report_is_said_to_have_none():
    from catalogue import Entry
    from models_tab import models

    shown = models([Entry("<b>", Path())])
    assert "Nothing was measured" in shown
    assert "&lt;b&gt;" in shown
    assert "not measured" in shown


def test_about_says_what_it_is_not_and_what_becomes_of_images():
    from about import PARTS, render

    from hf_lesion.labels import NOTICE

    shown = render()
    assert NOTICE in shown
    assert all(f"<h2>{title}</h2>" in shown for title in PARTS)
    assert "/explain" in shown
