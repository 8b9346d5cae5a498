import io
import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.io.checksums import WEIGHTS, file_sha256
from hf_lesion.labels import CODES
from hf_lesion.models.calibration import (
    Calibration,
    fold_offsets,
    fold_temperature,
    parse_calibration,
    read_calibration,
    softmax_of,
    write_calibration,
)


def of(**changes):
    values = {
        "temperature": 2.0,
        "slope": 0.5,
        "biases": (0.0, -1.0, 0.0, 0.0, 0.25, 1.0, 0.0),
        "weights_sha256": "a" * 64,
        "fitted_on": {"split": "validation"},
        "cross_validated": {"temperature": {"ece": 0.01}},
    }
    return Calibration(**{**values, **changes})


def probabilities(images=20):
    return softmax_of(np.random.default_rng(0).normal(size=(images, 7)) * 3)


def test_what_was_written_is_read_again(tmp_path):
    assert read_calibration(tmp_path) is None
    write_calibration(tmp_path, of())
    assert read_calibration(tmp_path) == of()


def test_the_temperature_can_be_undone_from_probabilities_alone():
    logits = np.random.default_rng(1).normal(size=(20, 7)) * 3
    answers = softmax_of(logits / 2)
    assert of().without_temperature(answers) == pytest.approx(softmax_of(logits), abs=1e-9)


def test_biases_change_the_odds_by_their_exponential():
    shown = of(slope=1.0).shown(probabilities())
    assert shown.sum(axis=1) == pytest.approx(1)
    nv, akiec, bcc = (CODES.index(code) for code in ("nv", "akiec", "bcc"))
    before = probabilities()
    for code, factor in ((nv, np.e), (bcc, 1 / np.e)):
        odds = shown[:, code] / shown[:, akiec]
        assert odds == pytest.approx(factor * before[:, code] / before[:, akiec])
    same = of(slope=1.0, biases=(0.0,) * 7).shown(before)
    assert same == pytest.approx(before)


def test_a_probability_of_zero_stays_finite():
    assert np.isfinite(of().shown(np.eye(7))).all()
    assert np.isfinite(of().without_temperature(np.eye(7))).all()


@pytest.mark.parametrize("name", ["tiny_timm_model", "tiny_cnn_model"])
def test_folding_divides_the_logits_and_nothing_else(name, request, tmp_path):
    folder = shutil.copytree(request.getfixturevalue(name), tmp_path / "model")
    classifier = LesionClassifier.from_pretrained(folder, device="cpu")
    pixels = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = classifier.model(pixel_values=pixels).logits
        fold_temperature(classifier.model, 2.5)
        after = classifier.model(pixel_values=pixels).logits
    assert torch.allclose(after * 2.5, before, rtol=1e-5, atol=1e-5)


def test_a_classifier_shows_corrected_chances_and_answers_as_before(tiny_timm_model, tmp_path):
    folder = shutil.copytree(tiny_timm_model, tmp_path / "model")
    answers = probabilities(3)
    plain = LesionClassifier.from_pretrained(folder, device="cpu")
    assert plain.calibration is None
    assert plain.shown(answers) is answers
    assert plain.weights_sha256 == file_sha256(folder / WEIGHTS)
    write_calibration(folder, of(weights_sha256=plain.weights_sha256))
    corrected = LesionClassifier.from_pretrained(folder, device="cpu")
    assert corrected.shown(answers) == pytest.approx(of().shown(answers))
    image = [Image.new("RGB", (64, 64), "brown")]
    assert (corrected.predict(image) == plain.predict(image)).all()


def test_corrections_of_other_weights_are_not_used_and_that_is_logged(
    tiny_timm_model, tmp_path, caplog
):
    folder = shutil.copytree(tiny_timm_model, tmp_path / "model")
    write_calibration(folder, of())
    classifier = LesionClassifier.from_pretrained(folder, device="cpu")
    assert classifier.calibration is None
    assert caplog.messages == [
        f"{folder / 'calibration.json'} was not fitted on these weights and is not used. Fit it "
        "again."
    ]


def test_a_model_without_a_linear_end_and_a_temperature_of_zero_are_refused():
    with pytest.raises(InputError, match="no linear layer with 7 outputs"):
        fold_temperature(nn.Conv2d(3, 7, 1), 2.0)
    with pytest.raises(ValueError, match=r"^Expected a temperature above 0, got 0"):
        fold_temperature(nn.Linear(3, 7), 0)
    with pytest.raises(InputError, match="has no biases: logits can't be adjusted in it"):
        fold_offsets(nn.Linear(3, 7, bias=False), np.zeros(7))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema_version": 3}, "ValueError: schema_version 3, not 1"),
        ({"biases": {"mel": 0.0}}, "KeyError: 'akiec'"),
        ({"temperature": None}, "TypeError: "),
        ({"surplus": 1}, "TypeError: "),
        ({"slope": float("nan")}, "ValueError: a value is not finite"),
    ],
)
def test_what_is_no_record_is_refused(change, reason, tmp_path):
    record = json.loads(write_calibration(tmp_path, of()).read_text())
    with pytest.raises(InputError, match=rf"^c\.json holds no calibration \({re.escape(reason)}"):
        parse_calibration(io.StringIO(json.dumps(record | change)), source="c.json")
    with pytest.raises(InputError, match="JSONDecodeError"):
        parse_calibration(io.StringIO("{"))
