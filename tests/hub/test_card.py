import json
import re

import pytest
import yaml
from huggingface_hub import ModelCard
from shipped import write_model

from hf_lesion.errors import InputError
from hf_lesion.evaluation.report.record import format_metric
from hf_lesion.hub.card import METRICS, build_front_matter, render_card
from hf_lesion.hub.checks import check_card
from hf_lesion.hub.results import read_shipped
from hf_lesion.labels import CODES, NAMES, NOTICE
from hf_lesion.models.preprocessing import Preprocessing, build_stock_processor

SPLITS = ("test", "validation")
HEADINGS = (
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
)


@pytest.fixture
def folder(tmp_path):
    return write_model(tmp_path, "a", right=0.5)


def card_of(folder):
    return render_card(read_shipped(folder.parent)[0])


def test_everything_a_card_needs_is_there(folder):
    card = card_of(folder)
    headings = [line[3:] for line in card.splitlines() if line.startswith("## ")]
    assert headings == list(HEADINGS)
    assert NOTICE in card
    for code in CODES:
        assert f"{NAMES[code][1:]} (`{code}`)" in card
    record = read_shipped(folder.parent)[0].report["test"]
    for name in ("balanced_accuracy", "macro_auroc", "sensitivity_mel", "auroc_df"):
        assert format_metric(record, name) in card
    for text in (
        "Skin tone is not recorded",
        "a temperature of 1.250",
        "7,026 in train",
        "test was not used for fitting or selection. Images: HAM10000, 140 of its 10,015 images",
        "vasc 20. Images: HAM10000, 140 of its 10,015 images, 256×256 px.",
        "name: HAM10000, 140 of its 10,015 images, 256×256 px, split by lesion",
        "0.3 hours in the last of 2 runs",
        "teacher teacher2",
        "The centre square of the image is scaled to 128×128 pixels;",
        "doi:10.7910/DVN/DBW86T",
    ):
        assert text in card
    assert "None" not in card
    assert "balance_copies" not in card
    assert not re.search(r"\bnan\b", card)


def test_scores_of_another_crop_mode_are_said_to_be_that(folder):
    assert "measured differently" not in card_of(folder)
    squashed = Preprocessing(128, (0.5,) * 3, (0.5,) * 3, "squash")
    build_stock_processor(squashed).save_pretrained(folder)
    assert (
        "The whole image is squashed to 128×128 pixels; that and all other preprocessing is saved "
        "with the weights. The results below were measured differently: the centre square of the "
        "image is scaled to 128×128 pixels.\n" in card_of(folder)
    )


def test_sections_of_other_records_appear_with_them(folder):
    gate = {
        "real": {
            "test": {"images": 10, "refused": 0.04, "unsure": 0.2, "right_unsure": 0.1},
            "test, retaken": {"images": 10, "refused": 0.1},
        },
        "strange": {"everyday photos": {"images": 60, "refused": 0.975}},
    }
    (folder / "gate.json").write_text(json.dumps(gate))
    card = card_of(folder)
    assert "## Abstention" in card
    assert "| not dermoscopic: everyday photos | 60 | 97.5% |" in card
    assert "| dermoscopic: test, retaken | 10 | 10.0% |" in card
    scores = {"metrics": {}, "intervals": {}, "images": 140}
    for name in ("accuracy", "balanced_accuracy", "sensitivity_mel"):
        scores["metrics"][name], scores["intervals"][name] = 0.4, [0.3, 0.5]
    changed = {**scores, "label": "blurred", "difference": [-0.1, -0.2, 0.0], "agreement": 0.75}
    robustness = {
        "images": 140,
        "unchanged": scores,
        "distortions": {"blur": changed},
        "worst": "blur",
        "always_right": scores,
        "data": {"source": "ham10000", "split": "test"},
    }
    (folder / "robustness.json").write_text(json.dumps(robustness))
    card = card_of(folder)
    assert "## Robustness" in card
    assert "**blurred**" in card
    card = render_card(read_shipped(folder.parent)[0], charts=["figures/robustness.png"])
    assert card.count("![Robustness](figures/robustness.png)") == 1


def test_charts_that_lie_beside_the_card_are_shown(folder):
    model = read_shipped(folder.parent)[0]
    assert "![" not in render_card(model)
    charts = [f"figures/{name}_{split}.png" for name in ("roc", "reliability") for split in SPLITS]
    card = render_card(model, charts=[*charts, "figures/gate.png"])
    assert re.findall(r"^!\[\S.+\]\((\S+)\)$", card, re.M) == [
        "figures/roc_test.png",
        "figures/reliability_test.png",
    ]
    of_test, of_validation = card.split("### On ")[1:3]
    assert "report.html" not in of_test
    assert "Its charts are in [report.md](report.md)." in of_validation


def test_our_own_network_says_what_it_needs(folder):
    assert "import hf_lesion" not in card_of(folder)
    (folder / "config.json").write_text(json.dumps({"auto_map": {}}))
    assert "import hf_lesion  # brings the network's code" in card_of(folder)


def test_without_points_and_calibration_the_card_says_so(folder):
    report = json.loads((folder / "report.json").read_text())
    for record in report.values():
        record["operating_points"] = {}
        record["calibration"] = {
            **{key: record["calibration"][key] for key in ("bins", "simulations", "answers")},
            "temperature": None,
        }
    (folder / "report.json").write_text(json.dumps(report))
    card = card_of(folder)
    assert "This model has no thresholds." in card
    assert "These weights are not calibrated." in card


