"""Accessibility: axe-core in every state of the page, and keyboard operation."""

import pytest
from space.browsing import (
    PHONE,
    open_page,
    open_tab,
    read_result,
    send,
    serious,
    wait_for_result,
)

from hf_lesion.labels import CODES

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


def show_extras(tab):
    tab.click("#check")
    tab.wait_for_selector("#checked p")
    for accordion in ("#trust", "#settings"):
        tab.locator(f"{accordion} button").first.click()
    tab.wait_for_selector("#method")


def run_batch(tab, *files):
    open_tab(tab, "Batch")
    tab.set_input_files("#files input[type=file]", files)
    tab.wait_for_selector("#start:enabled")
    tab.click("#start")
    tab.wait_for_selector("#batch-summary")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_fault_in_any_state(browser, page_url, lesion, tmp_path, theme):
    words = tmp_path / "words.jpg"
    words.write_text("words")
    found = {}
    with open_page(browser, page_url, query=f"?__theme={theme}") as tab:
        found["start"] = serious(tab)
        show_extras(tab)
        found["checked"] = serious(tab)
        open_tab(tab, "Compare")
        found["compared"] = serious(tab)
        run_batch(tab, lesion, words)
        found["batch"] = serious(tab)
        open_tab(tab, "About")
        found["about"] = serious(tab)
        open_tab(tab, "Classify")
        send(tab, words)
        tab.wait_for_selector("#verdict .problem")
        found["problem"] = serious(tab)
    assert {name: faults for name, faults in found.items() if faults} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_fault_in_the_gates_notice(browser, strange_url, theme):
    tab = browser.new_page(viewport=PHONE)
    tab.goto(f"{strange_url}/?__theme={theme}")
    tab.wait_for_selector("#anyway:visible")
    hidden = serious(tab)
    tab.click("#anyway")
    wait_for_result(tab)
    assert (hidden, serious(tab)) == (set(), set())
    tab.close()


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
    show_extras(tab)
    places = {"Classify": lambda: None, "Compare": lambda: open_tab(tab, "Compare")}
    places["Batch"] = lambda: run_batch(tab, lesion)
    places["About"] = lambda: open_tab(tab, "About")
    for name, show in places.items():
        show()
        controls = names_of_controls(tab)
        assert len(controls) > 5
        assert [role for role, label in controls if not label] == [], name
        assert reach_all(tab) == [], name


def test_every_picture_has_a_text_that_says_class_and_score(tab):
    texts = tab.locator("#figure img").evaluate_all("all => all.map(i => i.alt)")
    assert len(texts) == 3
    label = tab.inner_text("#verdict h2").strip()
    name, _, score = label.rpartition(" ")
    assert all(name.strip() in text and score in text for text in texts)
    assert tab.get_attribute("#image img", "alt") == "The image to classify"


def test_a_visitor_without_a_mouse_gets_all_there_is(tab, lesion):
    press = tab.keyboard.press
    old = read_result(tab)
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
    predicted = tab.get_attribute("#verdict [data-label]", "data-label")
    other = next(code for code in CODES if code != predicted)
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
