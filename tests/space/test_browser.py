"""The page in a real browser, step by step, and without requests to other servers."""

import base64
import re

import numpy as np
import pytest
from PIL import Image
from space.browsing import (
    DESKTOP,
    PHONE,
    TABLET,
    choose_example,
    drop,
    open_page,
    open_tab,
    read_result,
    send,
    wait_for_result,
)

from hf_lesion.labels import CODES, NAMES
from hf_lesion.synthetic.examples import EXAMPLES
from space import zoo

pytestmark = pytest.mark.browser

MOST_EMPTY, MOST_WITH_RESULT = 60, 90
# Words to read in the first screen: what is in sight, but not the labels of controls.
WORDS = """() => {
  const controls = 'button, label, summary, input, [role=tab], [role=option], nav';
  const walker = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
  const words = [];
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    const box = parent.getBoundingClientRect();
    const inSight = parent.checkVisibility({visibilityProperty: true, opacityProperty: true})
      && box.width > 1 && box.top < innerHeight && box.bottom > 0;
    if (inSight && !parent.closest(controls)) {
      words.push(...(walker.currentNode.textContent.match(/[A-Za-z][A-Za-z'-]*/g) ?? []));
    }
  }
  return words;
}"""


def test_the_page_opens_with_a_classified_example(tab, classifiers):
    shown = read_result(tab)
    from callbacks import FIRST, FOLDER

    expected = classifiers["tiny_cnn"].predict([Image.open(FOLDER / f"{FIRST}.webp")])[0]
    values = {code: float(value) for code, value in shown["bars"]}
    assert [values[code] for code in CODES] == pytest.approx(expected.tolist(), abs=1e-5)
    top = CODES[expected.argmax()]
    assert f"{NAMES[top]} {100 * expected.max():.0f}%" in tab.inner_text("#verdict h2")
    assert "Example" in tab.inner_text("#verdict .badge")
    assert f"Regions that raised the score for {NAMES[top]}." in tab.inner_text("#figure")
    assert tab.locator("#examples button").count() == len(EXAMPLES) == 8
    assert tab.locator("#examples [aria-pressed=true]").get_attribute("data-dx") == FIRST


@pytest.mark.parametrize("view", [DESKTOP, PHONE])
def test_there_is_little_to_read(browser, page_url, tmp_path, view):
    with open_page(browser, page_url, viewport=view) as tab:
        words = tab.evaluate(WORDS)
        assert 30 < len(words) <= MOST_WITH_RESULT, words
        tab.evaluate("document.querySelector('#details').remove()")
        tab.evaluate(
            "document.querySelector('#verdict section').outerHTML = "
            '\'<section class="panel empty"><p>Upload a dermatoscope image, or try an example.'
            "</p></section>'"
        )
        words = tab.evaluate(WORDS)
        assert 20 < len(words) <= MOST_EMPTY, words


def test_another_model_gives_other_bars_and_another_heatmap(tab):
    old = choose_example(tab, "bcc")
    tab.click("#model input")
    tab.get_by_role("option", name="tiny_resnet").click()
    wait_for_result(tab, old)
    assert tab.get_attribute("#verdict [data-model]", "data-model") == "tiny_resnet"


def test_a_bar_shows_its_map_and_the_next_image_its_own_class(tab):
    old = choose_example(tab, "nv")
    predicted = tab.get_attribute("#verdict [data-label]", "data-label")
    other = next(code for code in CODES if code != predicted)
    tab.click(f"#bars button[data-dx={other}]")
    tab.wait_for_selector(f"#figure [data-target={other}]")
    new = wait_for_result(tab, {"overlay": old["overlay"]})
    assert new["bars"] == old["bars"]
    pressed = tab.locator("#bars [aria-pressed=true]")
    assert pressed.get_attribute("data-dx") == other
    choose_example(tab, "df")
    label = tab.get_attribute("#verdict [data-label]", "data-label")
    assert tab.get_attribute("#figure figure", "data-target") == label


