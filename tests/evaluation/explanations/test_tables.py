import hashlib

import pytest

from hf_lesion.errors import InputError
from hf_lesion.evaluation.explanations import tables
from hf_lesion.evaluation.explanations.record import write_explanations
from hf_lesion.evaluation.explanations.tables import (
    MISSING,
    compare_localisation,
    compare_shortcuts,
    read_current,
    render_block,
    say_gains,
)
from hf_lesion.explain.mask_overlap import MEASURES, THRESHOLDS
from hf_lesion.explain.gradcam import METHODS
from hf_lesion.explain.names import CONTROL_NAMES, FINE_VIEWS, METHOD_NAMES, name_of
from hf_lesion.explain.views import VIEWS
from hf_lesion.labels import CODES


def located(value, images=20):
    scores = {key: [value, value - 0.1, value + 0.1] for key in MEASURES}
    own = {"images": images, **scores}
    classes = {code: {"right": own, "wrong": own} for code in CODES}
    return {"all": own, "right": own, "wrong": own, "flat": 3, "classes": classes}


def record(differences, first="gradcam"):
    maps = {first: located(0.5), "fine": located(0.55), "gaussian": located(0.6)}
    del maps["fine"]["classes"]
    return {
        "localisation": {
            "images": 1495,
            "thresholds": list(THRESHOLDS),
            "maps": maps,
            "against_gaussian": {first: differences},
        }
    }


WEIGHTS = b"weights"
OWN = {"same_answer": [0.9, 0.8, 1.0], "balanced_accuracy": [0.4, 0.3, 0.5]}
NONE = {key: [-0.1, -0.2, 0.0] for key in MEASURES}


def test_a_method_that_does_not_beat_the_gaussian_is_said_not_to():
    text = tables.render_section(record(NONE))
    assert (
        "**Grad-CAM does not beat the Gaussian** in any of energy inside, pointing game, "
        "inside/outside and IoU at 0.5." in text
    )
    assert "| Grad-CAM | 20 | 0.500 [0.400, 0.600] |" in text
    assert "| *centred Gaussian* | 20 | 0.600 [0.500, 0.700] |" in text
    assert "masks of 1,495 images" in text
    assert tables.render_section({}) == tables.INTRODUCTION


def test_lesions_that_reach_out_of_what_is_seen_are_counted():
    found = record(NONE)
    assert "outside the crop" not in tables.render_section(found)
    outside = {"share": 0.1, "images": 12, "classes": {**dict.fromkeys(CODES, 0), "mel": 12}}
    found["localisation"]["outside"] = outside
    assert (
        "In 12 of these images more than 10% of the lesion is outside the crop that the model sees "
        "(mel 12)." in tables.render_section(found)
    )


def test_what_is_beaten_and_what_is_not_are_both_named():
    text = tables.render_section(record(NONE | {"energy": [0.1, 0.01, 0.2]}))
    assert (
        "Grad-CAM beats the Gaussian in energy inside, **not in pointing game, inside/outside and "
        "IoU at 0.5**." in text
    )
    unknown = tables.render_section(record(NONE | {"energy": [0.1, None, None]}))
    assert "does not beat" in unknown


def test_methods_with_one_verdict_share_a_sentence():
    some = NONE | {"energy": [0.1, 0.01, 0.2]}
    against = {"gradcam": NONE, "eigencam": some, "layercam": NONE, "fine": NONE}
    found = {"maps": dict.fromkeys(against), "against_gaussian": against}
    first, second = tables.say_verdicts(found, tables.JUDGED).split("IoU at 0.5.", 1)
    assert first.startswith(
        "**Grad-CAM, LayerCAM and Grad-CAM (mean of 9 views) do not beat the Gaussian** in any of"
    )
    assert second.startswith(" EigenCAM beats the Gaussian in energy inside, **not in pointing")


def test_overlap_is_told_at_every_threshold_and_bold_where_it_beats_the_gaussian():
    found = record(NONE | {"dice_0.25": [0.1, 0.01, 0.2]})["localisation"]
    lines = tables.render("overlap", found).splitlines()
    assert lines[0] == (
        "| heatmap | IoU at 0.25 | IoU at 0.5 | IoU at 0.75 | Dice at 0.25 | Dice at 0.5 | "
        "Dice at 0.75 |"
    )
    cells = [cell.strip() for cell in lines[2].split("|")[1:-1]]
    assert [cell.startswith("**") for cell in cells[1:]] == [False] * 3 + [True] + [False] * 2
    assert "**" not in lines[4]  # the Gaussian itself


