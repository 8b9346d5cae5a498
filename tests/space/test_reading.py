"""The tabs to read: every number is that of the records, and a missing record is said."""

import hashlib
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
    assert summary["price"]
    for measured in summary["price"]:
        assert f"{measured['balanced_accuracy']:.3f} [" in shown
    assert shown.count("<figure") == 8
    assert "<img" not in shown


def test_the_price_of_the_leak_is_shown_once_it_is_measured(summary):
    from data_tab import data

    price = [{"name": "with the leak", "balanced_accuracy": 0.75, "interval": [0.7, 0.8]}]
    assert "0.750 [0.700, 0.800]" in data({**summary, "price": price})


def test_an_effect_of_the_leak_is_claimed_only_where_the_intervals_show_it(summary):
    from data_tab import data

    shown = data(summary)
    assert "+0.036 [+0.012, +0.061], an effect of the leak" in shown
    assert "The intervals of the second pair overlap: no effect of the copies is shown." in shown
    rows = [dict(row) for row in summary["price"]]
    rows[1]["difference"] = {"mean": 0.03, "interval": [-0.01, 0.07]}
    rows[3]["interval"] = [0.7, 0.8]
    changed = data({**summary, "price": rows})
    assert "+0.030 [-0.010, +0.070], no effect of the leak" in changed
    assert "of the second pair overlap" not in changed


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
    for point in part["operating_points"].values():
        assert f"<td>{point['threshold']:.3f}</td>" in shown
        for name in ("sensitivity", "specificity", "ppv"):
            low, high = point["intervals"]["bounds"][name]
            assert f"<td>{point['metrics'][name]:.3f} [{low:.3f}, {high:.3f}]</td>" in shown
        assert f"<td>{point['metrics']['misses_per_1000']:.1f}</td>" in shown
    for groups in part["subgroups"].values():
        for group in groups.values():
            assert f"<td>{group['images']:,}</td>" in shown
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
    assert "Calibration error of the model&#x27;s scores: 0.034, 0.020 would be" in shown
    assert shown.count("<circle") == 1
    assert "Gaussian in the middle" in shown
    assert "0.400 [0.300, 0.500]" in shown


GATE = {
    "real": {
        "test": {
            "images": 1495,
            "refused": 0.041,
            "unsure": 0.25,
            "right_unsure": 0.14,
            "accuracy_unsure": 0.36,
            "accuracy_accepted": 0.72,
        }
    },
    "strange": {
        "half of the photos": {"images": 60, "refused": 0.983},
        "half of the photos, retaken": {"images": 60, "refused": 0.967},
    },
}


def changed(label, value, images=100):
    scores = {"balanced_accuracy": value, "sensitivity_mel": 0.5}
    bounds = {"balanced_accuracy": [value - 0.1, value + 0.1], "sensitivity_mel": [0.4, 0.6]}
    more = {"label": label, "images": images, "difference": [-0.1, -0.2, -0.05], "agreement": 0.75}
    return {"metrics": scores, "intervals": bounds, **more}


ROBUSTNESS = {
    "images": 100,
    "unchanged": changed("", 0.7),
    "always_right": changed("", 0.3),
    "worst": "hair",
    "distortions": {
        "jpeg": changed("JPEG quality 30", 0.6),
        "hair": changed("20 drawn hairs", 0.45),
        "crop": changed("centre crop", 0.65, images=40),
    },
}


def model_with(gate, robustness):
    from catalogue import Entry

    part = {"metrics": {"balanced_accuracy": 0.5}}
    return Entry("m", Path(), {"test": part}, gate=gate, robustness=robustness)


def test_the_gate_and_its_false_alarms_are_shown():
    from models_tab import models

    shown = models([model_with(GATE, {})])
    assert "4.1% of 1,495 dermoscopic test images are rejected" in shown
    drawn, table = shown.split("All kinds in figures")
    assert "everyday photos" in drawn
    assert ", retaken" not in drawn
    assert "half of the photos, retaken" in table
    for share in ("4.1%", "98.3%"):
        assert share in drawn
        assert share in table


def test_the_worst_change_is_shown_first():
    from models_tab import models

    shown = models([model_with({}, ROBUSTNESS)])
    order = re.findall(r'<span class="name">([^<]+)</span>', shown.split("What shakes it")[1])
    assert order == ["unchanged", "20 drawn hairs", "JPEG quality 30", "centre crop (40 images)"]
    assert "20 drawn hairs leaves 0.450 of 0.700" in shown
    assert "under every change: 0.300 [0.200, 0.400]" in shown
    assert "<td>-0.100 [-0.200, -0.050]</td>" in shown


def test_what_is_damaged_is_not_shown():
    from models_tab import models

    broken = {"distortions": {"x": 1}, "real": {"test": []}}
    assert models([model_with(broken, broken)]).count("<figure") == 2


def test_few_images_are_marked():
    from measured import subgroups

    few = {"images": 9, "metrics": {"accuracy": 0.5}, "warning": "fewer than 30 images"}
    many = {**few, "images": 90, "warning": None}
    shown = subgroups({"subgroups": {"sex": {"female": many, "unknown": few}}})
    assert "sex: unknown † (9 images)" in shown
    assert "sex: female (90 images)" in shown
    assert "Skin tone is not recorded" in shown


def test_the_ensemble_stands_first_where_it_was_measured(tmp_path):
    from catalogue import read_entry
    from models_tab import models

    sha = hashlib.sha256(b"weights").hexdigest()
    report = {"test": {"metrics": {"balanced_accuracy": 0.5}, "model": {"weights_sha256": sha}}}
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")
        (tmp_path / name / "report.json").write_text(json.dumps(report))
    entries = [read_entry(name, tmp_path / name) for name in ("x", "y")]
    assert "ensemble" not in models(entries)
    mean = {"members": {"x": sha, "y": sha}, "metrics": {"balanced_accuracy": 0.61}}
    (tmp_path / "ensemble.json").write_text(json.dumps({"test": mean}))
    names = re.findall(r'<span class="name">([^<]+)</span><span class="value">', models(entries))
    assert names[:3] == ["ensemble, the mean of all (test)", "x (test)", "y (test)"]
    assert "0.610" in models(entries)


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
