"""The third tab: many images at once."""

import gradio as gr
import messages
from classify_tab import LIVE_REGION, build_selector
from handlers import Page
from intake import MAX_UPLOAD_BYTES, Uploads, build_files_input

HEIGHT = 200


def build(page: Page) -> gr.Component:
    """Build the tab and connect it; return the choice of the model."""
    with gr.Row(elem_id="batch-work"):
        with gr.Column(scale=5, min_width=300):
            files = build_files_input(
                label=f"Images, or zips of images, at most {MAX_UPLOAD_BYTES // 2**20} MB each",
                height=HEIGHT,
                elem_id="files",
            )
        with gr.Column(scale=5, min_width=300):
            model = build_selector(page, elem_id="batch-model")
            start = gr.Button("Classify all", variant="primary", elem_id="start")
    result = gr.HTML(messages.empty_batch(), html_template=LIVE_REGION, elem_id="batch-result")

    def run(files: Uploads, model: str, progress: gr.Progress = gr.Progress()) -> str:  # noqa: B008
        return page.classify_batch(files, model, progress)

    start.click(
        run,
        [files, model],
        result,
        api_visibility="private",
        show_progress="full",
        trigger_mode="once",
    )
    return model
