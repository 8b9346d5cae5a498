"""The page in a real browser: a visitor's way through it, and that it asks no one else."""

import base64

import numpy as np
import pytest
from PIL import Image
from space.browsing import (
    DESKTOP,
    PHONE,
    choose_example,
    clear_image,
    open_page,
    open_tab,
    wait_for_result,
)

from hf_lesion.labels import CODES, NAMES, NOTICE
from space import zoo

pytestmark = pytest.mark.browser


def test_an_example_gives_bars_and_a_heatmap_that_agree_with_predict(tab, classifiers, tmp_path):
    from gallery import draw_examples

    shown = choose_example(tab, "mel")
    assert {code for code, _ in shown["bars"]} == set(CODES)
    image = Image.open(draw_examples(tmp_path)["mel"])
    expected = classifiers["tiny_cnn"].predict([image])[0]
    values = {code: float(value) for code, value in shown["bars"]}
    assert [values[code] for code in CODES] == pytest.approx(expected.tolist(), abs=1e-5)
    top = CODES[expected.argmax()]
    assert NAMES[top] in tab.inner_text("#verdict h2")
    assert f"Grad-CAM for {NAMES[top]}." in tab.inner_text("#caption")
    assert tab.locator("#overlay img").last.evaluate("image => image.naturalWidth") > 0


def test_another_model_gives_other_bars_and_another_heatmap(tab):
    old = choose_example(tab, "bcc")
    tab.locator("#model label", has_text="tiny_resnet").click()
    wait_for_result(tab, old)
    assert "by the model tiny_resnet" in tab.inner_text("#verdict")


def test_another_class_gives_another_heatmap_and_the_same_bars(tab):
    old = choose_example(tab, "nv")
    predicted = tab.get_attribute("#verdict [data-label]", "data-label")
    other = next(code for code in CODES if code != predicted)
    tab.click("#target input")
    tab.get_by_role("option", name=NAMES[other]).click()
    tab.wait_for_selector(f"#caption [data-target={other}]")
    new = wait_for_result(tab, {"overlay": old["overlay"]})
    assert new["bars"] == old["bars"]
    assert f"Grad-CAM for {NAMES[other]}." in tab.inner_text("#caption")


