import hashlib
import re

import pytest

from hf_lesion.errors import InputError
from hf_lesion.evaluation.explanations import tables
from hf_lesion.evaluation.explanations.record import write_explanations
from hf_lesion.evaluation.explanations.tables import (
    MISSING,
    compare_localisation,
    compare_shortcuts,
    render_block,
    render_section,
)
from hf_lesion.explain.gradcam import METHODS
from hf_lesion.explain.mask_overlap import MEASURES, THRESHOLDS
from hf_lesion.explain.names import FINE_VIEWS, METHOD_NAMES
from hf_lesion.explain.views import VIEWS
from hf_lesion.labels import CODES

WEIGHTS = b"weights"
GAIN, LOSS = [0.1, 0.05, 0.2], [-0.1, -0.2, -0.05]
WORSE = {key: [-0.1, -0.2, 0.0] for key in MEASURES}


def located(value, images=20):
    scores = {key: [value, value - 0.1, value + 0.1] for key in MEASURES}
    own = {"images": images, **scores}
    classes = {code: {"right": own, "wrong": own} for code in CODES}
    return {"all": own, "right": own, "wrong": own, "flat": 3, "classes": classes}


def record(against=None, fine_against=None, first="gradcam"):
    maps = {first: located(0.5), "fine": located(0.55), "gaussian": located(0.6)}
    del maps["fine"]["classes"]
    found = {
        "images": 1495,
        "thresholds": list(THRESHOLDS),
        "maps": maps,
        "against_gaussian": against or {first: WORSE},
    }
    return {"localisation": found | ({"fine_against": fine_against} if fine_against else {})}


def survive(share, images=60, changes=("ruler", "hair")):
    own = {"same_answer": [share, 0.5, 1.0], "balanced_accuracy": [0.4, 0.3, 0.5]}
    found = {"images": images, "balanced_accuracy": [0.55, 0.5, 0.6]}
    return {"shortcuts": found | {"changes": dict.fromkeys(changes, own)}}


def test_a_row_for_each_map_and_the_lesions_outside():
    found = record()
    text = render_section(found)
    assert "| Grad-CAM | 20 | 0.500 [0.400, 0.600] |" in text
    assert "| *centred Gaussian* | 20 | 0.600 [0.500, 0.700] |" in text
    assert "masks of 1,495 images" in text
    assert "outside the crop" not in text
    assert render_section({}) == tables.INTRODUCTION
    outside = {"share": 0.1, "images": 12, "classes": {**dict.fromkeys(CODES, 0), "mel": 12}}
    found["localisation"]["outside"] = outside
    assert re.search(r"In 12 of these .* 10% of .* crop .* \(mel 12\)\.", render_section(found))


def test_methods_with_one_verdict_share_a_sentence():
    some = WORSE | {"energy": [0.1, 0.01, 0.2]}
    unknown = WORSE | {"energy": [0.1, None, None]}
    text = render_section(record({"gradcam": unknown, "fine": some, "gaussian": some}))
    assert "Grad-CAM beats the Gaussian in nothing, **not in energy inside, " in text
    assert (
        "Grad-CAM (mean of 9 views) and *centred Gaussian* beat the Gaussian in energy inside, "
        "**not in pointing game, inside/outside and IoU at 0.5**." in text
    )
    worse = dict.fromkeys(tables.FAITHFUL, LOSS)  # less is better in deletion
    found = {"maps": {"gradcam": {}}, "against_gaussian": {"gradcam": worse}}
    sentence = tables.say_verdicts(found, tables.FAITHFUL)
    assert sentence == "Grad-CAM beats the Gaussian in deletion, **not in insertion and ROAD**."


def test_overlap_is_bold_where_it_beats_the_gaussian():
    found = record({"gradcam": WORSE | {"dice_0.25": [0.1, 0.01, 0.2]}})["localisation"]
    lines = tables.render("overlap", found).splitlines()
    assert lines[0].startswith(
        "| heatmap | IoU at 0.25 | IoU at 0.5 | IoU at 0.75 | Dice at 0.25 |"
    )
    cells = [cell.strip() for cell in lines[2].split("|")[1:-1]]
    assert [cell.startswith("**") for cell in cells[1:]] == [False] * 3 + [True] + [False] * 2
    assert "**" not in lines[4]  # the Gaussian itself


def test_each_diagnosis_stands_next_to_its_baselines_right_and_wrong_apart():
    found = record()["localisation"]
    found["maps"]["random"] = located(0.25)
    nothing = {"images": 0, **{key: [None, None, None] for key in MEASURES}}
    for kind in ("gradcam", "gaussian", "random"):
        found["maps"][kind]["classes"]["df"]["right"] = nothing
    found["maps"]["gradcam"]["classes"]["mel"]["wrong"] = located(0.7, images=9)["all"]
    lines = tables.render("classes", found).splitlines()
    assert len([line for line in lines if line.startswith("| `")]) == 2 * len(CODES)
    cell = "0.700 [0.600, 0.800] | 0.60 / 0.25"
    assert f"| `mel` | wrong | 9 | {cell} | {cell} |" in lines
    assert "| `df` | right | 0 | – | – / – | – | – / – |" in lines
    assert lines[-1].startswith("Grad-CAM by diagnosis. Baselines: centred Gaussian / random map.")


