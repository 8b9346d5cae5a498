import json

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn

from hf_lesion.calibration.temperature import (
    FILE,
    Calibration,
    fold,
    logit_offsets,
    read_calibration,
)
from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.io.records import write_record
from hf_lesion.labels import CODES

COUNTS = (20, 30, 80, 10, 80, 700, 10)
OFFSETS = logit_offsets(COUNTS, 0.5)


CALIBRATION = Calibration(
    temperature=2.0,
    logit_adjustment=0.5,
    offsets=dict(zip(CODES, OFFSETS.tolist(), strict=True)),
    weights_sha256="",
    fitted_on={},
    cross_validated={},
)


def test_both_corrections_can_be_undone_from_probabilities_alone():
    logits = np.random.default_rng(1).normal(size=(20, 7)) * 3
    answers = softmax((logits + OFFSETS) / 2, axis=1)
    assert CALIBRATION.as_trained(answers) == pytest.approx(softmax(logits, axis=1), abs=1e-9)
    assert np.isfinite(CALIBRATION.as_trained(np.eye(7))).all()


def test_offsets_divide_the_odds_by_the_training_prior():
    full = logit_offsets(COUNTS, 1.0)
    nv, df = CODES.index("nv"), CODES.index("df")
    assert np.exp(full[df] - full[nv]) == pytest.approx(700 / 10)
    assert pytest.approx(full / 2) == OFFSETS
    assert not logit_offsets(COUNTS, 0.0).any()


@pytest.mark.parametrize("name", ["tiny_timm_model", "tiny_cnn_model"])
def test_folding_shifts_and_divides_the_logits_and_nothing_else(name, request):
    classifier = LesionClassifier.from_pretrained(request.getfixturevalue(name), device="cpu")
    pixels = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = classifier.model(pixel_values=pixels).logits.numpy()
        fold(classifier.model, offsets=OFFSETS, temperature=2.5)
        after = classifier.model(pixel_values=pixels).logits.numpy()
    assert after * 2.5 == pytest.approx(before + OFFSETS, rel=1e-5, abs=1e-5)


def test_models_that_cannot_be_folded_are_refused():
    with pytest.raises(InputError, match="no linear layer with 7 outputs"):
        fold(nn.Conv2d(3, 7, 1), offsets=OFFSETS, temperature=2.0)
    with pytest.raises(InputError, match="has no biases: logits can't be adjusted in it"):
        fold(nn.Linear(3, 7, bias=False), offsets=OFFSETS, temperature=1)


def test_a_damaged_record_names_the_file_and_the_field(tmp_path):
    file = write_record(tmp_path / FILE, CALIBRATION)
    damaged = {"schema_version": 3, "offsets": {"mel": 0.0}, "temperature": 0}
    file.write_text(json.dumps(json.loads(file.read_text()) | damaged))
    with pytest.raises(InputError) as caught:
        read_calibration(tmp_path)
    assert str(caught.value).startswith(f"{file} is not a valid record: schema_version: ")
    assert "temperature: Input should be greater than 0" in str(caught.value)
    assert "offsets: Value error, expected the classes akiec, bcc, " in str(caught.value)
