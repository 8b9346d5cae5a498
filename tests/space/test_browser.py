"""The page in a real browser: a visitor's way through it, and that it asks no one else."""

import os
import re
import shutil

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import sync_playwright

from hf_lesion.labels import CODES, NAMES, NOTICE

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TIMEOUT = 60_000
POLL = 100
FADE = 400  # milliseconds
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1440, "height": 900}
# What each tab shows when it is there.
TABS = {
    "Compare models": "#comparison .panel",
    "Batch": "#start",
    "Data": ".reading .charts:visible",
    "Models": ".reading h2.model:visible",
    "About": ".about:visible",
}
# Faults in what Gradio draws, by axe-core's ids and where: ours to list, not to mend. Its list of
# uploaded files lies inside a button that takes more of them.
GRADIOS_OWN = {("nested-interactive", 'button[aria-label="common.upload"]')}


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI has no chromium: .ci/run should have installed it")
        pytest.skip("no chromium here: apt-get install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def tab(browser, page_url):
    """Open the page; no request may leave it for anywhere else, and no script may fail."""
    tab = browser.new_page(viewport=DESKTOP)
    tab.set_default_timeout(TIMEOUT)
    outside, failures = [], []
    own = (f"{page_url}/", "data:", "blob:")
    tab.on("request", lambda r: None if r.url.startswith(own) else outside.append(r.url))
    tab.on("pageerror", lambda error: failures.append(str(error)))
    tab.goto(page_url)
    tab.wait_for_selector("#examples button")
    yield tab
    tab.close()
    assert outside == []
    assert failures == []


def choose_example(tab, code):
    tab.click(f"#examples button[data-dx={code}]")
    return wait_for_result(tab)


def clear_image(tab):
    tab.locator("#image").get_by_label(re.compile("clear|remove", re.IGNORECASE)).click()
    tab.wait_for_selector("#verdict .empty")


def wait_for_result(tab, old=None):
    """Wait until everything that the page shows differs from `old`; return what it shows."""
    for _ in range(TIMEOUT // POLL):
        shown = read_result(tab)
        if all(shown.values()) and all(shown[part] != was for part, was in (old or {}).items()):
            return shown
        tab.wait_for_timeout(POLL)
    raise AssertionError(f"nothing new: {shown}, {tab.inner_text('#work')}")


def read_result(tab):
    bars = tab.locator("#bars li")
    overlay = tab.locator("#overlay img")
    return {
        "bars": bars.evaluate_all("all => all.map(li => Object.values(li.dataset))"),
        "overlay": overlay.last.get_attribute("src") if overlay.count() else None,
    }


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


def open_tab(tab, name):
    """Open a tab by its name, from the bar or, on a phone, from the menu beside it."""
    button = tab.get_by_role("tab", name=name, exact=True)
    if button.is_visible():
        button.click()
        return
    tab.locator("#tabs .overflow-menu > button").click()
    menu = tab.locator("#tabs .overflow-dropdown")
    menu.get_by_role("button", name=name, exact=True).click()


def serious(tab):
    """Return what axe-core finds serious, as rule and place, but for Gradio's own: no rule is off.

    Waits for what fades in: half in sight, everything is too pale.
    """
    tab.wait_for_function("() => !document.querySelector('.pending, .generating')")
    tab.wait_for_timeout(FADE)
    found = Axe().run(tab).response["violations"]
    faults = {
        (one["id"], " ".join(node["target"]))
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    }
    return faults - GRADIOS_OWN


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_fault_in_what_we_place(tab, page_url, lesion, theme):
    tab.goto(f"{page_url}/?__theme={theme}")
    tab.wait_for_selector("#examples button")
    choose_example(tab, "mel")
    found = {"Classify": serious(tab)}
    for name, ready in TABS.items():
        open_tab(tab, name)
        tab.wait_for_selector(ready)
        if name == "Batch":
            tab.set_input_files("#files input[type=file]", lesion)
            tab.wait_for_selector("#files .file-preview")
            tab.click("#start")
            tab.wait_for_selector("#batch-summary")
        found[name] = serious(tab)
    assert {name: faults for name, faults in found.items() if faults} == {}


@pytest.mark.parametrize("width", [390, 820])
def test_every_tab_fits_and_shows_its_content(tab, page_url, width):
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(page_url)
    tab.wait_for_selector("#examples button")
    for name, ready in TABS.items():
        open_tab(tab, name)
        tab.wait_for_selector(ready)
        wide = tab.evaluate("""() => [...document.querySelectorAll('main *')]
            .filter((e) => !e.closest('.wide, pre, #tabs > .tab-wrapper'))
            .map((e) => e.getBoundingClientRect().right).reduce((a, b) => Math.max(a, b), 0)""")
        assert wide <= width + 1, name


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


def test_every_control_has_a_name_and_can_be_reached_by_keyboard(tab):
    choose_example(tab, "mel")
    reached = set()
    tab.locator("#examples button").first.focus()
    for _ in range(40):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("document.activeElement.closest('[id]')?.id ?? ''"))
    wanted = {"model", "target", "method", "opacity", "report", "check"}
    assert {name for name in wanted if not any(name in place for place in reached)} == set()