def test_the_switch_changes_what_is_seen_and_asks_the_server_nothing(tab):
    asked = []
    tab.on("request", lambda request: asked.append(request.url))
    for view, kind in (("Map", "map"), ("Image", "image"), ("Overlay", "overlay")):
        tab.get_by_role("radio", name=view, exact=True).check(force=True)
        tab.wait_for_selector(f"#figure img.{kind}", state="visible")
        seen = tab.locator("#figure img").evaluate_all(
            "all => all.filter(i => getComputedStyle(i).visibility === 'visible')"
            ".map(i => [i.className, i.naturalWidth])"
        )
        assert seen == [[kind, 768]]
    assert [url for url in asked if not url.startswith("data:")] == []


def test_a_saved_heatmap_and_report_are_one_press(tab, tmp_path):
    label = tab.get_attribute("#verdict [data-label]", "data-label")
    for button, part in (("#save-heatmap", "lesion_gradcam_"), ("#save-report", "lesion_report")):
        with tab.expect_download() as waiting:
            tab.click(button)
        assert waiting.value.suggested_filename.startswith(part)
        waiting.value.save_as(tmp_path / "saved")
    assert NAMES[label] in (tmp_path / "saved").read_text()


def test_a_heatmap_is_checked_on_request_and_its_check_goes_with_it(tab):
    tab.click("#check")
    tab.wait_for_selector("#checked p")
    assert "Hiding the bright regions" in tab.inner_text("#checked")
    choose_example(tab, "df")
    tab.wait_for_selector("#checked p", state="detached")


def test_a_second_file_dropped_on_the_picture_replaces_it(tab, classifiers):
    first = read_result(tab)
    drop(tab, "#image", "second.png", zoo.PNG)
    second = wait_for_result(tab, first)
    expected = classifiers["tiny_cnn"].predict([zoo.PLAIN])[0]
    values = {code: float(value) for code, value in second["bars"]}
    assert [values[code] for code in CODES] == pytest.approx(expected.tolist(), abs=1e-5)
    assert tab.locator("#verdict .badge").count() == 0
    assert tab.locator("#examples [aria-pressed=true]").count() == 0


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("notes.txt", b"These are words.", "notes.txt isn't an image, or is damaged. Use JPEG"),
        ("many.zip", zoo.zipped(), "many.zip is a zip file. Use the Batch tab for zips."),
        ("photo.heic", zoo.HEIC, "photo.heic is a HEIC photo or a video. Save it as JPEG"),
        ("big.png", zoo.PNG + bytes(11 * 2**20), "big.png is larger than 10 MB."),
    ],
)
def test_a_bad_file_gets_its_own_sentence_in_the_panel(tab, tmp_path, name, content, part):
    (tmp_path / name).write_bytes(content)
    send(tab, tmp_path / name)
    tab.wait_for_selector("#verdict .problem")
    assert part in tab.inner_text("#verdict")
    assert not tab.locator("#details").is_visible()
    assert not tab.locator("#image img").is_visible()


def test_a_rejected_image_is_shown_on_request_only(browser, strange_url):
    tab = browser.new_page(viewport=DESKTOP)
    tab.goto(strange_url)
    tab.wait_for_selector("#anyway:visible")
    assert "so its result is hidden" in tab.inner_text("#verdict")
    assert not tab.locator("#details").is_visible()
    tab.click("#anyway")
    assert len(wait_for_result(tab)["bars"]) == len(CODES)
    tab.close()


def test_a_phone_shows_verdict_and_bars_without_scrolling(browser, page_url):
    with open_page(browser, page_url, viewport=PHONE) as tab:
        choose_example(tab, "nv")
        tab.evaluate("scrollTo(0, 0)")
        assert not tab.locator("#image").is_visible()  # the heatmap stands in its place
        for part in ("#verdict h2", "#bars li:nth-child(3)"):
            box = tab.locator(part).bounding_box()
            assert box["y"] + box["height"] <= PHONE["height"], part
        assert not tab.locator("#bars li").nth(6).is_visible()
        tab.click("#bars .more")
        assert tab.locator("#bars li").nth(6).is_visible()


