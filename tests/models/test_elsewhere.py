"""A saved model in an environment that has transformers and timm, but no hf_lesion."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
from PIL import Image

from hf_lesion.classifier import LesionClassifier
from hf_lesion.labels import CODES

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import importlib.util, json, sys
assert importlib.util.find_spec("hf_lesion") is None, "hf_lesion is installed here"
from transformers import AutoConfig, pipeline

timm, cnn, config, image, root = sys.argv[1:]

def load(folder, **options):
    return pipeline("image-classification", model=folder, top_k=7, **options)

found = {"timm": load(timm)(image), "cnn": load(cnn, trust_remote_code=True)(image)}
try:
    load(cnn)
except ValueError as error:
    found["refused"] = str(error)
sys.path.append(root)
import hf_lesion  # after transformers: the other order is that of all other tests
found["types"] = [str(type(AutoConfig.from_pretrained(config))), str(type(load(cnn).model))]
print()  # after a question that ends without a newline
print(json.dumps(found))
"""


def test_pipeline_gives_our_probabilities_and_runs_no_code_unasked(
    tiny_timm_model, tiny_cnn_model, tmp_path
):
    """And once hf_lesion is imported, the CNN needs no remote code, nor its config any `auto_map`.

    The virtual environment borrows this one's packages, but for the editable hf_lesion.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    noise = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((200, 150), Image.Resampling.BICUBIC)
    image.save(tmp_path / "noise.png")
    config = json.loads((tiny_cnn_model / "config.json").read_text())
    del config["auto_map"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    words = [tmp_path / "venv" / "bin" / "python", "-c", SCRIPT, tiny_timm_model, tiny_cnn_model]
    words += [tmp_path, tmp_path / "noise.png", ROOT]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, cwd="/", stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for name, folder in (("timm", tiny_timm_model), ("cnn", tiny_cnn_model)):
        answer = {entry["label"]: entry["score"] for entry in found[name]}
        expected = LesionClassifier.from_pretrained(folder).predict(image)[0]
        assert np.allclose([answer[code] for code in CODES], expected, atol=1e-5)
    assert "trust_remote_code=True" in found["refused"]
    names = ("LesionCnnConfig", "LesionCnnForImageClassification")
    assert found["types"] == [f"<class 'hf_lesion.models.cnn.{name}'>" for name in names]
