import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from hf_lesion.classifier import LesionClassifier
from hf_lesion.evaluation.distortions import recompress
from hf_lesion.evaluation.scoring import read_split
from hf_lesion.ood.gate import read_gate_record
from hf_lesion.synthetic.ood_images import draw_ood_image

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "fit_gate.py"
COARSE, FINE = 20, 95  # JPEG qualities


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Drawings of skin as a phone shows it, all strongly compressed."""
    folder = tmp_path_factory.mktemp("data") / "phones"
    folder.mkdir()
    for index in range(24):
        image = draw_ood_image("skin", seed=1000 + index)
        image.save(folder / f"PAT_{index // 2}_{index}_1.jpg", quality=COARSE)
    return folder


@pytest.fixture(scope="module")
def frames(tmp_path_factory, sample_dataset):
    folder = tmp_path_factory.mktemp("frames")
    for name in ("validation", "test"):
        split = read_split(sample_dataset, name)
        for index in (0, 2):
            split.load(index).resize((80, 60)).save(folder / f"{split.image_ids[index]}.png")
    return folder


@pytest.fixture
def model(tiny_cnn_model, tmp_path):
    return shutil.copytree(tiny_cnn_model, tmp_path / "model")


def test_a_gate_is_fitted_measured_and_then_loaded(call, model, sample_dataset, photos, frames):
    code, out, err = call(
        "--model", model, "--dataset", sample_dataset, "--ood_images", photos, "--frames", frames
    )
    assert code == 0, err
    record = read_gate_record(model)
    assert list(record.dermoscopic) == ["test", "test, retaken", "test, other framing"]
    assert record.dermoscopic["test, other framing"].images == 2
    assert {"phones", "phones, retaken", "drawn: text"} <= set(record.other)
    assert record.other["phones"].images == 24
    assert record.fitted_on[0].name == "train"
    assert "validation, other framing" in record.summary
    assert record.risk_coverage["coverage"][-1] == 1
    assert record.provenance["command"].startswith("fit_gate.py --model ")
    assert len(record.data["fingerprint"]) == 64
    assert record.summary in out
    assert (model / "gate.png").read_bytes()[:4] == b"\x89PNG"

    classifier = LesionClassifier.from_pretrained(model)
    assert classifier.gate.inputs == tuple(record.inputs)
    assert classifier.gate.weights_sha256 == classifier.weights_sha256
    probabilities, verdicts = classifier.judge([Image.new("RGB", (64, 64), (0, 255, 0))])
    assert verdicts[0].kind == "strange"
    assert verdicts[0].confidence == pytest.approx(probabilities.max())
    test = read_split(sample_dataset, "test")
    images = [test.load(index) for index in range(len(test.image_ids))]
    assert share_refused(classifier, images) == record.dermoscopic["test"].refused

    # All photos were compressed strongly and no lesion was: the gate must not judge by that.
    coarse = [recompress(image, COARSE) for image in images]
    assert share_refused(classifier, coarse) <= record.dermoscopic["test"].refused + 0.15
    skin = [recompress(draw_ood_image("skin", seed=seed), FINE) for seed in range(2000, 2040)]
    assert share_refused(classifier, skin) > 0.8

    # Trained further, the model is another one: its old gate says nothing of it.
    weights = load_file(model / "model.safetensors")
    save_file({name: value + 1e-6 for name, value in weights.items()}, model / "model.safetensors")
    assert LesionClassifier.from_pretrained(model).gate is None


def share_refused(classifier, images):
    _, verdicts = classifier.judge(images)
    return np.mean([verdict.kind == "strange" for verdict in verdicts])