@pytest.mark.parametrize("first", ["upload", "example"])
def test_a_sixteen_bit_upload_is_read_safely_after_whatever_came_before(tab, tmp_path, first):
    if first == "example":
        choose_example(tab, "bkl")
        clear_image(tab)
    grey = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray((grey // 257).astype(np.uint8)).save(tmp_path / "same.png")
    tab.set_input_files("#image input[type=file]", tmp_path / "grey.png")
    sixteen = wait_for_result(tab)
    clear_image(tab)
    tab.set_input_files("#image input[type=file]", tmp_path / "same.png")
    eight = wait_for_result(tab)
    values = [dict(shown["bars"]) for shown in (sixteen, eight)]
    for code in CODES:
        assert float(values[0][code]) == pytest.approx(float(values[1][code]), abs=1e-2)


def test_a_bad_file_replaces_the_old_result_by_a_plain_message(tab, tmp_path):
    choose_example(tab, "df")
    words = tmp_path / "words.jpg"
    words.write_text("These are words, not pixels.")
    clear_image(tab)
    tab.set_input_files("#image input[type=file]", words)
    tab.wait_for_selector("#verdict .problem")
    assert "words.jpg can't be read as an image" in tab.inner_text("#verdict")
    assert not tab.locator("#details").is_visible()


def test_the_notice_is_in_sight_at_once_and_the_diagnoses_can_be_read(tab):
    assert tab.inner_text("#notice") == NOTICE
    assert tab.locator("#notice").bounding_box()["y"] < DESKTOP["height"] / 2
    tab.locator("#diagnoses button").click()
    tab.wait_for_selector("#diagnoses dt")  # the accordion fills once it is opened
    assert tab.locator("#diagnoses dt").count() == len(CODES)
    assert tab.locator("#diagnoses .tag.malignant").count() == 3
    assert tab.locator("#diagnoses dt").first.is_visible()


def test_examples_can_be_chosen_with_the_keyboard(tab):
    tab.locator("#examples button").first.focus()
    tab.keyboard.press("Enter")
    assert wait_for_result(tab)["bars"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_all_without_scrolling_sideways(tab, page_url, theme):
    tab.set_viewport_size(PHONE)
    tab.goto(f"{page_url}/?__theme={theme}")
    tab.wait_for_selector("#examples button")
    choose_example(tab, "akiec")
    width = tab.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"]
    image, verdict = (tab.locator(part).bounding_box() for part in ("#image", "#verdict"))
    assert verdict["y"] >= image["y"] + image["height"]
    assert tab.evaluate("document.body.classList.contains('dark')") == (theme == "dark")


def test_a_desktop_shows_the_result_beside_the_image(tab):
    choose_example(tab, "vasc")
    image, verdict = (tab.locator(part).bounding_box() for part in ("#image", "#verdict"))
    assert verdict["x"] >= image["x"] + image["width"]
    assert abs(verdict["y"] - image["y"]) < 5


def test_models_are_compared_side_by_side(tab, classifiers):
    choose_example(tab, "bcc")
    open_tab(tab, "Compare models")
    tab.wait_for_selector("#comparison .card")
    names = tab.locator("#comparison .card").evaluate_all("all => all.map(c => c.dataset.model)")
    assert names == list(classifiers)
    assert "Do the heat maps agree?" in tab.inner_text("#comparison")


def test_a_report_can_be_downloaded(tab, tmp_path):
    choose_example(tab, "nv")
    tab.click("#report")
    for kind in ("html", "png"):
        with tab.expect_download() as waiting:
            tab.click(f"#report-links a[download$={kind}]")
        waiting.value.save_as(tmp_path / f"report.{kind}")
    assert "Melanocytic nevus" in (tmp_path / "report.html").read_text()
    assert Image.open(tmp_path / "report.png").width > 800


def test_a_heatmap_is_tested_on_request_and_its_test_goes_with_it(tab):
    choose_example(tab, "vasc")
    tab.click("#check")
    tab.wait_for_selector("#curve svg")
    choose_example(tab, "df")
    tab.wait_for_selector("#curve svg", state="detached")


def test_a_batch_gives_a_table_and_the_reasons(tab, lesion, tmp_path):
    (tmp_path / "words.jpg").write_text("words")
    open_tab(tab, "Batch")
    tab.set_input_files("#files input[type=file]", [lesion, tmp_path / "words.jpg"])
    tab.wait_for_selector("#files .file-preview")
    tab.click("#start")
    tab.wait_for_selector("#batch-summary")
    assert "1 of 2 images classified" in tab.inner_text("#batch-summary")
    assert "words.jpg can't be read as an image" in tab.inner_text("#batch-failures")
    with tab.expect_download() as waiting:
        tab.click("#batch-summary a.download")
    waiting.value.save_as(tmp_path / "out.csv")
    header, row = (tmp_path / "out.csv").read_text().splitlines()
    assert header == "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"
    assert row.startswith("lesion,")


def picture_of(tab, where):
    """Return width and height of a picture as the visitor sees it, turned as its file says."""
    picture = tab.locator(where).first
    picture.evaluate("image => image.decode()")  # waits until it is fetched
    return tuple(picture.evaluate("image => [image.naturalWidth, image.naturalHeight]"))


@pytest.mark.parametrize("orientation", [6, pytest.param(8, marks=pytest.mark.slow)])
def test_a_photo_taken_sideways_is_shown_and_classified_upright(
    tab, classifiers, tmp_path, orientation
):
    content, upright = zoo.photo(orientation)
    (tmp_path / "photo.jpg").write_bytes(content)
    assert Image.open(tmp_path / "photo.jpg").size == upright.size[::-1]
    tab.set_input_files("#image input[type=file]", tmp_path / "photo.jpg")
    values = {code: float(value) for code, value in wait_for_result(tab)["bars"]}
    expected = classifiers["tiny_cnn"].predict([upright])[0]
    assert [values[code] for code in CODES] == pytest.approx(expected.tolist(), abs=1e-5)
    assert picture_of(tab, "#image img") == upright.size
    assert picture_of(tab, "#overlay img") == upright.size


COPY = """async (encoded) => {
  const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  const blob = new Blob([bytes], {type: 'image/png'});
  await navigator.clipboard.write([new ClipboardItem({'image/png': blob})]);
}"""
KEPT = """async () => [
  (await indexedDB.databases()).map((database) => database.name),
  Object.entries(localStorage), Object.entries(sessionStorage), document.cookie]"""


def test_an_image_from_the_clipboard_is_classified_and_the_browser_keeps_nothing(
    browser, page_url, classifiers
):
    permissions = ["clipboard-read", "clipboard-write"]
    with open_page(browser, page_url, permissions=permissions) as tab:
        tab.evaluate(COPY, base64.b64encode(zoo.PNG).decode())
        tab.locator("#image").get_by_label("Paste from clipboard").click()
        values = {code: float(value) for code, value in wait_for_result(tab)["bars"]}
        kept = tab.evaluate(KEPT)
    expected = classifiers["tiny_cnn"].predict([zoo.PLAIN])[0]
    assert [values[code] for code in CODES] == pytest.approx(expected.tolist(), abs=1e-5)
    assert kept == [[], [], [], ""]


@pytest.mark.slow
def test_an_image_from_the_camera_is_classified(browser, page_url):
    with open_page(browser, page_url, permissions=["camera"]) as tab:
        tab.locator("#image").get_by_label("Capture from camera").click()
        tab.get_by_role("button", name="Click to Access Webcam").click()
        tab.wait_for_function("document.querySelector('#image video')?.videoWidth > 0")
        tab.locator("#image").get_by_label("capture photo").click()
        assert len(wait_for_result(tab)["bars"]) == len(CODES)
