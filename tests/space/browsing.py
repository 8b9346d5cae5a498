"""Browser helpers: a visitor's actions, what the page shows, and faults in layout and access."""

import base64
import contextlib
import shutil

from axe_playwright_python.sync_playwright import Axe

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
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",  # nothing but this machine
)
TIMEOUT = 60_000
POLL = 50
# A picture's address, once the picture itself is there.
LOADED = "image => image.naturalWidth ? image.getAttribute('src') : null"
FADE = 400  # milliseconds
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1440, "height": 900}
TABLET = {"width": 820, "height": 1180}
# What each tab shows when it is there.
TABS = {
    "Compare": "#comparison .card",
    "Batch": "#start",
    "About": "#models-table table",
}
# Faults in what Gradio draws, by axe-core's ids and where: ours to list, not to mend. Its list of
# uploaded files lies inside a button that takes more of them.
GRADIOS_OWN = {("nested-interactive", 'button[aria-label="common.upload"]')}
# What may be wider than the page, for it scrolls by itself: tables, and the bar of tabs.
SCROLLS = ".wide, #tabs > .tab-wrapper"
# What we place stands in gradio's containers of HTML, and in controls that have an id of ours.
CUT_OFF = """(scrolls) => {
  const found = [];
  const say = (e, why) => found.push(`${why}: <${e.tagName.toLowerCase()} class="${e.className}"> `
    + e.textContent.trim().slice(0, 60));
  if (document.documentElement.scrollWidth > innerWidth) say(document.body, 'too wide');
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


@contextlib.contextmanager
def open_page(browser, url, *, query="", shows="#figure img.overlay"):
    """Open the page; no request may leave it for anywhere else, and no script may fail or complain.

    Args:
        browser: To open it in.
        url: Of the page.
        query: What follows the address, such as "?__theme=dark".
        shows: Selector of what the page opens with.
    """
    tab = browser.new_page(viewport=DESKTOP)
    tab.set_default_timeout(TIMEOUT)
    outside, failures = [], []
    own = (f"{url}/", "data:", "blob:")
    tab.on("request", lambda r: None if r.url.startswith(own) else outside.append(r.url))
    tab.on("pageerror", lambda error: failures.append(str(error)))
    tab.on("console", lambda said: failures.append(said.text) if said.type == "error" else None)
    tab.goto(f"{url}/{query}")
    tab.wait_for_selector(shows)
    yield tab
    tab.close()
    assert outside == []
    assert failures == []


def choose_example(tab, code):
    """Choose an example, another one first if it is shown already; return what is shown."""
    if tab.locator(f"#examples button[data-dx={code}][aria-pressed=true]").count():
        choose_example(tab, "akiec" if code != "akiec" else "bkl")
    old = read_result(tab)
    tab.click(f"#examples button[data-dx={code}]")
    return wait_for_result(tab, old)


def send(tab, file):
    """Upload a file with the button, as its file chooser does."""
    tab.set_input_files("#uploader input[type=file]", file)


def drop(tab, place, name, content, kind="image/png"):
    """Drop a file onto a part of the page."""
    data = tab.evaluate_handle(
        """([encoded, name, kind]) => {
          const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
          const data = new DataTransfer();
          data.items.add(new File([bytes], name, {type: kind}));
          return data;
        }""",
        [base64.b64encode(content).decode(), name, kind],
    )
    for event in ("dragenter", "dragover", "drop"):
        tab.dispatch_event(place, event, {"dataTransfer": data})


def wait_for_result(tab, old=None):
    """Wait until everything that the page shows differs from `old`; return what it shows."""
    for _ in range(TIMEOUT // POLL):
        shown = read_result(tab)
        if all(shown.values()) and all(shown[part] != was for part, was in (old or {}).items()):
            return shown
        tab.wait_for_timeout(POLL)
    raise AssertionError(f"nothing new: {tab.inner_text('#work')}")


def read_result(tab):
    bars = tab.locator("#bars button[data-dx]")
    overlay = tab.locator("#figure img.overlay")
    return {
        "bars": bars.evaluate_all("all => all.map(b => [b.dataset.dx, b.dataset.probability])"),
        "overlay": overlay.last.evaluate(LOADED) if overlay.count() else None,
    }


def read_bars(shown):
    """Return the probabilities that bars show, by diagnosis."""
    return {code: float(value) for code, value in shown["bars"]}


def open_tab(tab, name):
    """Open a tab by its name and wait for what it shows."""
    tab.get_by_role("tab", name=name, exact=True).click()
    tab.wait_for_selector(TABS.get(name, "#verdict:visible"))


def find_faults(tab):
    """Return what is cut off on one of three screens, and what axe-core finds in dark and light."""
    found = []
    for view in (PHONE, TABLET, DESKTOP):
        tab.set_viewport_size(view)
        tab.wait_for_timeout(POLL)
        found += tab.evaluate(CUT_OFF, SCROLLS)
    for is_dark in (True, False):
        tab.evaluate("dark => { document.body.classList.toggle('dark', dark); }", is_dark)
        # What is half faded in is too pale.
        tab.wait_for_function("() => !document.querySelector('.pending, .generating')")
        tab.wait_for_timeout(FADE)
        found += serious(tab)
    return found


def serious(tab):
    """Return what axe-core finds serious, but for Gradio's own; no rule is off."""
    return sorted(
        {
            (one["id"], " ".join(node["target"]))
            for one in Axe().run(tab).response["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        }
        - GRADIOS_OWN
    )
