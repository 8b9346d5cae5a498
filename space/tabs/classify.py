"""Classify tab: verdict, probabilities and heatmap of one image."""

from typing import NamedTuple

import gradio as gr
from callbacks import EMPTY, FIRST, Page
from predictions import COLOUR_MAPS, COLOURS, METHOD
from uploads import MAX_FILE_BYTES, build_image_input, pass_unchecked
from views import text
from views.markup import picture_url

from hf_lesion.explain.names import METHOD_NAMES, PREDICTED, RUNNER_UP
from hf_lesion.io.decoding import load_image
from hf_lesion.labels import CODES, NAMES

LIVE_REGION = '<div aria-live="polite">${value}</div>'
# Melanoma first, since the page opens with it.
TILES = ("mel", "nv", "bcc", "bkl", "df", "vasc", "akiec", "none")
TILE_PIXELS = 240
PRESS_TILE = """
element.addEventListener('click', (event) => {
  const tile = event.target.closest('button[data-dx]');
  if (!tile) return;
  const tiles = document.querySelectorAll('.tiles button');
  tiles.forEach((one) => one.setAttribute('aria-pressed', one.dataset.dx === tile.dataset.dx));
  trigger('click', {dx: tile.dataset.dx});
});
"""
PRESS_BAR = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  if (!button.dataset.dx) {
    button.closest('.bars').classList.add('all');
    return;
  }
  element.querySelectorAll('button[data-dx]')
    .forEach((one) => one.setAttribute('aria-pressed', one === button));
  trigger('click', {dx: button.dataset.dx});
});
"""
# Dropped and pasted files are passed to the upload button, since gr.Image accepts no second file.
TAKE_FILES = """
const input = () => document.querySelector('#uploader input[type=file]');
const isHere = () => document.querySelector('#work')?.offsetParent != null;
const isTooLarge = (file) => {
  if (file.size > LIMIT) trigger('submit', {name: file.name});
  return file.size > LIMIT;
};
const take = (event, files) => {
  if (!isHere() || !files?.length) return;
  event.preventDefault();
  event.stopPropagation();
  if (isTooLarge(files[0])) return;
  const one = new DataTransfer();
  one.items.add(files[0]);
  input().files = one.files;
  input().dispatchEvent(new Event('change', {bubbles: true}));
};
document.addEventListener('dragover', (event) => isHere() && event.preventDefault(), true);
document.addEventListener('drop', (event) => take(event, event.dataTransfer?.files), true);
document.addEventListener('paste', (event) => take(event, event.clipboardData?.files), true);
document.addEventListener('change', (event) => {
  if (event.target !== input() || !event.target.files.length) return;
  document.querySelectorAll('.tiles button')
    .forEach((one) => one.setAttribute('aria-pressed', false));
  if (isTooLarge(event.target.files[0])) event.stopImmediatePropagation();
}, true);
""".replace("LIMIT", str(MAX_FILE_BYTES))
TAKE_UPLOAD = "(file) => file"
SWITCH = "(view) => { document.querySelector('#where').dataset.view = view; }"
ENLARGE = "() => document.querySelector('#figure .stage').requestFullscreen()"
PRESS_LINK = "watch('value', () => element.querySelector('a')?.click());"
VIEWS = ("Image", "Overlay", "Map")


class Inputs(NamedTuple):
    """The components of this tab that API endpoints and other tabs read as well."""

    image: gr.Image
    model: gr.Dropdown
    target: gr.Dropdown
    method: gr.Dropdown


def build(page: Page, blocks: gr.Blocks) -> Inputs:
    """Build the tab and connect its events."""
    with gr.Column(elem_id="work"):
        with gr.Column(elem_id="left"):
            image = build_image_input(
                label="Image",
                show_label=False,
                interactive=False,
                format="png",
                buttons=[],
                elem_id="image",
                alt_text="The image to classify",
            )
            with gr.Row(elem_id="uploader"):
                upload = gr.UploadButton("Upload image", variant="primary", elem_id="upload")
                hint = gr.HTML(
                    f"<p>{text.UPLOAD_HINT}</p>", js_on_load=TAKE_FILES, elem_id="upload-hint"
                )
            tiles = build_tiles(page)
            model = build_selector(page, elem_id="model")
        with gr.Column(elem_id="right"):
            with gr.Column(elem_id="result"):
                verdict = gr.HTML(text.empty(EMPTY), html_template=LIVE_REGION, elem_id="verdict")
                anyway = gr.Button("Show it anyway", visible=False, elem_id="anyway")
            with gr.Column(visible=False, elem_id="details") as details:
                bars = gr.HTML(js_on_load=PRESS_BAR, elem_id="bars")
                figure = _build_figure()
                with gr.Row(elem_id="actions"):
                    save_report = gr.Button("Save report", elem_id="save-report")
                    save_heatmap = gr.Button("Save heatmap", elem_id="save-heatmap")
                    check = gr.Button("Check this heatmap", elem_id="check")
                checked = gr.HTML(html_template=LIVE_REGION, elem_id="checked")
                with gr.Column(elem_id="more"):
                    with gr.Accordion("How far can this be trusted?", open=False, elem_id="trust"):
                        trust = gr.Markdown()
                    method, colours = _build_settings()
        saved = gr.HTML(js_on_load=PRESS_LINK, elem_id="saved")
        target = build_target(elem_id="target", visible="hidden")

    shown = [verdict, anyway, details, bars, figure, trust, target, checked, saved]
    choices = [image, model, method, colours]
    explained = [image, model, target, method, colours]
    quiet = {"api_visibility": "private", "show_progress": "hidden"}
    # Of several quick clicks the last one wins.
    busy = {**quiet, "show_progress": "minimal", "trigger_mode": "always_last"}
    busy_verdict = {**busy, "show_progress_on": [verdict]}
    busy_figure = {**busy, "show_progress_on": [figure]}
    for new_image in (
        blocks.load(page.open_page, model, [model, image], queue=False, **quiet),
        upload.upload(None, upload, image, js=TAKE_UPLOAD, **quiet),
        tiles.click(page.pick_example, None, image, **quiet),
    ):
        new_image.then(page.show, choices, shown, **busy_verdict)
    hint.submit(page.reject_size, None, shown, queue=False, **quiet)
    model.change(page.show, choices, shown, **busy_verdict)
    anyway.click(page.show_anyway, choices, shown, **busy_verdict)
    bars.click(page.explain_class, choices, [target, figure, checked], **busy_figure)
    changes = [method.change, colours.change]
    gr.on(changes, page.explain_again, explained, [figure, checked], **busy_figure)
    check.click(page.check, explained[:-1], checked, api_visibility="private")
    save_heatmap.click(page.save_heatmap, explained, saved, **quiet)
    save_report.click(page.save_report, explained, saved, **quiet)
    return Inputs(image, model, target, method)


def _build_figure() -> gr.HTML:
    """Build the heatmap below the switch between image, overlay and map, which asks no server."""
    with gr.Column(elem_id="where"):
        with gr.Row(elem_id="switch"):
            view = gr.Radio(
                VIEWS, value="Overlay", label="View", show_label=False, container=False,
                elem_id="view",
            )  # fmt: skip
            enlarge = gr.Button("Full screen", size="sm", elem_id="enlarge")
        figure = gr.HTML(elem_id="figure")
    quiet = {"api_visibility": "private", "show_progress": "hidden"}
    view.change(None, view, None, js=SWITCH, **quiet)
    enlarge.click(None, None, None, js=ENLARGE, **quiet)
    return figure


def _build_settings() -> tuple[gr.Dropdown, gr.Radio]:
    """Build the choices of the heatmap's method and colour map."""
    with gr.Accordion("Heatmap settings", open=False, elem_id="settings"), gr.Row():
        method = gr.Dropdown(
            [(name, key) for key, name in METHOD_NAMES.items()],
            value=METHOD,
            label="Method",
            filterable=False,
            elem_id="method",
        )
        colours = gr.Radio(
            [(name, key) for key, name in COLOUR_MAPS.items()],
            value=COLOURS,
            label="Colours",
            elem_id="colours",
        )
    return pass_unchecked(method), pass_unchecked(colours)


