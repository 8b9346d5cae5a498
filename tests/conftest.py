"""What all tests share: no network, a drawn sample set, two small models with telling weights."""

import os
import tempfile

# Before anything imports huggingface_hub, which reads these once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="hf_lesion_test_home_")
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
# Before anything imports numpy or torch: one thread here and in the scripts that tests start, since
# the workers share the cores.
os.environ["OMP_NUM_THREADS"] = "1"

import atexit
import shutil
from pathlib import Path

import pytest
import torch
from dataverse import dataverse, faults  # noqa: F401 - fixtures

from hf_lesion.data.build import prepare
from hf_lesion.models.build import build_model
from hf_lesion.synthetic.dataset import write_sample

atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)

ROOT = Path(__file__).resolve().parent.parent
REAL_DATA = ROOT.parent / "shared" / "data" / "HAM10000"
SAMPLE_IMAGES = 84
LOGIT_SPREAD = 3.0

torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    absent = pytest.mark.skip(reason=f"{REAL_DATA} is absent")
    for item in items:
        if "real_data" in item.keywords and not REAL_DATA.is_dir():
            item.add_marker(absent)


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "raw"
    write_sample(folder, SAMPLE_IMAGES, seed=0)
    return folder


@pytest.fixture(scope="session")
def sample_dataset(sample_folder):
    output = sample_folder.parent / "dataset"
    prepare(sample_folder, output, seed=0)
    return output


@pytest.fixture(scope="session")
def tiny_timm_model(tmp_path_factory):
    return save_telling_model(tmp_path_factory.mktemp("models") / "tiny_resnet", "test_resnet")


@pytest.fixture(scope="session")
def tiny_cnn_model(tmp_path_factory):
    shape = {"widths": [8, 16], "pooling": "average", "hidden_sizes": []}
    return save_telling_model(tmp_path_factory.mktemp("models") / "tiny_cnn", "cnn", shape)


def save_telling_model(folder: Path, name: str, model_args: dict | None = None) -> Path:
    """Save a model whose answers differ widely between images.

    An untrained network answers much the same to everything, and a comparison of such answers
    proves nothing. So the head is rescaled until the logits of coloured patches spread by
    `LOGIT_SPREAD`.
    """
    torch.manual_seed(0)
    model, processor = build_model(name, image_size=64, model_args=model_args)
    images = torch.nn.functional.interpolate(torch.rand(32, 3, 5, 6) * 2 - 1, (64, 64))
    with torch.no_grad():
        for _ in range(50):  # until batch norm knows the images' statistics
            model.train()(pixel_values=images)
    head = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)][-1]
    with torch.no_grad():
        torch.nn.init.normal_(head.weight)
        logits = model.eval()(pixel_values=images).logits
        head.weight *= LOGIT_SPREAD / logits.std(dim=0).mean()
        head.bias.copy_(-model(pixel_values=images).logits.mean(dim=0) + head.bias)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
