import json

import numpy as np
import pytest
from PIL import Image

from hf_lesion.evaluation import robustness
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.evaluation.report.figures import draw_robustness
from hf_lesion.evaluation.scoring import EvaluationSet

COUNT = 42


@pytest.fixture(scope="module")
def images():
    """Grey levels that tell the class, every third image square."""

    def load(index):
        level = 40 + 20 * (index % 7)
        return Image.new("RGB", (32 if index % 3 else 24, 24), (level, level, level))

    return EvaluationSet(
        name="test",
        image_ids=tuple(map(str, range(COUNT))),
        references=np.arange(COUNT) % 7,
        lesion_ids=tuple(str(index // 2) for index in range(COUNT)),
        source="data",
        fingerprint="",
        load=load,
    )


def by_brightness(images):
    """A model that reads the class off the mean grey level."""
    levels = [np.asarray(images.load(row)).mean() for row in range(len(images.image_ids))]
    answers = np.clip(np.round((np.asarray(levels) - 40) / 20), 0, 6).astype(int)
    return Predictions(
        images.image_ids, images.references, np.eye(7)[answers] * 0.93 + 0.01, images.lesion_ids
    )


@pytest.fixture(scope="module")
def found(images):
    names = ("quarter_turn", "darker", "centre_crop")
    return robustness.measure(by_brightness, images, names, model={"name": "m"})


def test_the_worst_case_is_named_and_what_always_holds_is_counted(found):
    assert found["unchanged"]["metrics"]["accuracy"] == 1
    turned = found["distortions"]["quarter_turn"]  # which does not matter to this model
    assert (turned["difference"], turned["agreement"]) == ([0, 0, 0], 1)
    assert found["distortions"]["centre_crop"]["images"] == COUNT * 2 // 3  # whole frames
    assert found["images"] == COUNT
    darker = found["distortions"]["darker"]
    assert found["worst"] == "darker"
    # Levels 40 to 160 become 28 to 112: answers 0 0 1 2 3 3 4 of 0 1 2 3 4 5 6.
    assert darker["metrics"]["accuracy"] == pytest.approx(1 / 7)
    assert darker["difference"][0] == pytest.approx(1 / 7 - 1)
    assert darker["difference"][1] <= darker["difference"][0] <= darker["difference"][2] < 0
    assert darker["agreement"] == pytest.approx(1 / 7)
    assert found["always_right"]["metrics"]["accuracy"] == pytest.approx(1 / 7)


def test_the_record_is_kept_drawn_and_rendered(found, tmp_path):
    path = robustness.write_record(tmp_path, found)
    kept = json.loads(path.read_text())
    table = robustness.render_table(kept).splitlines()
    assert table[2].startswith("| unchanged | 1.000 [1.000, 1.000] |")
    assert table[3].startswith("| **brightness × 0.7** | 0.143 [")
    assert "centre crop instead of the whole frame (28 images)" in "\n".join(table)
    assert {line.count("|") for line in table} == {6}
    figure = draw_robustness(kept, title="m")
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels[0] == "correct under all distortions"
    assert labels[1] == "brightness × 0.7"
    assert labels[-1] == "unchanged"
