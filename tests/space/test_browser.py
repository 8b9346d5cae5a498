"""The page in a real browser: a visitor's steps, its layout on three screens, and accessibility."""

import base64
import re

import pytest
from callbacks import FIRST, FOLDER
from PIL import Image
from space.browsing import (
    DESKTOP,
    PHONE,
    choose_example,
    drop,
    find_faults,
    open_page,
    open_tab,
    read_bars,
    read_result,
    send,
    wait_for_result,
)
from space.conftest import registry_of, rejecting, served

from hf_lesion.labels import CODES, NAMES
from hf_lesion.synthetic.examples import EXAMPLES
from space import zoo

pytestmark = pytest.mark.browser

PASTE = """(encoded) => {
  const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], 'image.png', {type: 'image/png'}));
  document.body.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true}));
}"""
KEPT = """async () => [
  (await indexedDB.databases()).map((database) => database.name),
  Object.entries(localStorage), Object.entries(sessionStorage), document.cookie]"""


@pytest.fixture(scope="module")
def opened(browser, page_url):
    """The page, opened once; at the end it must have asked no other server, and failed nowhere."""
    with open_page(browser, page_url) as tab:
        yield tab


@pytest.fixture
def tab(opened):
    """The page on a desktop, with the Classify tab in front and whatever it showed last."""
    opened.set_viewport_size(DESKTOP)
    open_tab(opened, "Classify")
    return opened


def check_bars(shown, classifier, image):
    """Check that the bars are a classifier's probabilities."""
    expected = classifier.predict([image])[0]
    assert [read_bars(shown)[code] for code in CODES] == pytest.approx(expected.tolist(), abs=1e-5)


def label_of(tab):
    return tab.get_attribute("#verdict [data-label]", "data-label")


def run_batch(tab, *files):
    open_tab(tab, "Batch")
    tab.set_input_files("#files input[type=file]", files)
    tab.wait_for_selector("#start:enabled")
    tab.click("#start")
    tab.wait_for_selector("#batch-summary")


def test_the_page_opens_with_a_classified_example(tab, classifiers):
    tab.reload()
    shown = wait_for_result(tab)
    check_bars(shown, classifiers["tiny_cnn"], Image.open(FOLDER / f"{FIRST}.webp"))
    code, probability = shown["bars"][0]
    assert f"{NAMES[code]} {100 * float(probability):.0f}%" in tab.inner_text("#verdict h2")
    assert "Example" in tab.inner_text("#verdict .badge")
    assert f"Regions that raised the score for {NAMES[code]}." in tab.inner_text("#figure")
    texts = tab.locator("#figure img").evaluate_all("all => all.map(i => i.alt)")
    assert len(texts) == 3
    assert all(NAMES[code] in text and f"{100 * float(probability):.0f}%" in text for text in texts)
    assert tab.locator("#examples button").count() == len(EXAMPLES) == 8
    assert tab.locator("#examples [aria-pressed=true]").get_attribute("data-dx") == FIRST


def test_a_bar_shows_its_map_and_the_next_image_its_own_class(tab):
    old = choose_example(tab, "nv")
    other = next(code for code in CODES if code != label_of(tab))
    tab.click(f"#bars button[data-dx={other}]")
    tab.wait_for_selector(f"#figure [data-target={other}]")
    assert wait_for_result(tab, {"overlay": old["overlay"]})["bars"] == old["bars"]
    assert tab.locator("#bars [aria-pressed=true]").get_attribute("data-dx") == other
    choose_example(tab, "df")
    assert tab.get_attribute("#figure figure", "data-target") == label_of(tab)


def test_the_switch_changes_what_is_seen_and_asks_the_server_nothing(tab):
    choose_example(tab, "nv")
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


def test_heatmap_and_report_are_saved_and_a_check_goes_with_its_heatmap(tab, tmp_path):
    choose_example(tab, "vasc")
    for button, part in (("#save-heatmap", "lesion_gradcam_"), ("#save-report", "lesion_report")):
        with tab.expect_download() as waiting:
            tab.click(button)
        assert waiting.value.suggested_filename.startswith(part)
        waiting.value.save_as(tmp_path / "saved")
    assert NAMES[label_of(tab)] in (tmp_path / "saved").read_text()
    tab.click("#check")
    tab.wait_for_selector("#checked p")
    assert "Hiding the bright regions" in tab.inner_text("#checked")
    choose_example(tab, "df")
    tab.wait_for_selector("#checked p", state="detached")


