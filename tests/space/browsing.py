"""A visitor's hands and eyes: what tests in a browser do on the page, and read off it."""

import contextlib
import re
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
    # A camera that shows a moving pattern, and no question whether it may be used.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
TIMEOUT = 60_000
POLL = 100
# A picture's address, once the picture itself is there.
LOADED = "image => image.naturalWidth ? image.getAttribute('src') : null"
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


@contextlib.contextmanager
def open_page(browser, url, *, query="", **options):
    """Open the page; no request may leave it for anywhere else, and no script may fail or complain.

    Args:
        browser: To open it in.
        url: Of the page.
        query: What follows the address, such as "?__theme=dark".
        options: Of the tab: viewport, permissions.
    """
    tab = browser.new_page(**{"viewport": DESKTOP, **options})
    tab.set_default_timeout(TIMEOUT)
    outside, failures = [], []
    own = (f"{url}/", "data:", "blob:")
    tab.on("request", lambda r: None if r.url.startswith(own) else outside.append(r.url))
    tab.on("pageerror", lambda error: failures.append(str(error)))
    tab.on("console", lambda said: failures.append(said.text) if said.type == "error" else None)
    tab.goto(f"{url}/{query}")
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
        "overlay": overlay.last.evaluate(LOADED) if overlay.count() else None,
    }


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
