"""Compare tab: one image, all models side by side."""

import gradio as gr
from callbacks import EMPTY, Page
from tabs.classify import LIVE_REGION, build_target
from views import text

HINT = "Uses the image from the Classify tab."


def build(page: Page, image: gr.Image, tab: gr.Tab) -> gr.Dropdown:
    """Build the tab, connect its events, and return the selector of the class.

    Opening the tab starts the comparison of the Classify tab's image.
    """
    with gr.Row(elem_id="compare-work"):
        gr.HTML(f'<p class="hint">{HINT}</p>', min_height=0)
        target = build_target(elem_id="compare-target")
    result = gr.HTML(text.empty(EMPTY), html_template=LIVE_REGION, elem_id="comparison")
    gr.on(
        [tab.select, target.change],
        page.compare_models,
        [image, target],
        result,
        api_visibility="private",
        show_progress="minimal",
        trigger_mode="always_last",
    )
    return target