@pytest.mark.parametrize(
    ("changes", "gains", "said"),
    [
        ({}, False, "**It gains in nothing and loses in nothing: it is not kept for this model**"),
        ({"energy": GAIN}, True, "It gains in energy inside and loses in nothing: for this model"),
        ({"energy": GAIN, "ratio": LOSS}, False, "and loses in inside/outside: it is not kept"),
    ],
)
def test_the_finer_map_is_kept_only_if_it_gains_and_loses_nothing(changes, gains, said):
    equal = {key: [0.01, -0.01, 0.03] for key in MEASURES}
    found = record(fine_against=equal | changes, first="layercam")
    text = render_section(found)
    assert "What the mean of 9 views adds to LayerCAM, on the same images: energy inside +" in text
    assert said in text
    models = compare_localisation({"a": found, "b": record(fine_against=equal), "c": survive(1)})
    assert ("gains for `a` and does not gain for `b`" in models) is gains
    assert ("views) does not gain for `a` and `b`" in models) is not gains
    found["faithfulness"] = {"fine_against": dict.fromkeys(tables.FAITHFUL, GAIN)}
    assert not tables.judge_gain(found)[0]  # a longer deletion is worse


def test_how_often_the_prediction_survives():
    text = render_section(survive(0.9))
    assert "| ruler | 0.900 [0.500, 1.000] | 0.400 [0.300, 0.500] |" in text
    assert "accuracy on the unchanged images: 0.550 [0.500, 0.600]. A prediction" in text
    models = {"a": survive(0.9), "b": survive(0.75, images=1400, changes=("hair", "ink")), "c": {}}
    found = compare_shortcuts(models)
    assert found.splitlines()[:5] == [
        "| change to the image | `a` | `b` |",
        "| --- | --- | --- |",
        "| ruler | 0.900 [0.500, 1.000] | – |",
        "| hair | 0.900 [0.500, 1.000] | 0.750 [0.500, 1.000] |",
        "| ink | – | 0.750 [0.500, 1.000] |",
    ]
    assert "when 60 or 1,400 test images are changed" in found
    assert found.endswith("Not measured: `c`.")
    assert compare_shortcuts({"a": None, "b": record()}) == ""


def test_models_side_by_side_and_one_that_beats_nothing():
    beats = record({"gradcam": dict.fromkeys(MEASURES, GAIN)})
    lines = compare_localisation({"a": beats, "b": record(), "c": None}).splitlines()
    scores = "0.500 [0.400, 0.600] | 0.600 [0.500, 0.700] | " * 2
    beaten = "energy inside, pointing game, inside/outside and IoU at 0.5"
    assert lines[2] == f"| `a` | Grad-CAM | {scores}{beaten} |"
    assert lines[3] == f"| `b` | Grad-CAM | {scores}**nothing** |"
    assert "masks of 1,495 test images" in lines[-1]
    assert lines[-1].endswith("Not measured: `c`.")
    assert compare_localisation({"c": survive(1)}) == ""


def write(folder, weights=WEIGHTS, description="HAM10000, 60 of them"):
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    parts = {
        "data": {"source": "ham10000", "description": description},
        "model": {"weights_sha256": hashlib.sha256(weights).hexdigest()},
        **survive(0.9),
    }
    write_explanations(folder, "test", parts)
    return folder


def test_records_of_other_weights_are_not_shown_and_images_named_where_they_differ(tmp_path):
    ours, stale = write(tmp_path / "ours"), write(tmp_path / "stale", b"other weights")
    text = render_block([stale, ours])
    assert text.startswith("| change to the image | `ours` |\n")
    assert text.endswith("Not measured: `stale`.\n\nImages: HAM10000, 60 of them.")
    other = write(tmp_path / "other", description="Others")
    text = render_block([ours, other])
    assert text.endswith("\n\n`ours`: Images: HAM10000, 60 of them. `other`: Images: Others.")


def test_models_without_a_record_and_a_damaged_one(tmp_path):
    assert render_block([tmp_path]) == MISSING
    write_explanations(tmp_path, "validation", {"model": {"weights_sha256": ""}})
    assert render_block([tmp_path]) == MISSING
    (tmp_path / "explanations.json").write_text("{")
    with pytest.raises(InputError, match="is not a valid record"):
        render_block([tmp_path])


def test_names_are_those_of_what_there_is():
    assert list(METHOD_NAMES) == list(METHODS)
    assert len(VIEWS) + 1 == FINE_VIEWS
