"""The Space's folder: complete, and its requirements name what it imports."""

import shutil
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from hub.borrowed import find_distributions, find_imports, read_requirements

from hf_lesion.errors import InputError
from hf_lesion.hub.space import build_space_folder
from hf_lesion.io.checksums import check_manifest

ROOT = Path(__file__).resolve().parents[2]
SPACE = ROOT / "space"
COMPLETE = {"title", "sdk_version", "python_version", "models"}


@pytest.fixture(scope="module")
def built(run_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("built") / "space"
    folder.mkdir()
    build_space_folder(SPACE, folder, models=[str(run_folder)])
    return folder


def front_matter(folder):
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def test_the_folder_holds_app_package_and_model_and_no_leftovers(built):
    names = {file.relative_to(built).as_posix() for file in built.rglob("*") if file.is_file()}
    assert {"app.py", "requirements.txt", "style.css", "LICENSE", "SHA256SUMS"} <= names
    assert {"tabs/classify.py", "views/verdict.py", "examples/mel.webp"} <= names
    assert {"hf_lesion/classifier.py", "hf_lesion/data/checksums.csv"} <= names
    assert {"models/tiny_cnn/model.safetensors", "models/tiny_cnn/SHA256SUMS"} <= names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    check_manifest(built)
    front = front_matter(built)
    assert set(front) >= COMPLETE
    assert (front["sdk"], front["app_file"], front["models"]) == ("gradio", "app.py", [])
    assert front["suggested_hardware"] == "cpu-basic"
    assert front["license"] == "cc-by-nc-4.0"  # that of the weights, not of the code
    assert len(front["short_description"]) <= 60  # what the Hub takes


def test_the_requirements_are_pinned_and_name_what_the_app_imports(built):
    lines = read_requirements(built / "requirements.txt")
    assert len(lines) > 10
    assert [line for line in lines if "==" not in line] == []
    imported = find_imports(built / "app.py", [built])
    assert {"gradio", "torch", "transformers"} <= set(imported)
    sdk = f"gradio=={front_matter(built)['sdk_version']}"
    named = find_distributions([sdk, *lines])
    owners = metadata.packages_distributions()
    assert not {
        package: file.name
        for package, file in imported.items()
        if not {owner.lower() for owner in owners.get(package, [])} & set(named)
    }


def test_models_on_the_hub_are_pinned_and_fetched_by_the_space(near, run_folder, tmp_path):
    commit = near.offer("me/a", run_folder)
    folder = tmp_path / "space"
    folder.mkdir()
    build_space_folder(SPACE, folder, models=["me/a"])
    assert (folder / "hub_models.txt").read_text() == f"me/a@{commit}\n"
    assert not (folder / "models").exists()
    front = front_matter(folder)
    assert front["models"] == ["me/a"]
    assert front["preload_from_hub"] == [f"me/a config.json,model.safetensors {commit}"]


def test_a_folder_without_models_or_app_and_equal_names_are_refused(run_folder, tmp_path):
    with pytest.raises(InputError, match=r"has no app\.py\. Run this from a checkout"):
        build_space_folder(tmp_path, tmp_path, models=[])
    other = shutil.copytree(run_folder, tmp_path / "other" / "tiny_cnn")
    (tmp_path / "none").mkdir()
    for models, text in (
        ([tmp_path / "none"], r"none contains no model\. Pack one with"),
        ([run_folder, other], r"Two of the models are named tiny_cnn\. Rename"),
    ):
        out = tmp_path / f"out{len(models)}"
        out.mkdir()
        with pytest.raises(InputError, match=text):
            build_space_folder(SPACE, out, models=list(map(str, models)))


class TestFetching:
    """What `--models` takes from the Hub."""

    @pytest.fixture(autouse=True)
    def _path(self, monkeypatch):
        monkeypatch.syspath_prepend(str(SPACE))

    def test_folders_and_hub_ids_go_together_and_missing_ones_are_skipped(self, near, run_folder):
        from sources import fetch_models

        first = near.offer("me/a", run_folder)
        sources = [str(run_folder), "me/a", f"me/a@{first}", "me/none"]
        folders, names, lines = fetch_models(sources)
        assert folders[0] == run_folder
        assert [folder.name for folder in folders[1:]] == [first, first]
        assert set(names.values()) <= {"me/a", f"me/a@{first[:7]}"}
        assert f"me/a: commit {first}" in lines
        assert lines[-1].startswith("me/none was skipped: There is no model me/none on the ")

    def test_the_models_next_to_the_app_replace_a_hub_that_is_gone(self, near):
        from sources import MODELS, fetch_models

        near.shutdown()
        near.server_close()
        folders, _names, lines = fetch_models(["me/a", "me/b@v1"])
        assert folders == [MODELS]
        skipped = [line.partition(":")[0] for line in lines[:2]]
        assert skipped == ["me/a was skipped", "me/b@v1 was skipped"]
        assert lines[2].endswith("is available: serving those next to the app.")

    @pytest.mark.parametrize(
        ("source", "expected"),
        [("me/a", True), ("me/a@v1", True), ("./a", False), ("a", False), ("/x/y", False)],
    )
    def test_a_hub_id_is_known_by_its_form(self, source, expected):
        from sources import is_hub_id

        assert is_hub_id(source) is expected