def test_each_diagnosis_stands_beside_its_controls_right_and_wrong_apart():
    found = record(NONE)["localisation"]
    found["maps"]["random"] = located(0.25)
    nothing = {"images": 0, **{key: [None, None, None] for key in MEASURES}}
    for own in found["maps"].values():
        if "classes" in own:
            own["classes"]["df"]["right"] = nothing
    found["maps"]["gradcam"]["classes"]["mel"]["wrong"] = located(0.7, images=9)["all"]
    lines = tables.render("classes", found).splitlines()
    assert len([line for line in lines if line.startswith("| `")]) == 2 * len(CODES)
    assert (
        "| `mel` | wrong | 9 | 0.700 [0.600, 0.800] | 0.60 / 0.25 | 0.700 [0.600, 0.800] | "
        "0.60 / 0.25 |" in lines
    )
    assert "| `df` | right | 0 | – | – / – | – | – / – |" in lines
    assert "Baselines: centred Gaussian / random map." in lines[-1]
    assert lines[-1].startswith("Grad-CAM by diagnosis.")
    del found["maps"]["gradcam"]["classes"]
    assert tables.render("classes", {"maps": {"fine": found["maps"]["fine"]}}) == ""


@pytest.mark.parametrize(
    ("changes", "gains", "said"),
    [
        ({}, False, "**No measure shows a gain: it is not kept for this model**"),
        ({"energy": [0.1, 0.05, 0.2]}, True, "It gains in energy inside and loses in nothing"),
        (
            {"energy": [0.1, 0.05, 0.2], "ratio": [-0.1, -0.2, -0.05]},
            False,
            "**It gains in energy inside and loses in inside/outside: it is not kept",
        ),
        (
            {"pointing": [-0.1, -0.2, -0.05]},
            False,
            "**It gains in nothing measured and loses in pointing game: it is not kept",
        ),
    ],
)
def test_the_finer_map_is_kept_only_if_it_gains(changes, gains, said):
    found = record(NONE)
    found["localisation"]["fine_against"] = {key: [0.01, -0.01, 0.03] for key in MEASURES} | changes
    assert tables.judge_gain(found)[0] is gains
    text = tables.say_gain(found)
    assert "What the mean of 9 views adds to Grad-CAM, on the same images: energy inside +" in text
    assert said in text
    assert text in tables.render_section(found)


def test_a_loss_of_faithfulness_counts_and_of_deletion_more_is_worse():
    found = record(NONE)
    found["localisation"]["fine_against"] = {key: [0.1, 0.05, 0.2] for key in MEASURES}
    assert tables.judge_gain(found)[0]
    faithful = {key: [0.1, 0.05, 0.2] for key in tables.FAITHFUL}
    found["faithfulness"] = {"fine_against": faithful}
    is_gain, said = tables.judge_gain(found)
    assert not is_gain
    assert "loses in deletion:" in said
    assert tables.say_gain({}) == ""


def test_the_finer_map_is_named_after_the_method_that_it_averages():
    found = record(NONE, first="layercam")
    found["localisation"]["fine_against"] = {key: [None, None, None] for key in MEASURES}
    text = tables.render_section(found)
    assert "| LayerCAM (mean of 9 views) | 20 |" in text
    assert "What the mean of 9 views adds to LayerCAM" in text
    assert "Grad-CAM" not in text
    assert name_of("fine", ["hirescam", "fine"]) == "HiResCAM (mean of 9 views)"


def test_less_is_better_in_deletion():
    found = {
        "maps": {"gradcam": {}},
        "against_gaussian": {"gradcam": {key: [-0.1, -0.2, -0.05] for key in tables.FAITHFUL}},
    }
    sentence = tables.say_verdicts(found, tables.FAITHFUL)
    assert sentence == "Grad-CAM beats the Gaussian in deletion, **not in insertion and ROAD**."


def test_how_often_the_answer_survives():
    own = {"same_answer": [0.9, 0.5, 1.0], "balanced_accuracy": [0.4, 0.3, 0.5]}
    found = {"images": 60, "balanced_accuracy": [0.55, 0.5, 0.6], "changes": {"ruler": own}}
    text = tables.render_section({"shortcuts": found})
    assert "| ruler | 0.900 [0.500, 1.000] | 0.400 [0.300, 0.500] |" in text
    assert "accuracy on the unchanged images: 0.550 [0.500, 0.600]. A prediction" in text


def test_an_undefined_value_is_a_dash():
    found = record(NONE)
    found["localisation"]["maps"]["gradcam"]["wrong"] = {"energy": [None, None, None]}
    assert "| – | 3 |" in tables.render_section(found)


def test_names_are_those_of_what_there_is():
    assert list(METHOD_NAMES) == list(METHODS)
    assert len(VIEWS) + 1 == FINE_VIEWS
    assert all(name_of(kind, METHODS) != kind for kind in (*METHODS, *CONTROL_NAMES))


