"""Installation without the repository: a complete package that needs its base packages only."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from hub.borrowed import find_distributions, find_imports, make_environment

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
# Modules with another name than their package, and the package that brings one along.
PACKAGES = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "fastapi": "fastapi",
    "sklearn": "scikit-learn",
    "pytorch_grad_cam": "grad-cam",
    "yaml": "pyyaml",
}
SIZE = (640, 480)  # of the drawn examples
USE = """
import sys
from PIL import Image
from hf_lesion.classifier import LesionClassifier
found = LesionClassifier.from_pretrained(sys.argv[1])(Image.open(sys.argv[2]), target="mel")
print(found.probabilities.shape, found.overlay().size)
"""


@pytest.fixture(scope="module")
def tracked():
    listed = subprocess.run(
        ["git", "ls-files", "hf_lesion"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return listed.stdout.split()


@pytest.fixture(scope="module")
def wheel(tracked, tmp_path_factory):
    """Built from a copy: setuptools leaves a folder `build` behind, and takes old files from it."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in (*tracked, "pyproject.toml", "README.md", "LICENSE"):
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / "source" / name)
    line = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder]
    done = subprocess.run([*line, folder / "source"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("hf_lesion-*.whl"))


def test_the_package_is_complete(wheel, tracked):
    assert tracked
    assert not set(tracked) - set(zipfile.ZipFile(wheel).namelist())


def test_the_base_packages_suffice_to_classify_and_explain(wheel, tmp_path):
    python = make_environment(tmp_path / "venv", PROJECT["dependencies"])
    zipfile.ZipFile(wheel).extractall(next((tmp_path / "venv").glob("lib/python*/site-packages")))
    model, image = ROOT / "space" / "models" / "cnn", ROOT / "space" / "examples" / "mel.webp"
    done = subprocess.run(
        [python, "-c", USE, model, image], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.split("\n")[0] == f"(1, 7) {SIZE}", done.stderr


@pytest.mark.parametrize("extra", ["train", "space"])
def test_an_extra_names_what_its_programs_import(extra):
    folder = "space" if extra == "space" else "scripts"
    named = find_distributions(PROJECT["dependencies"] + EXTRAS[extra])
    if extra == "train":  # export.py and benchmark.py say which they need in addition
        named |= find_distributions(EXTRAS["export"] + EXTRAS["space"])
    for program in sorted((ROOT / folder).glob("*.py")):
        found = find_imports(program, [ROOT, ROOT / folder])
        missing = [
            name for name in found if PACKAGES.get(name, name).replace("_", "-") not in named
        ]
        assert not missing, f"{program.name}: {missing}"
