"""The static Space: complete, self-contained, and in the words of the other page."""

import json
import re
import shutil
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="needs pip install -e '.[export]'")
pytest.importorskip("onnxruntime")

from hf_lesion.errors import InputError
from hf_lesion.hub import static
from hf_lesion.hub.browser import Difference
from hf_lesion.hub.checks import read_front_matter
from hf_lesion.io.checksums import check_manifest
from hf_lesion.labels import CODES, DIAGNOSES

SPACE = Path(__file__).resolve().parents[2] / "space"
SOURCE = SPACE / "static"


@pytest.fixture
def built(run_folder, tmp_path, monkeypatch):
    """The folder without its large parts: a runtime and a network that are only names."""

    def add_runtime(folder):
        folder.mkdir()
        (folder / "LICENSE").write_text("MIT")

    def export(classifier, file):
        file.write_bytes(b"onnx")
        return Difference(1, 0.001, 0.002, 0.003, 1.0, 1.0)

    monkeypatch.setattr(static, "add_runtime", add_runtime)
    monkeypatch.setattr(static, "export_for_browser", export)
    folder = tmp_path / "page"
    folder.mkdir()
    static.build_static_folder(SOURCE, folder, models=[str(run_folder)])
    return folder


def test_the_folder_is_complete_and_page_json_has_what_the_script_reads(
    built, run_folder, tmp_path
):
    names = {file.relative_to(built).as_posix() for file in built.rglob("*") if file.is_file()}
    assert {"index.html", "app.js", "sw.js", "style.css", "manifest.json", "page.json"} <= names
    assert {"models/tiny_cnn.onnx", "examples/mel.webp", "SHA256SUMS", "README.md"} <= names
    check_manifest(built)
    front = read_front_matter(built)
    assert (front["sdk"], front["license"]) == ("static", "cc-by-nc-4.0")
    assert len(front["short_description"]) <= 60
    assert re.search(r'"hf-lesion-[0-9a-f]{12}"', (built / "sw.js").read_text())
    page = json.loads((built / "page.json").read_text())
    assert [one["code"] for one in page["diagnoses"]] == list(CODES)
    assert len(page["colours"]) == 256 * 6
    (model,) = page["models"]
    assert (model["file"], model["size"], model["rounding"]) == ("models/tiny_cnn.onnx", 64, "down")
    assert model["drawn_only"] is True
    assert (model["gate"], model["points"], model["balanced_accuracy"]) == (None, {}, None)
    other = shutil.copytree(run_folder, tmp_path / "other" / "tiny_cnn")
    (tmp_path / "again").mkdir()
    models = [str(run_folder), str(other)]
    with pytest.raises(InputError, match=r"Two of the models are named tiny_cnn\. Rename"):
        static.build_static_folder(SOURCE, tmp_path / "again", models=models)


def test_the_page_loads_nothing_from_elsewhere():
    for file in SOURCE.iterdir():
        if file.suffix in (".js", ".css", ".html", ".json"):
            addresses = re.findall(r"https?://[^\s\"'<>]+", file.read_text())
            assert set(addresses) <= {"https://doi.org/10.7910/DVN/DBW86T"}, file.name
    policy = re.search(r'Security-Policy" content="([^"]+)"', (SOURCE / "index.html").read_text())
    assert "default-src 'none'" in policy[1]
    assert not re.search(r"unsafe-inline|'unsafe-eval'|https?:|data:", policy[1])


def test_the_words_are_those_of_the_other_page(monkeypatch):
    monkeypatch.syspath_prepend(str(SPACE))
    from tabs.classify import TILES
    from views import text, verdict

    html, script = (SOURCE / "index.html").read_text(), (SOURCE / "app.js").read_text()
    joined = re.sub(r'" \+\s+"', "", script)
    for said in (text.TITLE, text.LEDE, text.NOTICE, text.DRAWN_ONLY, verdict.BARS_TITLE):
        assert said in html
    tiles = re.findall(r'data-dx="(\w+)".*?<span>(.*?)</span>', html)
    assert tiles == [(code, text.TILES[code].replace("\xad", "&shy;")) for code in TILES]
    for said in (verdict.UNSURE_CHIP, "Melanoma flag raised", "No melanoma flag"):
        assert said in script
    assert verdict.NOT_LIKE_TRAINING.removesuffix("hidden.") in joined.replace("` +", "")
    names = {diagnosis.code: diagnosis.name for diagnosis in DIAGNOSES}
    changed = {code: short for code, short in text.SHORT.items() if short != names[code]}
    assert dict(re.findall(r'(\w+): "([^"]+)"', script.split("const SHORT")[1][:120])) == changed