def survive(share, images=60, changes=("ruler", "hair")):
    own = {"same_answer": [share, 0.5, 1.0], "balanced_accuracy": [0.4, 0.3, 0.5]}
    return {"shortcuts": {"images": images, "changes": dict.fromkeys(changes, own)}}


def look(difference, gain=(0.0, -0.1, 0.1)):
    keys = ("energy", "pointing", "ratio", "iou_0.5")
    maps = {"gradcam": 0.5, "fine": 0.5, "gaussian": 0.4}
    return {
        "localisation": {
            "images": 1495,
            "maps": {
                name: {"all": {key: [value, 0.3, 0.6] for key in keys}}
                for name, value in maps.items()
            },
            "against_gaussian": {"gradcam": dict.fromkeys(keys, difference)},
            "fine_against": {key: list(gain) for key in keys},
        }
    }


def test_models_survive_side_by_side():
    found = compare_shortcuts({"a": survive(0.9), "b": survive(0.75, changes=("hair", "ink"))})
    assert found.splitlines()[:5] == [
        "| change to the image | `a` | `b` |",
        "| --- | --- | --- |",
        "| ruler | 0.900 [0.500, 1.000] | – |",
        "| hair | 0.900 [0.500, 1.000] | 0.750 [0.500, 1.000] |",
        "| ink | – | 0.750 [0.500, 1.000] |",
    ]
    assert "when 60 test images are changed" in found
    assert "Not measured" not in found


def test_what_was_not_measured_is_named_and_unequal_counts_are_told():
    found = compare_shortcuts({"a": None, "b": {}, "c": survive(1), "d": survive(1, images=1400)})
    assert found.startswith("| change to the image | `c` | `d` |\n")
    assert "when 60 or 1,400 test images" in found
    assert found.endswith("Not measured: `a` and `b`.")
    assert compare_shortcuts({"a": None, "b": look([0.1, 0.05, 0.2])}) == ""


def test_models_look_side_by_side_and_one_that_beats_nothing_is_said_to():
    records = {"a": look([0.1, 0.05, 0.2]), "b": look([0.1, -0.05, 0.2]), "c": None}
    lines = compare_localisation(records).splitlines()
    assert lines[0] == (
        "| model | heatmap | energy inside | Gaussian | inside/outside | Gaussian | "
        "better than the Gaussian in |"
    )
    scores = "0.500 [0.300, 0.600] | 0.400 [0.300, 0.600] | " * 2
    beaten = "energy inside, pointing game, inside/outside and IoU at 0.5"
    assert lines[2] == f"| `a` | Grad-CAM | {scores}{beaten} |"
    assert lines[3] == f"| `b` | Grad-CAM | {scores}**nothing** |"
    assert "masks of 1,495 test images" in lines[-1]
    assert "Not measured: `c`. The finer map" in lines[-1]
    assert compare_localisation({"c": survive(1)}) == ""


def test_the_finer_map_is_told_to_gain_or_not():
    records = {"a": look([0, 0, 0], [0.1, 0.05, 0.2]), "b": look([0, 0, 0]), "c": survive(1)}
    assert "gains for `a` and does not gain for `b`. It" in say_gains(records)
    assert "views) does not gain for `b`." in say_gains({"b": records["b"]})
    assert say_gains({"c": survive(1), "d": None}) == ""


def write(folder, weights=WEIGHTS, description="HAM10000, 60 of them"):
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    parts = {
        "data": {"source": "ham10000", "description": description},
        "model": {"weights_sha256": hashlib.sha256(weights).hexdigest()},
        "shortcuts": {"images": 60, "changes": {"ruler": OWN}},
    }
    write_explanations(folder, "test", parts)
    return folder


def test_a_record_of_other_weights_is_not_shown(tmp_path):
    ours, stale = write(tmp_path / "ours"), write(tmp_path / "stale", b"other weights")
    assert read_current(stale) is None
    text = render_block([stale, ours])
    assert text.startswith("| change to the image | `ours` |\n")
    assert text.endswith("Not measured: `stale`.\n\nImages: HAM10000, 60 of them.")


def test_the_images_of_every_model_are_named_where_they_differ(tmp_path):
    folders = [
        write(tmp_path / "a"),
        write(tmp_path / "b"),
        write(tmp_path / "c", WEIGHTS, "Others"),
    ]
    text = render_block(folders)
    assert text.endswith("\n\n`a`, `b`: Images: HAM10000, 60 of them. `c`: Images: Others.")


def test_models_without_a_record_and_a_damaged_one(tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    assert render_block([bare]) == MISSING
    write_explanations(bare, "validation", {"model": {"weights_sha256": ""}})
    assert read_current(bare) is None
    (bare / "explanations.json").write_text("{")
    with pytest.raises(InputError, match="is not a valid record"):
        render_block([bare])
