"""Layout: nothing is cut off at phone, tablet and desktop widths, in light and dark mode."""

import pytest
from space.browsing import TABS, open_page, open_tab, send

pytestmark = pytest.mark.browser

WIDTHS, THEMES, HEIGHT = (390, 820, 1440), ("light", "dark"), 900
# One look at each width and each theme; the rest of them by make test-all.
ALWAYS = {(390, "dark"), (820, "light"), (1440, "dark")}
LOOKS = [
    pytest.param(
        width,
        theme,
        marks=() if (width, theme) in ALWAYS else pytest.mark.slow,
        id=f"{width} {theme}",
    )
    for width in WIDTHS
    for theme in THEMES
]
# What may be wider than the page, for it scrolls by itself: tables, and the bar of tabs.
SCROLLS = ".wide, #tabs > .tab-wrapper"
# What we place stands in gradio's containers of HTML, and in controls that have an id of ours.
CUT_OFF = """(scrolls) => {
  const found = [];
  const say = (e, why) => found.push(`${why}: <${e.tagName.toLowerCase()} class="${e.className}"> `
    + e.textContent.trim().slice(0, 60));
  for (const e of document.querySelectorAll('main *')) {
    const box = e.getBoundingClientRect();
    if (!box.width || !box.height || e.closest('svg') && e.tagName !== 'svg') continue;
    const inScroller = e.closest(scrolls);
    if (!inScroller && (box.right > innerWidth + 1 || box.left < -1)) say(e, 'beyond the page');
    if (!e.closest('.html-container') || inScroller) continue;
    const style = getComputedStyle(e);
    if (style.overflowX !== 'visible' && e.scrollWidth > e.clientWidth + 1) say(e, 'cut off');
    const card = e.parentElement.closest('.panel, .card, .note');
    if (card && box.right > card.getBoundingClientRect().right + 1) say(e, 'beyond its panel');
  }
  return found;
}"""
# On a phone, what is pressed is at least 44 pixels high; links within a line of text are not.
SMALL = """() => [...document.querySelectorAll('main :is(button, a, summary, label:has(input))')]
  .filter((e) => e.checkVisibility({visibilityProperty: true}) && !e.closest('p, li > a, .prose p'))
  .map((e) => [e.textContent.trim().slice(0, 40), e.getBoundingClientRect()])
  .filter(([, box]) => box.width > 2 && box.height > 2 && box.height < 43.5)
  .map(([text, box]) => `${text}: ${Math.round(box.width)}x${Math.round(box.height)}`)"""
LEAST_TILE = (88, 66)


def check_look(tab, name):
    """Check what is in sight: nothing wider than the page or cut off."""
    assert tab.evaluate("document.documentElement.scrollWidth") <= tab.viewport_size["width"], name
    assert tab.evaluate(CUT_OFF, SCROLLS) == [], name


@pytest.mark.parametrize(("width", "theme"), LOOKS)
def test_every_tab_fits_and_nothing_is_cut_off(browser, page_url, lesion, tmp_path, width, theme):
    (tmp_path / f"{'long_name' * 8}.jpg").write_text("words")
    view = {"width": width, "height": HEIGHT}
    with open_page(browser, page_url, query=f"?__theme={theme}", viewport=view) as tab:
        assert tab.evaluate("document.body.classList.contains('dark')") == (theme == "dark")
        check_look(tab, "start")
        tiles = tab.locator("#examples img").evaluate_all(
            "all => all.map(i => [i.clientWidth, i.clientHeight])"
        )
        assert all(w >= LEAST_TILE[0] - 1 and h >= LEAST_TILE[1] - 1 for w, h in tiles), tiles
        tab.click("#check")
        tab.wait_for_selector("#checked p")
        for accordion in ("#trust", "#settings"):
            tab.locator(f"{accordion} button").first.click()
        tab.wait_for_selector("#method")
        check_look(tab, "Classify")
        if width == 390:
            assert tab.evaluate(SMALL) == []
        for name in TABS:
            open_tab(tab, name)
            if name == "Batch":
                files = [lesion, tmp_path / f"{'long_name' * 8}.jpg"]
                tab.set_input_files("#files input[type=file]", files)
                tab.wait_for_selector("#start:enabled")
                tab.click("#start")
                tab.wait_for_selector("#batch-summary")
            check_look(tab, name)


@pytest.mark.parametrize("width", [390, pytest.param(1440, marks=pytest.mark.slow)])
def test_a_message_and_the_gates_notice_fit(browser, strange_url, tmp_path, width):
    (tmp_path / f"{'long_name' * 8}.jpg").write_text("words")
    tab = browser.new_page(viewport={"width": width, "height": HEIGHT})
    tab.goto(strange_url)
    tab.wait_for_selector("#anyway:visible")
    check_look(tab, "notice")
    send(tab, tmp_path / f"{'long_name' * 8}.jpg")
    tab.wait_for_selector("#verdict .problem")
    check_look(tab, "problem")
    tab.close()
