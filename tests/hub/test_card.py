import json
import re
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from PIL import Image
from shipped import GATE, LOSS, write_model

from hf_lesion.errors import InputError
from hf_lesion.evaluation.report.record import format_metric
from hf_lesion.hub.card import METRICS, build_front_matter, render_card, write_charts
from hf_lesion.hub.checks import check_card, read_front_matter
from hf_lesion.hub.results import read_shipped
from hf_lesion.labels import CODES, NAMES, NOTICE
from hf_lesion.models.preprocessing import Preprocessing, build_stock_processor

SHIPPED = Path(__file__).resolve().parents[2] / "space" / "models"
SPLITS = ("test", "validation")
HEADINGS = [
    "Intended use",
    "How to use",
    "Data",
    "Procedure",
    "Results",
    "Calibration",
    "Operating points",
    "Subgroups",
    "Limitations",
    "Citation",
    "Licence",
]


@pytest.fixture
def folder(tmp_path):
    return write_model(tmp_path, "a", right=0.5)


def card_of(folder, **options):
    return render_card(read_shipped(folder.parent)[0], **options)


def change(folder, name, **entries):
    """Change entries of a record, or of both splits of a report."""
    record = json.loads((folder / name).read_text())
    for part in record.values() if name == "report.json" else [record]:
        part.update(entries)
    (folder / name).write_text(json.dumps(record))


def test_a_card_is_complete(folder):
    card = card_of(folder)
    assert [line[3:] for line in card.splitlines() if line.startswith("## ")] == HEADINGS
    record = read_shipped(folder.parent)[0].report["test"]
    for text in (
        NOTICE,
        *(f"{NAMES[code][1:]} (`{code}`)" for code in CODES),
        *(format_metric(record, name) for name in ("balanced_accuracy", "macro_auroc", "auroc_df")),
        "Skin tone is not recorded",
        "a temperature of 1.250",
        "7,026 in train",
        "test was not used for fitting or selection. Images: HAM10000, 140 of its 10,015 images",
        "vasc 20. Images: HAM10000, 140 of its 10,015 images, 256×256 px.",
        "name: HAM10000, 140 of its 10,015 images, 256×256 px, split by lesion",
        "0.3 hours in the last of 2 runs",
        "The centre square of the image is scaled to 128×128 pixels;",
    ):
        assert text in card
    for text in (
        "None",
        "balance_copies",
        "import hf_lesion",
        "measured differently",
        "![",
        "nan]",
    ):
        assert text not in card


def test_sections_of_other_records_and_charts_appear_with_them(folder):
    efficientnet = SHIPPED / "efficientnet"
    (folder / "gate.json").write_text(json.dumps(GATE))
    (folder / "quantisation.json").write_text(json.dumps(LOSS))
    for name in ("robustness.json", "explanations.json"):
        text = (efficientnet / name).read_text()
        own = json.loads((efficientnet / "report.json").read_text())["test"]["model"]
        other = json.loads((folder / "report.json").read_text())["test"]["model"]
        (folder / name).write_text(text.replace(own["weights_sha256"], other["weights_sha256"]))
    charts = [f"figures/{name}_{split}.png" for name in ("roc", "reliability") for split in SPLITS]
    charts += [f"figures/{name}.png" for name in ("robustness", "gate", "explanations_test")]
    card = card_of(folder, charts=charts)
    headings = [line[3:] for line in card.splitlines() if line.startswith("## ")]
    more = ["Robustness", "Abstention", "Where it looks", "In eight bits"]
    assert headings == [*HEADINGS[:8], *more, *HEADINGS[8:]]
    for text in (
        "| not dermoscopic: everyday photos | 60 | 97.5% |",
        "| dermoscopic: test, retaken | 10 | 10.0% |",
        "| **20 drawn hairs** |",
        "in 0.8 MB instead of 3.1. On 1,495 images (test) it predicts the same class for 98.4%.",
        "balanced accuracy -0.012 [-0.020, +0.001]; accuracy +0.001 [-0.003, +0.004].",
    ):
        assert text in card
    assert re.findall(r"^!\[\S.+\]\((\S+)\)$", card, re.M) == [
        "figures/roc_test.png",
        "figures/reliability_test.png",
        "figures/robustness.png",
        "figures/gate.png",
        "figures/explanations_test.png",
    ]
    of_test, of_validation = card.split("### On ")[1:3]
    assert "report.html" not in of_test
    assert "Its charts are in [report.md](report.md)." in of_validation


