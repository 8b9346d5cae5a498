"""A saved model in an environment that has transformers and timm, but no hf_lesion."""

import json
import subprocess
import sys
import sysconfig

import numpy as np
import pytest
from PIL import Image

from hf_lesion.classifier import LesionClassifier
from hf_lesion.labels import CODES

SCRIPT = """
import importlib.util, json, sys
assert importlib.util.find_spec("hf_lesion") is None, "hf_lesion is installed here"
from transformers import pipeline
folder, image, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
classifier = pipeline("image-classification", model=folder, top_k=7, **options)
print(json.dumps({answer["label"]: answer["score"] for answer in classifier(image)}))
"""


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """A virtual environment that borrows this one's packages, but for the editable hf_lesion."""
    folder = tmp_path_factory.mktemp("stranger") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    file = tmp_path_factory.mktemp("image") / "noise.png"
    noise = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((200, 150), Image.Resampling.BICUBIC).save(file)
    return file


def ask(stranger, folder, image, **options):
    words = [stranger, "-c", SCRIPT, folder, image, json.dumps(options)]
    return subprocess.run(
        words, capture_output=True, text=True, check=False, cwd="/", stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize(
    ("fixture", "options"),
    [("tiny_timm_model", {}), ("tiny_cnn_model", {"trust_remote_code": True})],
)
def test_pipeline_gives_our_probabilities(fixture, options, stranger, image, request):
    folder = request.getfixturevalue(fixture)
    done = ask(stranger, folder, image, **options)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    with Image.open(image) as opened:
        expected = LesionClassifier.from_pretrained(folder).predict([opened])[0]
    assert np.allclose([answer[code] for code in CODES], expected, atol=1e-5)


def test_the_cnns_code_is_not_run_unasked(stranger, tiny_cnn_model, image):
    done = ask(stranger, tiny_cnn_model, image)
    assert done.returncode != 0
    assert "trust_remote_code=True" in done.stderr
