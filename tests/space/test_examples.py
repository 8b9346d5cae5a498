"""Example images: drawn from pinned seeds, and classified as intended."""

import hashlib
from pathlib import Path

import pytest
from PIL import Image

from hf_lesion.classifier import LesionClassifier
from hf_lesion.synthetic.examples import (
    EXAMPLES,
    NOT_A_LESION,
    SIZE,
    draw_example,
    encode,
    find_seed,
    read_examples,
)

SPACE = Path(__file__).resolve().parents[2] / "space"
ALWAYS = {"nv", NOT_A_LESION}  # drawing one takes seconds


def test_there_are_eight_of_640_by_480_pixels():
    assert tuple(read_examples()) == EXAMPLES
    assert len(EXAMPLES) == 8
    for code in EXAMPLES:
        with Image.open(SPACE / "examples" / f"{code}.webp") as image:
            assert image.size == SIZE == (640, 480)


@pytest.mark.parametrize(
    "code", [c if c in ALWAYS else pytest.param(c, marks=pytest.mark.slow) for c in EXAMPLES]
)
def test_each_is_what_its_seed_draws(code):
    pinned = read_examples()[code]
    content = (SPACE / "examples" / f"{code}.webp").read_bytes()
    assert hashlib.sha256(content).hexdigest() == pinned["sha256"]
    assert encode(draw_example(code, pinned["seed"])) == content


def test_the_default_model_answers_each_as_intended_without_a_remark():
    from registry import read_entries

    entries, _ = read_entries([SPACE / "models"])
    classifier = LesionClassifier.from_pretrained(entries[0].source)
    files = [SPACE / "examples" / f"{code}.webp" for code in EXAMPLES]
    probabilities, verdicts = classifier.judge([Image.open(file) for file in files])
    kinds = {code: verdict.kind for code, verdict in zip(EXAMPLES, verdicts, strict=True)}
    assert kinds == {**dict.fromkeys(EXAMPLES, "accepted"), NOT_A_LESION: "strange"}
    tops = {
        code: classifier.codes[int(row.argmax())]
        for code, row in zip(EXAMPLES, probabilities, strict=True)
    }
    del tops[NOT_A_LESION]
    assert tops == {code: code for code in tops}


def test_a_seed_is_found_by_asking_of_the_pixels_of_the_file():
    asked = []

    def is_good(image):
        asked.append(image.size)
        return len(asked) > 1

    assert find_seed(NOT_A_LESION, is_good, start=7) == 8
    assert asked == [(320, 240), (320, 240), (640, 480)]
    with pytest.raises(LookupError, match="No seed from 0 to 1 gives a good none"):
        find_seed(NOT_A_LESION, lambda _: False, most=2)