def test_a_report_of_an_earlier_version_is_refused(folder):
    report = json.loads((folder / "report.json").read_text())
    del report["validation"]["curves"]
    (folder / "report.json").write_text(json.dumps(report))
    with pytest.raises(
        InputError, match=r"^The report of a has no curves for validation: .* Run scripts/score"
    ):
        card_of(folder)


def test_what_a_run_built_on_is_told(folder):
    assert "Before that" not in card_of(folder)
    file = folder / "training.json"
    record = json.loads(file.read_text())
    before = {**record, "seed": 7, "epochs": 3.0}
    before["model"] = {"model": "resnet18", "image_size": 64}
    before["recipe"] = {"imbalance": "oversample"}
    before["averaged"] = ["run/checkpoint-1", "run/checkpoint-2"]
    changed = {**record, "model": {"model": "runs/small"}, "architecture": "resnet18"}
    file.write_text(json.dumps({**changed, "started_from": before}))
    card = card_of(folder)
    stamp = record["dataset"]["fingerprint"][:12]
    assert (
        f"Before that: 3 epochs on `{stamp}`, seed 7, the mean of 2 checkpoints; model resnet18"
        in card
    )
    assert "imbalance oversample" in card
    assert re.search(r"\. resnet18, [\d.]+ million", card)


def test_one_teacher_or_several_are_told(folder):
    file = folder / "training.json"
    record = json.loads(file.read_text())
    teachers = [{**record, "seed": seed, "recipe": {"mixup": 0.2}} for seed in (7, 8)]
    for found, seeds in ((teachers[0], [7]), (teachers, [7, 8])):
        recipe = {"teacher": [f"runs/teacher{seed}" for seed in seeds]}
        file.write_text(json.dumps({**record, "recipe": recipe, "taught_by": found}))
        card = card_of(folder)
        assert re.findall(r"The teacher: [\d.]+ epochs on `\w+`, seed (\d)", card) == [
            str(seed) for seed in seeds
        ]
        assert f"teacher {' and '.join(f'teacher{seed}' for seed in seeds)}" in card


@pytest.mark.parametrize("place", ["own", "before", "none"])
def test_imagenet_is_named_only_where_training_began_with_it(folder, place):
    file = folder / "training.json"
    record = json.loads(file.read_text())
    start = {"model": "tf_efficientnet_lite0", "init_weights": "weights/lite0.safetensors"}
    plain = {"model": "tf_efficientnet_lite0"}
    record["architecture"] = "tf_efficientnet_lite0"
    record["model"] = start if place == "own" else plain
    if place == "before":
        record["started_from"] = {**record, "model": start}
    file.write_text(json.dumps(record))
    assert ("ImageNet weights of tf_efficientnet_lite0" in card_of(folder)) is (place != "none")


@pytest.fixture
def model(tmp_path):
    write_model(tmp_path, "a", right=0.5)
    return read_shipped(tmp_path)[0]


def front_of(model):
    return yaml.safe_load(render_card(model).split("---\n")[1])


def test_it_is_the_hubs_and_holds_what_was_measured_on_both_splits(model):
    front = front_of(model)
    assert front["license"] == "cc-by-nc-4.0"
    assert front["library_name"] == "transformers"
    assert front["pipeline_tag"] == "image-classification"
    results = front["model-index"][0]["results"]
    assert [result["dataset"]["split"] for result in results] == ["test", "validation"]
    report = json.loads((model.folder / "report.json").read_text())
    for result in results:
        record = report[result["dataset"]["split"]]
        assert [metric["type"] for metric in result["metrics"]] == list(METRICS)
        for metric in result["metrics"]:
            name = metric["type"]
            assert metric["value"] == round(record["metrics"][name], 4)
            bounds = record["intervals"]["bounds"][name]
            assert metric["args"] == {
                "interval": [round(bound, 4) for bound in bounds],
                "level": 0.95,
                "method": "percentile bootstrap over lesions",
            }
    check_card(front, report)  # what publishing asks of a card


def test_the_hubs_own_reader_finds_every_score_with_its_split_and_interval(model):
    found = ModelCard(render_card(model)).data.eval_results
    assert {(result.dataset_split, result.metric_type) for result in found} == {
        (split, name) for split in ("test", "validation") for name in METRICS
    }
    for result in found:
        low, high = result.metric_args["interval"]
        assert low <= result.metric_value <= high
        assert result.metric_name
    assert found == build_front_matter(model).eval_results


def test_what_is_not_known_is_left_out(model):
    record = model.report["test"]
    record["metrics"]["macro_auroc"] = float("nan")
    record["intervals"]["bounds"]["accuracy"] = [float("nan")] * 2
    metrics = front_of(model)["model-index"][0]["results"][0]["metrics"]
    assert [metric["type"] for metric in metrics] == [n for n in METRICS if n != "macro_auroc"]
    assert [metric["type"] for metric in metrics if "args" not in metric] == ["accuracy"]


@pytest.mark.parametrize("wrong", ["value", "interval", "split"])
def test_a_changed_number_is_found_out(model, wrong):
    report = json.loads((model.folder / "report.json").read_text())
    front = front_of(model)
    result = front["model-index"][0]["results"][1]
    if wrong == "value":
        result["metrics"][0]["value"] += 0.01
    elif wrong == "interval":
        result["metrics"][0]["args"]["interval"][0] -= 0.01
    else:
        del report["validation"]
    with pytest.raises(InputError, match=r"balanced_accuracy on validation is .*, measured"):
        check_card(front, report)