def build_tiles(page: Page) -> gr.HTML:
    """Build the tiles of the example images."""
    tiles = "".join(
        f'<button type="button" data-dx="{code}" aria-pressed="{str(code == FIRST).lower()}">'
        f'<img src="{picture_url(load_image(page.examples[code]), TILE_PIXELS)}" alt="">'
        f"<span>{text.TILES[code]}</span></button>"
        for code in TILES
    )
    return gr.HTML(
        f'<section class="examples"><h2>Examples (drawn)</h2><div class="tiles">{tiles}</div>'
        "</section>",
        js_on_load=PRESS_TILE,
        elem_id="examples",
    )


def build_selector(page: Page, *, elem_id: str) -> gr.Dropdown:
    """Build a model selector, best model first."""
    choices = page.model_choices()
    return pass_unchecked(
        gr.Dropdown(choices, value=choices[0][1], label="Model", filterable=False, elem_id=elem_id)
    )


def build_target(*, elem_id: str, visible: bool | str = True) -> gr.Dropdown:
    """Build a selector of the class to explain; a hidden one also has the second class."""
    choices = [("Predicted class", PREDICTED), *((NAMES[code], code) for code in CODES)]
    return pass_unchecked(
        gr.Dropdown(
            [*choices, ("Second class", RUNNER_UP)] if visible == "hidden" else choices,
            value=PREDICTED,
            label="Class to explain",
            filterable=False,
            elem_id=elem_id,
            visible=visible,
        )
    )
