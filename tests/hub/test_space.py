"""The Space's folder: complete, and its requirements name what it imports."""

import re
import shutil
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from hub.borrowed import find_distributions, find_imports, read_requirements

from hf_lesion.errors import InputError
from hf_lesion.hub.space import build_space_folder, complete_front_matter
from hf_lesion.io.checksums import check_manifest

ROOT = Path(__file__).resolve().parents[2]
SPACE = ROOT / "space"
COMPLETE = {
    "title",
    "sdk",
    "sdk_version",
    "python_version",
    "app_file",
    "models",
    "license",
    "suggested_hardware",
    "short_description",
}


@pytest.fixture(scope="module")
def built(run_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("built") / "space"
    folder.mkdir()
    build_space_folder(SPACE, folder, models=[str(run_folder)])
    return folder


def front_matter(folder):
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def test_the_front_matter_is_complete(built):
    front = front_matter(built)
    assert set(front) >= COMPLETE
    assert (front["sdk"], front["app_file"], front["models"]) == ("gradio", "app.py", [])
    assert front["suggested_hardware"] == "cpu-basic"
    assert front["license"] == "cc-by-nc-4.0"
    assert len(front["short_description"]) <= 60  # what the Hub takes


def test_the_folder_holds_app_package_and_model_and_no_leftovers(built, run_folder):
    names = {file.relative_to(built).as_posix() for file in built.rglob("*") if file.is_file()}
    assert {"app.py", "requirements.txt", "style.css", "LICENSE", "SHA256SUMS"} <= names
    assert {"tabs/classify.py", "views/verdict.py", "examples/mel.webp"} <= names
    assert {"hf_lesion/classifier.py", "hf_lesion/data/checksums.csv"} <= names
    assert {"models/tiny_cnn/model.safetensors", "models/tiny_cnn/SHA256SUMS"} <= names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    check_manifest(built)


def test_every_requirement_is_pinned(built):
    lines = (built / "requirements.txt").read_text().splitlines()
    named = [line for line in lines if line and not line.startswith(("#", "--"))]
    assert len(named) > 10
    assert [line for line in named if "==" not in line] == []


def test_the_requirements_name_what_the_app_imports(built):
    imported = find_imports(built / "app.py", [built])
    assert {"gradio", "torch", "transformers"} <= set(imported)
    sdk = f"gradio=={front_matter(built)['sdk_version']}"
    named = find_distributions([sdk, *read_requirements(built / "requirements.txt")])
    owners = metadata.packages_distributions()
    strange = {
        package: file.name
        for package, file in imported.items()
        if not {owner.lower() for owner in owners.get(package, [])} & set(named)
    }
    assert not strange


def test_models_on_the_hub_are_pinned_and_fetched_while_building(near, run_folder, tmp_path):
    commit = near.offer("me/a", run_folder)
    folder = tmp_path / "space"
    folder.mkdir()
    build_space_folder(SPACE, folder, models=["me/a"])
    assert (folder / "hub_models.txt").read_text() == f"me/a@{commit}\n"
    assert not (folder / "models").exists()
    front = front_matter(folder)
    assert front["models"] == ["me/a"]
    assert front["preload_from_hub"] == [f"me/a config.json,model.safetensors {commit}"]


def test_two_models_of_one_name_are_refused(run_folder, tmp_path):
    shutil.copytree(run_folder, tmp_path / "other" / "tiny_cnn")
    (tmp_path / "space").mkdir()
    with pytest.raises(InputError, match=r"Two of the models are named tiny_cnn\. Rename"):
        build_space_folder(
            SPACE,
            tmp_path / "space",
            models=[str(run_folder), str(tmp_path / "other" / "tiny_cnn")],
        )


def test_a_folder_without_a_model_or_an_app_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no app\.py\. Run this from a checkout"):
        build_space_folder(tmp_path, tmp_path, models=[])
    (tmp_path / "none").mkdir()
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"none holds no model\. Pack one with"):
        build_space_folder(SPACE, tmp_path / "out", models=[str(tmp_path / "none")])


def test_the_licence_of_the_weights_wins():
    assert complete_front_matter({"license": "apache-2.0"}, [])["license"] == "cc-by-nc-4.0"


class TestFetching:
    """What `--models` takes from the Hub."""

    @pytest.fixture(autouse=True)
    def _path(self, monkeypatch):
        monkeypatch.syspath_prepend(str(SPACE))

    def test_folders_and_hub_ids_go_together(self, near, run_folder):
        from sources import fetch_models

        first = near.offer("me/a", run_folder)
        folders, names, lines = fetch_models([str(run_folder), "me/a", f"me/a@{first}"])
        assert folders[0] == run_folder
        assert folders[1].name == folders[2].name == first
        assert set(names.values()) <= {"me/a", f"me/a@{first[:7]}"}
        assert f"me/a: commit {first}" in lines

    def test_what_cannot_be_had_is_left_out_with_a_line(self, near, run_folder):
        from sources import fetch_models

        folders, names, lines = fetch_models([str(run_folder), "me/none"])
        assert (folders, names) == ([run_folder], {})
        assert re.fullmatch(r"me/none was skipped: There is no model me/none on the .*", lines[0])

    def test_the_models_beside_the_app_stand_in_for_a_hub_that_is_gone(self, near):
        from sources import MODELS, fetch_models

        near.shutdown()
        near.server_close()
        folders, _names, lines = fetch_models(["me/a", "me/b@v1"])
        assert folders == [MODELS]
        assert [line.split(":")[0] for line in lines[:2]] == [
            "me/a was skipped",
            "me/b@v1 was skipped",
        ]
        assert lines[2].endswith("is available: serving those next to the app.")

    @pytest.mark.parametrize(
        ("source", "expected"),
        [("me/a", True), ("me/a@v1", True), ("./a", False), ("a", False), ("/x/y", False)],
    )
    def test_a_hub_id_is_known_by_its_form(self, source, expected):
        from sources import is_hub_id

        assert is_hub_id(source) is expected
