"""Every tab at a phone's, a tablet's and a desktop's width, light and dark: all of it in sight."""

import pytest
from space.browsing import TABS, choose_example, open_page, open_tab

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
# What may be wider than the page, for it scrolls by itself: tables, code, and the bar of tabs.
SCROLLS = ".wide, pre, #tabs > .tab-wrapper"
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
    const hides = style.overflowX !== 'visible' && !e.closest('.whole');
    if (hides && e.scrollWidth > e.clientWidth + 1) say(e, 'cut off');
    const card = e.parentElement.closest('.panel, .card, .note');
    if (card && box.right > card.getBoundingClientRect().right + 1) say(e, 'beyond its panel');
  }
  return found;
}"""
# Letters that lie over others, in the charts that we draw.
OVERLAPS = """() => [...document.querySelectorAll('svg.plot')].flatMap((plot) => {
  const boxes = [...plot.querySelectorAll('text')].map((e) => [e, e.getBoundingClientRect()])
    .filter(([, box]) => box.width);
  return boxes.flatMap(([a, p], i) => boxes.slice(i + 1)
    .filter(([, q]) => p.left < q.right - 1 && q.left < p.right - 1
      && p.top < q.bottom - 3 && q.top < p.bottom - 3)
    .map(([b]) => `${a.textContent} over ${b.textContent}`));
})"""


def check_look(tab, name):
    """Check what is in sight: nothing wider than the page, cut off, or over something else."""
    assert tab.evaluate("document.documentElement.scrollWidth") <= tab.viewport_size["width"], name
    assert tab.evaluate(CUT_OFF, SCROLLS) == [], name
    assert tab.evaluate(OVERLAPS) == [], name


@pytest.mark.parametrize(("width", "theme"), LOOKS)
def test_every_tab_fits_and_nothing_is_cut_off(browser, page_url, lesion, tmp_path, width, theme):
    (tmp_path / f"{'long_name' * 8}.jpg").write_text("words")
    view = {"width": width, "height": HEIGHT}
    with open_page(browser, page_url, query=f"?__theme={theme}", viewport=view) as tab:
        assert tab.evaluate("document.body.classList.contains('dark')") == (theme == "dark")
        check_look(tab, "start")
        choose_example(tab, "akiec")
        tab.click("#check")
        tab.wait_for_selector("#curve svg")
        tab.click("#report")
        tab.wait_for_selector("#report-links a")
        tab.click("#diagnoses button")
        tab.wait_for_selector("#diagnoses dt")
        check_look(tab, "Classify")
        for name, ready in TABS.items():
            open_tab(tab, name)
            tab.wait_for_selector(ready)
            if name == "Compare models":
                tab.wait_for_selector("#comparison .card")
            if name == "Batch":
                files = [lesion, tmp_path / f"{'long_name' * 8}.jpg"]
                tab.set_input_files("#files input[type=file]", files)
                tab.wait_for_selector("#files .file-preview")
                tab.click("#start")
                tab.wait_for_selector("#batch-summary")
            check_look(tab, name)


@pytest.mark.parametrize("width", [390, pytest.param(1440, marks=pytest.mark.slow)])
def test_a_message_and_the_gates_notice_fit(browser, strange_url, tmp_path, width):
    (tmp_path / f"{'long_name' * 8}.jpg").write_text("words")
    with open_page(browser, strange_url, viewport={"width": width, "height": HEIGHT}) as tab:
        tab.set_input_files("#image input[type=file]", tmp_path / f"{'long_name' * 8}.jpg")
        tab.wait_for_selector("#verdict .problem")
        check_look(tab, "problem")
        tab.click("#examples button[data-dx=nv]")
        tab.wait_for_selector("#anyway:visible")
        check_look(tab, "notice")
