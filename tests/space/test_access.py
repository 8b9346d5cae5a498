"""The page for who can't see it or uses no mouse: axe-core on every state, and the keyboard."""

import pytest
from space.browsing import (
    PHONE,
    TABS,
    choose_example,
    clear_image,
    open_page,
    open_tab,
    read_result,
    serious,
    wait_for_result,
)

from hf_lesion.labels import CODES, NAMES

pytestmark = pytest.mark.browser

MOST_STEPS = 150  # presses of Tab until the end of the page is reached
# Every control in sight gets a number; how many there are.
NUMBER = """() => {
  const all = [...document.querySelectorAll(
    'a[href], button, input, select, textarea, summary, [tabindex="0"], [role=slider]')];
  const sight = {visibilityProperty: true, opacityProperty: true};
  const usable = all.filter((e) => e.checkVisibility(sight)
    && e.getBoundingClientRect().width > 1 && !e.disabled && e.getAttribute('tabindex') !== '-1');
  document.querySelectorAll('[data-number]').forEach((e) => delete e.dataset.number);
  usable.forEach((e, number) => { e.dataset.number = number; });
  return usable.map((e) => e.outerHTML.slice(0, 120));
}"""

TO_THE_START = """() => {
  document.body.tabIndex = -1;
  document.body.focus();
  document.body.removeAttribute('tabindex');
}"""


def show_classified(tab):
    choose_example(tab, "mel")


def show_extras(tab):
    tab.click("#check")
    tab.wait_for_selector("#curve svg")
    tab.click("#report")
    tab.wait_for_selector("#report-links a")
    with tab.expect_download():
        tab.click("#report-links a[download$=html]")
    tab.click("#diagnoses button")
    tab.wait_for_selector("#diagnoses dt")


def show_comparison(tab):
    open_tab(tab, "Compare models")
    tab.wait_for_selector("#comparison .card")


def run_batch(tab, *files):
    open_tab(tab, "Batch")
    tab.set_input_files("#files input[type=file]", files)
    tab.wait_for_selector("#files .file-preview")
    tab.click("#start")
    tab.wait_for_selector("#batch-summary")


def show_problem(tab, file):
    open_tab(tab, "Classify")
    clear_image(tab)
    tab.set_input_files("#image input[type=file]", file)
    tab.wait_for_selector("#verdict .problem")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_fault_in_any_state(browser, page_url, lesion, tmp_path, theme):
    words = tmp_path / "words.jpg"
    words.write_text("words")
    found = {}
    with open_page(browser, page_url, query=f"?__theme={theme}") as tab:
        found["start"] = serious(tab)
        show_classified(tab)
        show_extras(tab)
        found["classified, tested, reported"] = serious(tab)
        show_comparison(tab)
        found["compared"] = serious(tab)
        run_batch(tab, lesion, words)
        found["batch"] = serious(tab)
        for name in ("Data", "Models", "About"):
            open_tab(tab, name)
            tab.wait_for_selector(TABS[name])
            found[name] = serious(tab)
        show_problem(tab, words)
        found["problem"] = serious(tab)
    assert {name: faults for name, faults in found.items() if faults} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_fault_in_the_gates_notice(browser, strange_url, theme):
    with open_page(browser, strange_url, query=f"?__theme={theme}", viewport=PHONE) as tab:
        tab.click("#examples button[data-dx=nv]")
        tab.wait_for_selector("#anyway:visible")
        assert "Not a dermoscopic image?" in tab.inner_text("#verdict")
        assert not tab.locator("#details").is_visible()
        hidden = serious(tab)
        tab.click("#anyway")
        wait_for_result(tab)
        assert (hidden, serious(tab)) == (set(), set())


def names_of_controls(tab):
    """Return role and name of everything that can have the focus, as a screen reader gets them."""
    session = tab.context.new_cdp_session(tab)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    found = []
    for node in nodes:
        properties = {one["name"]: one["value"].get("value") for one in node.get("properties", [])}
        role = node.get("role", {}).get("value")
        if properties.get("focusable") and not node["ignored"] and role != "RootWebArea":
            found.append((role, node.get("name", {}).get("value", "").strip()))
    return found


def reach_all(tab):
    """Press Tab from the page's start to its end; return the controls that were not reached."""
    controls = tab.evaluate(NUMBER)
    tab.evaluate(TO_THE_START)
    reached = set()
    for _ in range(MOST_STEPS):
        tab.keyboard.press("Tab")
        number = tab.evaluate("document.activeElement.dataset.number ?? null")
        if number is not None and int(number) in reached:
            break
        if number is not None:
            reached.add(int(number))
    return [control for number, control in enumerate(controls) if number not in reached]


def test_every_control_has_a_name_and_is_reached_by_tab(tab, lesion):
    choose_example(tab, "mel")
    show_extras(tab)
    places = {"Classify": lambda: None, "Compare models": lambda: show_comparison(tab)}
    places["Batch"] = lambda: run_batch(tab, lesion)
    for name in ("Data", "Models", "About"):
        places[name] = lambda name=name: (open_tab(tab, name), tab.wait_for_selector(TABS[name]))
    for name, show in places.items():
        show()
        controls = names_of_controls(tab)
        assert len(controls) > 5
        assert [role for role, label in controls if not label] == [], name
        assert reach_all(tab) == [], name


def test_a_visitor_without_a_mouse_gets_all_there_is(tab, lesion):
    press = tab.keyboard.press
    with tab.expect_file_chooser() as chooser:
        tab.locator("#image button", has_text="Drop an image").focus()
        press("Enter")
    chooser.value.set_files(lesion)
    old = wait_for_result(tab)
    # Gradio makes each radio button a group of its own: Tab goes to it, Space chooses it.
    tab.locator("#model input").nth(1).focus()
    press("Space")
    new = wait_for_result(tab, old)
    assert "tiny_resnet" in tab.inner_text("#verdict")
    predicted = tab.get_attribute("#verdict [data-label]", "data-label")
    steps = 2 + next(place for place, code in enumerate(CODES) if code != predicted)
    tab.locator("#target input").focus()  # opens the list
    for _ in range(steps):
        press("ArrowDown")
    press("Enter")
    new = wait_for_result(tab, {"overlay": new["overlay"]})
    assert f"for {NAMES[predicted]}." not in tab.inner_text("#caption")
    tab.locator("#opacity input[type=range]").focus()
    press("ArrowRight")
    wait_for_result(tab, {"overlay": new["overlay"]})
    for button, result in (("#check", "#curve svg"), ("#report", "#report-links a")):
        tab.locator(button).focus()
        press("Enter")
        tab.wait_for_selector(result)
    tab.get_by_role("tab", name="Batch", exact=True).focus()
    press("Enter")
    assert tab.locator("#start").is_visible()
    assert read_result(tab)["bars"]
