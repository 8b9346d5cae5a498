"""The first tab: an image in; verdict, probabilities and the reasons for them out."""

from dataclasses import dataclass

import gradio as gr
import messages
from answers import METHOD, METHODS, OPACITY, PREDICTED, RUNNER_UP
from gallery import embed
from handlers import Page
from intake import build_image_input, take_as_sent

from hf_lesion.labels import CODES, NAMES

# More models than this are a list to open rather than buttons.
MOST_BUTTONS = 5
# Per cent of the width that show the image alone: most of the heat map is in sight at once.
SLIDER_POSITION = 33
RESULT_WIDTH = 560
OPACITY_STEP = 5
PICK_EXAMPLE = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-dx]');
  if (button) trigger('click', {dx: button.dataset.dx});
});
"""
# On a phone the result lies below the fold: bring it into sight, and only then move the page.
SHOW_RESULT = """() => {
  const panel = document.querySelector('#verdict');
  const below = panel.getBoundingClientRect().top >= window.innerHeight;
  if (below && !panel.querySelector('.empty')) {
    panel.scrollIntoView({behavior: 'smooth', block: 'center'});
  }
}"""
LIVE_REGION = '<div aria-live="polite">${value}</div>'
CLASS_CHOICES = [
    ("Predicted class", PREDICTED),
    ("Runner-up: why not that one?", RUNNER_UP),
    *((NAMES[code], code) for code in CODES),
]


@dataclass(frozen=True)
class Extras:
    """What a visitor can ask for once there is an answer, each with its place."""

    report: gr.Button
    links: gr.HTML
    check: gr.Button
    curve: gr.HTML


@dataclass(frozen=True)
class Controls:
    """What a visitor sets in this tab."""

    image: gr.Image
    strip: gr.HTML
    model: gr.Component
    target: gr.Dropdown
    method: gr.Dropdown
    opacity: gr.Slider
    extras: Extras


def build(page: Page) -> Controls:
    """Build the tab and connect it; return its controls."""
    with gr.Row(elem_id="work", equal_height=True):
        with gr.Column(scale=5, min_width=300):
            image, strip, model = _build_inputs(page)
        # Too wide to stand beside the image on a tablet: there the result comes below it.
        with gr.Column(scale=8, min_width=RESULT_WIDTH):
            outputs, controls = _build_outputs(image, strip, model)
    with gr.Accordion("The seven diagnoses", open=False, elem_id="diagnoses"):
        gr.HTML(messages.diagnoses())
    _connect(page, controls, outputs)
    return controls


def build_strip(page: Page, *, elem_id: str) -> gr.HTML:
    """Build the strip of drawn examples."""
    pictures = {code: embed(file) for code, file in page.examples.items()}
    return gr.HTML(messages.examples(pictures), js_on_load=PICK_EXAMPLE, elem_id=elem_id)


def build_selector(page: Page, *, elem_id: str) -> gr.Component:
    """Build the choice of a model."""
    choices = page.choices()
    options = {"choices": choices, "value": choices[0][1], "label": "Model", "elem_id": elem_id}
    if len(choices) > MOST_BUTTONS:
        return take_as_sent(gr.Dropdown(**options, filterable=False))
    return take_as_sent(gr.Radio(**options))


def _build_inputs(page: Page) -> tuple[gr.Image, gr.HTML, gr.Component]:
    image = build_image_input(
        label="Dermoscopic image",
        sources=["upload", "clipboard", "webcam"],
        format="png",
        height=300,
        buttons=["fullscreen"],
        elem_id="image",
        alt_text="The image to classify",
        placeholder="Drop an image here\nor click to choose one",
    )
    strip = build_strip(page, elem_id="examples")
    return image, strip, build_selector(page, elem_id="model")


def _build_outputs(
    image: gr.Image, strip: gr.HTML, model: gr.Component
) -> tuple[list[gr.Component], Controls]:
    verdict = gr.HTML(messages.empty(), html_template=LIVE_REGION, elem_id="verdict")
    anyway = gr.Button("Show the answer anyway", visible=False, elem_id="anyway")
    with gr.Row(visible=False, elem_id="details", equal_height=False) as details:
        with gr.Column(min_width=280):
            bars = gr.HTML(elem_id="bars")
            report = gr.Button("Make a one-page report", size="sm", elem_id="report")
            report_links = gr.HTML(html_template=LIVE_REGION, elem_id="report-links")
        with gr.Column(min_width=280, elem_id="where"):
            slider = gr.ImageSlider(
                label="Image | heat map",
                show_label=False,
                interactive=False,
                format="png",
                type="pil",
                buttons=["download", "fullscreen"],
                slider_position=SLIDER_POSITION,
                elem_id="overlay",
            )
            caption = gr.HTML(elem_id="caption")
            with gr.Row():
                target = gr.Dropdown(
                    choices=CLASS_CHOICES,
                    value=PREDICTED,
                    label="Class to explain",
                    filterable=False,
                    min_width=200,
                    elem_id="target",
                )
                method = gr.Dropdown(
                    choices=[(name, key) for key, name in METHODS.items()],
                    value=METHOD,
                    label="Method",
                    filterable=False,
                    min_width=180,
                    elem_id="method",
                )
            opacity = gr.Slider(
                0,
                100,
                value=OPACITY,
                step=OPACITY_STEP,
                label="Opacity of the heat map in %",
                buttons=[],
                elem_id="opacity",
            )
            check = gr.Button("Test this heat map by deletion", size="sm", elem_id="check")
            curve = gr.HTML(elem_id="curve")
    take_as_sent(target)
    take_as_sent(method)
    take_as_sent(opacity)
    outputs = [verdict, anyway, details, bars, slider, caption]
    extras = Extras(report, report_links, check, curve)
    return outputs, Controls(image, strip, model, target, method, opacity, extras)


def _connect(page: Page, controls: Controls, outputs: list[gr.Component]) -> None:
    controls.strip.click(
        page.pick, None, controls.image, api_visibility="private", show_progress="hidden"
    )
    inputs = [
        controls.image,
        controls.model,
        controls.target,
        controls.method,
        controls.opacity,
    ]
    shown = gr.on(
        [controls.image.change, controls.model.change],
        page.show,
        inputs,
        outputs,
        api_visibility="private",
        show_progress="minimal",
        show_progress_on=[outputs[0]],
        # The last choice wins, however fast the clicks come.
        trigger_mode="always_last",
    )
    shown.then(None, js=SHOW_RESULT, api_visibility="private")
    anyway = outputs[1]
    anyway.click(
        page.show_anyway,
        inputs,
        outputs,
        api_visibility="private",
        show_progress="minimal",
        show_progress_on=[outputs[0]],
    )
    gr.on(
        # Not when the slider is released: who moves it by keys does not release it.
        [controls.target.change, controls.method.change, controls.opacity.change],
        page.explain_again,
        inputs,
        outputs[-2:],
        api_visibility="private",
        show_progress="minimal",
        show_progress_on=[outputs[-1]],
        trigger_mode="always_last",
    )
    _connect_extras(page, controls, inputs)


def _connect_extras(page: Page, controls: Controls, inputs: list[gr.Component]) -> None:
    extras = controls.extras
    extras.report.click(page.report, inputs, extras.links, api_visibility="private")
    extras.check.click(page.check, inputs[:-1], extras.curve, api_visibility="private")
    # What was made for another answer must not stand beside this one.
    gr.on(
        [
            controls.image.change,
            controls.model.change,
            controls.target.change,
            controls.method.change,
        ],
        lambda: ("", ""),
        None,
        [extras.links, extras.curve],
        api_visibility="private",
        show_progress="hidden",
        queue=False,
    )
