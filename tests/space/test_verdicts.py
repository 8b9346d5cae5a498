"""The verdict in words: what is measured is said with its source, and what is not is said so."""

import shutil

import numpy as np
from PIL import Image
from points import melanoma_points

from hf_lesion.labels import CODES
from hf_lesion.ood.gate import Verdict

STRANGE = Verdict("strange", 0.0, 0.9, 0.04, "This does not look like a dermoscopic image.")
UNSURE = Verdict("unsure", 0.5, 0.3, 0.2, "The model is unsure.")


def peak(code, height, dtype=np.float32):
    values = np.full(len(CODES), (1 - height) / (len(CODES) - 1), dtype)
    values[CODES.index(code)] = height
    return values


def answer(**opinion):
    from answers import Answer
    from opinions import Opinion

    found = Opinion(peak("nv", 0.82), **opinion)
    return Answer(found, "nv", Image.new("RGB", (9, 9)), None, "none", "gradcam")


def test_everything_that_is_known_is_said():
    from judgement import Judgement, MelanomaPoint
    from verdicts import sentences

    point = MelanomaPoint(0.03, 0.02, 0.9, 0.75, "test")
    found = sentences(answer(reliability=0.914), Judgement(point), "m")
    assert found == (
        "Looks most like a melanocytic nevus: probability 82.0%, by the model m.",
        "Results like this were right 91% of the time in our test.",
        "Melanoma: the score of 3.0% reaches the threshold of 2.0%. In our test it was reached by "
        "90% of the melanomas, and by 25% of the others.",
    )


def test_no_result_is_called_always_right():
    from verdicts import reliability

    said = reliability(answer(reliability=0.9996).opinion)
    assert said == "Results like this were right 99% of the time in our test."


def test_of_what_was_not_measured_nothing_is_said():
    from judgement import Judgement
    from verdicts import sentences

    assert len(sentences(answer(), Judgement(), "m")) == 1


def test_names_are_escaped():
    from judgement import Judgement
    from verdicts import panel

    shown = panel(answer(), Judgement(), '"><script>alert(1)</script>')
    assert "<script" not in shown


def test_an_unsure_answer_carries_a_note():
    from judgement import Judgement
    from verdicts import panel

    assert "The model is unsure." in panel(answer(verdict=UNSURE), Judgement(), "m")


def test_a_strange_image_has_its_answer_hidden_until_one_insists(classifiers, monkeypatch):
    from calls import Calls
    from handlers import Page
    from shelf import Shelf

    classifier = classifiers["tiny_cnn"]
    image = Image.new("RGB", (60, 40), "brown")
    monkeypatch.setattr("hf_lesion.classifier.judge", lambda *_: [STRANGE])
    page = Page(Shelf.of({"tiny_cnn": classifier}))
    verdict, anyway, details, bars, slider, _caption = page.show(image, "tiny_cnn", "predicted")
    assert "This does not look like a dermoscopic image." in verdict
    assert not any(f'data-label="{code}"' in verdict for code in CODES)
    assert (anyway["visible"], details["visible"], bars, slider) == (True, False, "", None)
    shown = page.show_anyway(image, "tiny_cnn", "predicted", "gradcam", 50)
    assert "Looks most like" in shown[0]
    assert STRANGE.sentence in shown[0]
    assert (shown[1]["visible"], shown[2]["visible"]) == (False, True)
    assert Calls(page.shelf).classify(image, "tiny_cnn")["gate"] == "strange"


def test_a_strange_image_is_marked_where_many_are_asked():
    from batch import Row
    from comparison import render
    from tables import render as render_table

    strange = answer(verdict=STRANGE)
    shown = render_table([Row("cat.png", strange.opinion), Row("mole.png", answer().opinion)], "m")
    assert shown.count("not dermoscopic?</span>") == 1
    assert "1 of them marked" in shown
    assert "So says the gate of m." in render({"m": strange, "n": answer()})
    assert "gate" not in render({"n": answer()})


def test_thresholds_of_other_weights_are_not_used(tiny_cnn_model, tmp_path):
    from catalogue import read_entry
    from judgement import judge
    from opinions import Opinion

    from hf_lesion.calibration.thresholds import write_operating_points
    from hf_lesion.io.checksums import WEIGHTS, file_sha256

    folder = shutil.copytree(tiny_cnn_model, tmp_path / "model")
    for sha, is_used in ((file_sha256(folder / WEIGHTS), True), ("0" * 64, False)):
        write_operating_points(folder, melanoma_points(sha))
        found = judge(read_entry("m", folder), Opinion(peak("mel", 0.5)))
        assert (found.melanoma is not None) == is_used
