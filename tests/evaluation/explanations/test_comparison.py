from hf_lesion.evaluation.explanations.comparison import (
    compare_localisation,
    compare_shortcuts,
    say_gains,
)


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
        "| change of the image | `a` | `b` |",
        "| --- | --- | --- |",
        "| ruler | 0.900 [0.500, 1.000] | – |",
        "| hair | 0.900 [0.500, 1.000] | 0.750 [0.500, 1.000] |",
        "| ink | – | 0.750 [0.500, 1.000] |",
    ]
    assert "when 60 test images are changed" in found
    assert "Not measured" not in found


def test_what_was_not_measured_is_named_and_unequal_counts_are_told():
    found = compare_shortcuts({"a": None, "b": {}, "c": survive(1), "d": survive(1, images=1400)})
    assert found.startswith("| change of the image | `c` | `d` |\n")
    assert "when 60 or 1,400 test images" in found
    assert found.endswith("Not measured: `a` and `b`.")
    assert compare_shortcuts({"a": None, "b": look([0.1, 0.05, 0.2])}) == ""


def test_models_look_side_by_side_and_one_that_beats_nothing_is_said_to():
    records = {"a": look([0.1, 0.05, 0.2]), "b": look([0.1, -0.05, 0.2]), "c": None}
    lines = compare_localisation(records).splitlines()
    assert lines[0] == (
        "| model | map | energy inside | the Gaussian's | inside/outside | the Gaussian's | "
        "beats the Gaussian in |"
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
