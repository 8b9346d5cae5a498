"""Batch tab: many images at once."""

import gradio as gr
from callbacks import NO_FILES, Page
from tabs.classify import LIVE_REGION, build_selector
from uploads import Uploads, build_files_input
from views import text

HEIGHT = 200


def build(page: Page, blocks: gr.Blocks) -> None:
    """Build the tab and connect its events."""
    with gr.Row(elem_id="batch-work"):
        with gr.Column(scale=5, min_width=300):
            files = build_files_input(label="Images or zips", height=HEIGHT, elem_id="files")
            gr.HTML(f'<p class="hint">{text.BATCH_HINT}</p>')
        with gr.Column(scale=5, min_width=300):
            model = build_selector(page, elem_id="batch-model")
            start = gr.Button("Classify all", variant="primary", interactive=False, elem_id="start")
    result = gr.HTML(text.empty(NO_FILES), html_template=LIVE_REGION, elem_id="batch-result")

    def run(files: Uploads, model: str, progress: gr.Progress = gr.Progress()) -> str:  # noqa: B008
        return page.classify_batch(files, model, progress)

    quiet = {"api_visibility": "private", "show_progress": "hidden"}
    files.change(page.list_batch, files, [start, result], queue=False, **quiet)
    # Clears one model's results when another is selected. Not on input, which also fires when a
    # dropdown loses focus.
    model.change(page.list_batch, files, [start, result], queue=False, **quiet)
    start.click(
        run,
        [files, model],
        result,
        api_visibility="private",
        show_progress="full",
        trigger_mode="once",
    )
    blocks.load(page.update_models, model, model, queue=False, **quiet)
