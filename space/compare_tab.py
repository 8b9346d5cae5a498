"""The second tab: one image, all models side by side."""

import gradio as gr
import messages
from answers import PREDICTED
from classify_tab import CLASS_CHOICES, LIVE_REGION, build_strip
from handlers import Page
from intake import take_as_sent

HINT = "The image is the one of the tab Classify."


def build(page: Page, image: gr.Image, tab: gr.Tab) -> gr.Dropdown:
    """Build the tab and connect it; return the choice of the class.

    Args:
        page: Whose models are compared.
        image: The image of the first tab.
        tab: This one: opening it compares.
    """
    with gr.Row(elem_id="compare-work"):
        with gr.Column(scale=5, min_width=300):
            gr.HTML(f'<p class="hint">{HINT}</p>')
            strip = build_strip(page, elem_id="compare-examples")
        with gr.Column(scale=8, min_width=300):
            target = gr.Dropdown(
                choices=CLASS_CHOICES,
                value=PREDICTED,
                label="Class to explain in every model",
                filterable=False,
                elem_id="compare-target",
            )
    take_as_sent(target)
    result = gr.HTML(messages.empty_comparison(), html_template=LIVE_REGION, elem_id="comparison")
    picked = strip.click(page.pick, None, image, api_visibility="private", show_progress="hidden")
    options = {
        "fn": page.compare_models,
        "inputs": [image, target],
        "outputs": result,
        "api_visibility": "private",
        "show_progress": "minimal",
    }
    gr.on([tab.select, target.change], **options, trigger_mode="always_last")
    picked.then(**options)
    return target