def test_an_image_is_taken_however_it_comes_and_the_browser_keeps_nothing(
    tab, classifiers, tmp_path
):
    content, upright = zoo.photo()
    (tmp_path / "photo.jpg").write_bytes(content)
    ways = {
        "dropped": (zoo.PLAIN, lambda: drop(tab, "#image", "second.png", zoo.PNG)),
        "pasted": (zoo.PLAIN, lambda: tab.evaluate(PASTE, base64.b64encode(zoo.PNG).decode())),
        "sideways": (upright, lambda: send(tab, tmp_path / "photo.jpg")),
    }
    for image, act in ways.values():
        old = choose_example(tab, "bkl")
        act()
        check_bars(wait_for_result(tab, old), classifiers["tiny_cnn"], image)
        assert tab.locator("#verdict .badge").count() == 0
        assert tab.locator("#examples [aria-pressed=true]").count() == 0
    for where in ("#image img", "#figure img.overlay"):
        picture = tab.locator(where).first
        picture.evaluate("image => image.decode()")  # waits until it is fetched
        width, height = picture.evaluate("image => [image.naturalWidth, image.naturalHeight]")
        assert width / height == pytest.approx(upright.width / upright.height, 0.01)
    assert tab.evaluate(KEPT) == [[], [], [], ""]


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("many.zip", zoo.zipped(), "many.zip is a zip file. Use the Batch tab for zips."),
        ("big.png", zoo.PNG + bytes(11 * 2**20), "big.png is larger than 10 MB."),
    ],
)
def test_a_bad_file_gets_its_own_sentence_instead_of_the_old_result(
    tab, tmp_path, name, content, part
):
    choose_example(tab, "vasc")
    (tmp_path / name).write_bytes(content)
    send(tab, tmp_path / name)
    tab.wait_for_selector("#verdict .problem")
    assert part in tab.inner_text("#verdict")
    assert not tab.locator("#details").is_visible()
    assert not tab.locator("#image img").is_visible()


def test_a_phone_shows_verdict_and_bars_without_scrolling(tab):
    choose_example(tab, "nv")
    tab.set_viewport_size(PHONE)
    tab.evaluate("scrollTo(0, 0)")
    assert not tab.locator("#image").is_visible()  # the heatmap stands in its place
    for part in ("#verdict h2", "#bars li:nth-child(3)"):
        box = tab.locator(part).bounding_box()
        assert box["y"] + box["height"] <= PHONE["height"], part
    assert not tab.locator("#bars li").nth(6).is_visible()
    tab.click("#bars .more")
    assert tab.locator("#bars li").nth(6).is_visible()


def test_a_batch_gives_a_table_and_the_reasons_and_forgets_them(tab, lesion, tmp_path):
    (tmp_path / "words.jpg").write_text("words")
    open_tab(tab, "Batch")
    assert tab.locator("#start").is_disabled()
    run_batch(tab, lesion, tmp_path / "words.jpg")
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


def test_a_visitor_without_a_mouse_gets_all_there_is(tab, lesion):
    press = tab.keyboard.press
    old = choose_example(tab, "nv")
    with tab.expect_file_chooser() as chooser:
        tab.locator("#upload").focus()
        press("Enter")
    chooser.value.set_files(lesion)
    new = wait_for_result(tab, old)
    tab.locator("#model input").focus()  # opens the list
    press("ArrowDown")
    press("Enter")
    new = wait_for_result(tab, new)
    assert tab.get_attribute("#verdict [data-model]", "data-model") == "tiny_resnet"
    other = next(code for code in CODES if code != label_of(tab))
    tab.locator(f"#bars button[data-dx={other}]").focus()
    press("Enter")
    new = wait_for_result(tab, {"overlay": new["overlay"]})
    assert tab.evaluate("document.activeElement.dataset.dx") == other
    tab.get_by_role("radio", name="Map", exact=True).focus()
    press("Space")
    tab.wait_for_selector("#figure img.map", state="visible")
    tab.locator("#check").focus()
    press("Enter")
    tab.wait_for_selector("#checked p")
    with tab.expect_download():
        tab.locator("#save-report").focus()
        press("Enter")
    tab.locator("#examples button[data-dx=df]").focus()
    press("Enter")
    wait_for_result(tab, new)
    tab.get_by_role("tab", name="Batch", exact=True).focus()
    press("Enter")
    tab.wait_for_selector("#start")


def show_states(tab, lesion, words):
    """Bring the page into one state after another; yield the name of each."""
    choose_example(tab, "nv")
    tab.click("#check")
    tab.wait_for_selector("#checked p")
    for accordion in ("#trust", "#settings"):
        tab.locator(f"{accordion} button").first.click()
    tab.wait_for_selector("#method")
    yield "Classify"
    open_tab(tab, "Compare")
    yield "Compare"
    run_batch(tab, lesion, words)
    yield "Batch"
    open_tab(tab, "About")
    yield "About"
    open_tab(tab, "Classify")
    send(tab, words)
    tab.wait_for_selector("#verdict .problem")
    yield "problem"


def test_every_state_fits_every_screen_and_is_open_to_everyone(tab, lesion, tmp_path):
    words = tmp_path / f"{'long_name' * 8}.jpg"
    words.write_text("words")
    faults = {name: find_faults(tab) for name in show_states(tab, lesion, words)}
    assert len(faults) == 5
    assert {name: found for name, found in faults.items() if found} == {}


def test_a_rejected_image_is_shown_on_request_only(browser, classifiers):
    from server import build_page

    with (
        served(build_page(registry_of(rejecting(classifiers)))) as url,
        open_page(browser, url, query="?__theme=dark", shows="#anyway:visible") as tab,
    ):
        assert tab.evaluate("document.body.classList.contains('dark')")
        assert "so its result is hidden" in tab.inner_text("#verdict")
        assert not tab.locator("#details").is_visible()
        faults = find_faults(tab)
        tab.click("#anyway")
        assert len(wait_for_result(tab)["bars"]) == len(CODES)
        assert (faults, find_faults(tab)) == ([], [])
        assert read_result(tab)["overlay"]
