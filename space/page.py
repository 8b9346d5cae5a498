"""The page: six tabs, and three API calls."""

from html import escape
from typing import Any

import about
import batch_tab
import classify_tab
import compare_tab
import data_tab
import gradio as gr
import messages
import models_tab
from calls import Calls
from guards import check_gradio
from handlers import Page
from intake import MAX_UPLOAD_BYTES
from refusals import HANDLERS, refuse_in_words
from shelf import Shelf
from theme import STYLE, build_theme

# Every 10 minutes, delete what is older than an hour.
DELETE_CACHE = (600, 3600)
# More than this many requests wait for their turn: the next one is told that the queue is full.
QUEUE_SIZE = 64
CONCURRENCY = 2
# What gradio keeps of so many visitors: of each, which models they could choose.
SESSIONS = 200


def build_page(
    shelf: Shelf, *, max_concurrency: int = CONCURRENCY, queue_size: int = QUEUE_SIZE
) -> gr.Blocks:
    """Build the page for these models.

    Args:
        shelf: At least one model, loaded or not.
        max_concurrency: How many requests are computed at once.
        queue_size: How many may wait.

    Raises:
        InputError: If gradio no longer works as the page relies on.
    """
    check_gradio()
    page = Page(shelf)
    drawn_only = all(entry.drawn_only for entry in shelf.entries.values())
    blocks = gr.Blocks(
        title=messages.TITLE, analytics_enabled=False, delete_cache=DELETE_CACHE, fill_width=False
    )
    with blocks:
        gr.HTML(messages.header(drawn_only))
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Classify", id="classify"):
                controls = classify_tab.build(page)
            with gr.Tab("Compare models", id="compare") as compare:
                compare_target = compare_tab.build(page, controls.image, compare)
            with gr.Tab("Batch", id="batch"):
                batch_model = batch_tab.build(page)
            with gr.Tab("Data", id="data") as data:
                _build_reading(data, lambda: data_tab.data(data_tab.read_summary()))
            with gr.Tab("Models", id="models") as models:
                _build_reading(models, lambda: _models(shelf))
            with gr.Tab("About", id="about"):
                gr.HTML(about.render())
        gr.HTML(messages.footer())
        selectors = [controls.model, batch_model]
        blocks.load(
            page.choose,
            selectors,
            selectors,
            api_visibility="private",
            queue=False,
            show_progress="hidden",
        )
        _build_api(Calls(shelf), controls, compare_target)
    refuse_in_words(blocks)
    blocks.queue(max_size=queue_size, default_concurrency_limit=max_concurrency)
    return blocks


def launch_options() -> dict[str, Any]:
    """Return what `launch` needs for this page: its looks, its limits, and nothing kept or sent."""
    return {
        "theme": build_theme(),
        "css_paths": STYLE,
        "footer_links": ["api"],
        "run_history": False,
        "enable_monitoring": False,
        "max_file_size": MAX_UPLOAD_BYTES,
        "state_session_capacity": SESSIONS,
        "show_error": False,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
        "app_kwargs": {"exception_handlers": HANDLERS},
    }


def _models(shelf: Shelf) -> str:
    """Return the models tab: which are not served and why, then what was measured of the others."""
    missing = "".join(
        f'<p class="note warning" role="note">{escape(line)}</p>' for line in shelf.left_out
    )
    return missing + models_tab.models([shelf.entries[name] for name in shelf.names()])


def _build_reading(tab: gr.Tab, content: Any) -> None:
    """Fill a tab to read when it is opened first: the page itself stays light."""
    shown = gr.HTML("", elem_classes="reading")
    options = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
    tab.select(content, None, shown, **options)


def _build_api(calls: Calls, controls: classify_tab.Controls, compare_target: gr.Dropdown) -> None:
    """Add the public calls; they hang on a button that no one sees."""
    hidden = gr.Button(visible=False)
    result = gr.JSON(visible=False, label="Classification")
    picture = gr.Image(visible=False, label="Heatmap over the image", format="png")
    image, model = controls.image, controls.model
    hidden.click(calls.classify, [image, model], result, api_name="classify")
    hidden.click(
        calls.explain,
        [image, model, controls.target, controls.method],
        [picture, result],
        api_name="explain",
    )
    hidden.click(calls.compare, [image, compare_target], result, api_name="compare")