def test_a_tablet_has_two_columns(browser, page_url):
    with open_page(browser, page_url, viewport=TABLET) as tab:
        where, verdict = (tab.locator(part).bounding_box() for part in ("#where", "#verdict"))
        assert verdict["x"] >= where["x"] + where["width"]
        assert abs(verdict["y"] - where["y"]) < 20


def test_models_are_compared_side_by_side(tab, classifiers):
    open_tab(tab, "Compare")
    names = tab.locator("#comparison .card[data-model]").evaluate_all(
        "all => all.map(c => c.dataset.model)"
    )
    assert names == list(classifiers)
    assert "Agreement of the heatmaps" in tab.inner_text("#comparison")


def test_a_batch_gives_a_table_and_the_reasons_and_forgets_them(tab, lesion, tmp_path):
    (tmp_path / "words.jpg").write_text("words")
    open_tab(tab, "Batch")
    assert tab.locator("#start").is_disabled()
    tab.set_input_files("#files input[type=file]", [lesion, tmp_path / "words.jpg"])
    tab.wait_for_function("document.querySelector('#batch-result').innerText.includes('2 images')")
    tab.click("#start")
    tab.wait_for_selector("#batch-summary")
    assert "1 of 2 images classified" in tab.inner_text("#batch-summary")
    assert "words.jpg isn't an image" in tab.inner_text("#batch-failures")
    with tab.expect_download() as waiting:
        tab.click("#batch-summary a.download")
    waiting.value.save_as(tmp_path / "out.csv")
    header, row = (tmp_path / "out.csv").read_text().splitlines()
    assert header == "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC,gate"
    assert re.fullmatch(r"lesion(,[\d.]+){7},\w+", row)
    tab.locator("#files").get_by_label("Clear", exact=False).first.click()
    tab.wait_for_selector("#batch-summary", state="detached")
    tab.wait_for_selector("#start:disabled")


def test_about_gives_the_address_that_the_visitor_sees(tab, page_url):
    tab.get_by_role("button", name="Model card").click()
    tab.wait_for_selector("#models-table table")
    tab.wait_for_function(
        f"document.querySelector('#snippet').innerText.includes('Client(\"{page_url}/\")')"
    )


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
    old = read_result(tab)
    send(tab, tmp_path / "photo.jpg")
    values = {code: float(value) for code, value in wait_for_result(tab, old)["bars"]}
    expected = classifiers["tiny_cnn"].predict([upright])[0]
    assert [values[code] for code in CODES] == pytest.approx(expected.tolist(), abs=1e-5)
    assert picture_of(tab, "#image img") == upright.size
    width, height = picture_of(tab, "#figure img.overlay")
    assert width / height == pytest.approx(upright.width / upright.height, 0.01)


def test_a_sixteen_bit_upload_is_read_safely(tab, tmp_path):
    grey = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray((grey // 257).astype(np.uint8)).save(tmp_path / "same.png")
    values = []
    for name, before in (("grey.png", "bkl"), ("same.png", "vasc")):
        old = choose_example(tab, before)
        send(tab, tmp_path / name)
        shown = wait_for_result(tab, old)
        values.append({code: float(value) for code, value in shown["bars"]})
    assert values[0] == pytest.approx(values[1], abs=1e-2)


PASTE = """(encoded) => {
  const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], 'image.png', {type: 'image/png'}));
  document.body.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true}));
}"""
KEPT = """async () => [
  (await indexedDB.databases()).map((database) => database.name),
  Object.entries(localStorage), Object.entries(sessionStorage), document.cookie]"""


def test_a_pasted_image_is_classified_and_the_browser_keeps_nothing(tab, classifiers):
    old = read_result(tab)
    tab.evaluate(PASTE, base64.b64encode(zoo.PNG).decode())
    values = {code: float(value) for code, value in wait_for_result(tab, old)["bars"]}
    expected = classifiers["tiny_cnn"].predict([zoo.PLAIN])[0]
    assert [values[code] for code in CODES] == pytest.approx(expected.tolist(), abs=1e-5)
    assert tab.evaluate(KEPT) == [[], [], [], ""]
