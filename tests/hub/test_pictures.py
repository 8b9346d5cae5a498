import base64
import io

import pytest
from PIL import Image, PngImagePlugin

from hf_lesion.errors import InputError
from hf_lesion.hub import checks
from hf_lesion.hub.checks import check_files
from hf_lesion.io.checksums import file_sha256
from hf_lesion.training.figures import plot_training_curves


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    plot_training_curves([{"epoch": 1, "loss": 0.5}], tmp_path / "curves.png")
    return tmp_path


def refused(folder, name, kind="model"):
    with pytest.raises(InputError, match=f"1 pictures are, or may be, images of HAM10000: {name}"):
        check_files(folder, kind)


def encoded(content):
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


@pytest.mark.parametrize("kind", ["model", "space"])
def test_a_chart_goes_along(folder, kind):
    check_files(folder, kind)


@pytest.mark.parametrize("name", ["ISIC_0024306.png", "ISIC_0024306_segmentation.png"])
@pytest.mark.parametrize("kind", ["model", "space"])
def test_a_picture_with_the_name_of_the_datasets_is_refused(folder, name, kind):
    (folder / "curves.png").rename(folder / name)
    refused(folder, name, kind)


def test_an_image_of_the_dataset_is_known_by_its_bytes(folder, monkeypatch):
    sums = {"ISIC_0024306": file_sha256(folder / "curves.png")}
    monkeypatch.setattr(checks, "read_checksums", lambda: sums)
    refused(folder, r"curves\.png")


def test_a_copy_of_an_image_is_refused_under_the_name_of_a_chart(folder):
    Image.new("RGB", (20, 20)).save(folder / "roc.png")
    refused(folder, r"roc\.png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photograph_is_refused_whatever_it_is_called(folder, kind):
    told = PngImagePlugin.PngInfo()
    told.add_text("Software", "Matplotlib version3")
    Image.new("RGB", (20, 20)).save(folder / "note", kind, pnginfo=told)
    (folder / "note").rename(folder / "notes.json")
    refused(folder, r"notes\.json")


def test_a_picture_inside_a_page_has_to_be_one_of_the_folders_charts(folder):
    page = folder / "report.html"
    page.write_text(f'<img src="{encoded((folder / "curves.png").read_bytes())}">')
    check_files(folder, "model")
    stream = io.BytesIO()
    Image.new("RGB", (20, 20)).save(stream, "PNG")
    page.write_text(f'{page.read_text()}<img src="{encoded(stream.getvalue())}">')
    refused(folder, r"one inside report\.html")