def test_other_networks_and_preprocessing_are_described(folder):
    squashed = Preprocessing(128, (0.5,) * 3, (0.5,) * 3, "squash")
    build_stock_processor(squashed).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"auto_map": {}}))
    card = card_of(folder)
    assert (
        "The whole image is squashed to 128×128 pixels; that and all other preprocessing is saved "
        "with the weights. The results below were measured differently: the centre square of the "
        "image is scaled to 128×128 pixels.\n" in card
    )
    assert "import hf_lesion  # brings the network's code" in card


def test_missing_thresholds_and_calibration_are_stated_and_old_reports_refused(folder):
    old = json.loads((folder / "report.json").read_text())["test"]["calibration"]
    kept = {key: old[key] for key in ("bins", "simulations", "answers")}
    change(folder, "report.json", operating_points={}, calibration={**kept, "temperature": None})
    card = card_of(folder)
    assert "This model has no thresholds." in card
    assert "These weights are not calibrated." in card
    report = json.loads((folder / "report.json").read_text())
    del report["validation"]["curves"]
    (folder / "report.json").write_text(json.dumps(report))
    with pytest.raises(InputError, match=r"^The report of a has no curves for validation: .* Run"):
        card_of(folder)


def test_earlier_runs_and_teachers_are_named(folder):
    record = json.loads((folder / "training.json").read_text())
    start = {"model": "tf_efficientnet_lite0", "init_weights": "weights/lite0.safetensors"}
    before = {**record, "seed": 7, "epochs": 3.0, "model": start}
    before["averaged"] = ["run/checkpoint-1", "run/checkpoint-2"]
    teachers = [{**record, "seed": seed, "recipe": {"mixup": 0.2}} for seed in (8, 9)]
    stamp = record["dataset"]["fingerprint"][:12]
    own = {"model": {"model": "runs/small"}, "architecture": "tf_efficientnet_lite0"}
    change(folder, "training.json", taught_by=teachers[0], **own)
    card = card_of(folder)
    assert re.search(r"\. tf_efficientnet_lite0, [\d.]+ million", card)
    assert "Before that" not in card
    assert "ImageNet" not in card
    assert card.count("The teacher: ") == 1
    recipe = {"teacher": ["runs/one", "runs/two"]}
    change(folder, "training.json", started_from=before, taught_by=teachers, recipe=recipe)
    card = card_of(folder)
    assert "teacher one and two. " in card
    assert (
        f"Before that: 3 epochs on `{stamp}`, seed 7, the mean of 2 checkpoints; model "
        "tf_efficientnet_lite0, init_weights lite0.safetensors, augmentation strong" in card
    )
    assert re.findall(r"The teacher: 3 epochs on `\w+`, seed (\d)", card) == ["8", "9"]
    assert "ImageNet weights of tf_efficientnet_lite0" in card


def test_the_front_matter_has_every_score_as_the_hub_reads_it(folder):
    model = read_shipped(folder.parent)[0]
    card = render_card(model)
    (folder / "README.md").write_text(card)
    front = read_front_matter(folder)
    assert front["license"] == "cc-by-nc-4.0"
    assert (front["library_name"], front["pipeline_tag"]) == (
        "transformers",
        "image-classification",
    )
    check_card(front, model.report)
    found = ModelCard(card).data.eval_results
    assert found == build_front_matter(model).eval_results
    assert [(one.dataset_split, one.metric_type) for one in found] == [
        (split, name) for split in SPLITS for name in METRICS
    ]
    for one in found:
        record = model.report[one.dataset_split]
        bounds = record["intervals"]["bounds"][one.metric_type]
        assert one.metric_value == round(record["metrics"][one.metric_type], 4)
        assert one.metric_args == {
            "interval": [round(bound, 4) for bound in bounds],
            "level": 0.95,
            "method": "percentile bootstrap over lesions",
        }


def test_undefined_scores_are_left_out(folder):
    model = read_shipped(folder.parent)[0]
    record = model.report["test"]
    record["metrics"]["macro_auroc"] = float("nan")
    record["intervals"]["bounds"]["accuracy"] = [float("nan")] * 2
    found = [one for one in build_front_matter(model).eval_results if one.dataset_split == "test"]
    assert [one.metric_type for one in found] == [n for n in METRICS if n != "macro_auroc"]
    assert [one.metric_type for one in found if one.metric_args is None] == ["accuracy"]


def test_each_record_has_a_chart_signed_by_matplotlib(tmp_path):
    assert write_charts(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "gate.json").write_text(json.dumps(GATE))
    shutil.copyfile(SHIPPED / "efficientnet" / "explanations.json", tmp_path / "explanations.json")
    names = write_charts(tmp_path)
    assert {"figures/gate.png", "figures/explanations_test.png"} <= set(names)
    for name in names:
        with Image.open(tmp_path / name) as image:
            assert image.info["Software"].startswith("Matplotlib")
            assert min(image.size) > 300
