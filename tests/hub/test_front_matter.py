import json

import pytest
import yaml
from huggingface_hub import ModelCard
from shipped import write_model

from hf_lesion.errors import InputError
from hf_lesion.hub.card import render_card
from hf_lesion.hub.checks import check_card
from hf_lesion.hub.front_matter import METRICS, build_front_matter
from hf_lesion.hub.results import read_shipped


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
