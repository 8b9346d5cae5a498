import ast
from pathlib import Path

from hf_lesion.explain import section
from hf_lesion.explain.controls import CONTROL_NAMES
from hf_lesion.explain.methods import METHOD_NAMES

MEASURES = ("energy", "pointing", "ratio", "iou_0.5")


def located(value):
    own = {"images": 20, **{key: [value, value - 0.1, value + 0.1] for key in MEASURES}}
    return {"all": own, "right": own, "wrong": own, "flat": 3}


def record(differences):
    return {
        "localisation": {
            "images": 1495,
            "maps": {"gradcam": located(0.5), "gaussian": located(0.6)},
            "against_gaussian": {"gradcam": differences},
        }
    }


NONE = {key: [-0.1, -0.2, 0.0] for key in MEASURES}


def test_a_method_that_does_not_beat_the_gaussian_is_said_not_to():
    text = section.render_section(record(NONE))
    assert "**Grad-CAM does not beat the Gaussian in anything measured here.**" in text
    assert "| Grad-CAM | 20 | 0.500 [0.400, 0.600] |" in text
    assert "| *Gaussian in the middle* | 20 | 0.600 [0.500, 0.700] |" in text
    assert "masks of 1,495 images" in text
    assert section.render_section({}).count("\n\n") == 0


def test_what_is_beaten_and_what_is_not_are_both_named():
    text = section.render_section(record(NONE | {"energy": [0.1, 0.01, 0.2]}))
    assert (
        "Grad-CAM beats the Gaussian in energy inside, **not in pointing game, inside/outside and "
        "IoU**." in text
    )
    unknown = section.render_section(record(NONE | {"energy": [0.1, None, None]}))
    assert "does not beat" in unknown


def test_the_gain_of_the_finer_map_is_told():
    gains = {"energy": [0.01, -0.01, 0.03], "pointing": [None, None, None]}
    text = section.render_gain(
        {"fine_against": gains}, {"energy": "energy inside", "pointing": "pointing game"}
    )
    assert text.endswith(": energy inside +0.010 [-0.010, +0.030] and pointing game unknown.")
    assert section.render_gain({}, section.FAITHFUL) == ""


def test_less_is_better_in_deletion():
    found = {
        "against_gaussian": {"gradcam": {key: [-0.1, -0.2, -0.05] for key in section.FAITHFUL}}
    }
    (sentence,) = section.verdicts(found, section.FAITHFUL)
    assert sentence == "Grad-CAM beats the Gaussian in deletion, **not in insertion and ROAD**."


def test_an_undefined_value_is_a_dash():
    found = record(NONE)
    found["localisation"]["maps"]["gradcam"]["wrong"] = {"energy": [None, None, None]}
    assert "| – | 3 |" in section.render_section(found)


def test_it_imports_nothing_heavy_and_knows_every_name():
    tree = ast.parse(Path(section.__file__).read_text(encoding="utf-8"))
    names = {
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert names == {"collections.abc", "typing"}
    assert section.NAMES.items() >= METHOD_NAMES.items()
    assert set(section.NAMES) >= set(CONTROL_NAMES)
