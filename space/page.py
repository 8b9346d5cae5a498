"""The page: image, model and class in; verdict, probabilities and heatmap out; two API calls."""

import tempfile
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import messages
from answers import PREDICTED, Answer, build_answer, describe
from catalogue import knows_only_drawings, read_measure
from gallery import draw_examples, embed
from intake import MAX_FILE_BYTES, Upload, build_image_input
from PIL import Image
from theme import STYLE, build_theme

from hf_lesion.errors import InputError
from hf_lesion.inference import LesionClassifier
from hf_lesion.labels import CODES, NAMES

# Every 10 minutes, delete what is older than an hour.
DELETE_CACHE = (600, 3600)
QUEUE_SIZE = 32
# More models than this are a list to open rather than buttons.
MOST_BUTTONS = 4
# Per cent of the width that show the image alone: most of the heat map is in sight at once.
SLIDER_POSITION = 33
RESULT_WIDTH = 560
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


class Page:
    """The models and example files behind one page, and what happens on its events."""

    def __init__(self, models: Mapping[str, LesionClassifier]):
        self.models = dict(models)
        self._folder = tempfile.TemporaryDirectory(prefix="hf_lesion_examples_")
        self.examples = draw_examples(Path(self._folder.name))

    def show(self, image: Upload, model: str, target: str) -> tuple[Any, ...]:
        """Answer for the page: verdict, details, bars, heatmap and its caption."""
        if image is None:
            return _without_result(messages.empty())
        if isinstance(image, InputError):
            return _without_result(messages.problem(str(image)))
        answer = build_answer(self.models[model], image, target)
        top = float(answer.probabilities.max())
        return (
            messages.verdict(answer.label, top, model),
            gr.update(visible=True),
            messages.bars(answer.probabilities),
            _slider(answer),
            messages.explanation(answer.target, answer.notice),
        )

    def pick(self, event: gr.EventData) -> Path:
        """Return the drawn example whose button was pressed."""
        code = event._data.get("dx") if isinstance(event._data, dict) else None
        if code not in self.examples:
            raise gr.Error("There is no such example.", print_exception=False)
        return self.examples[code]

    def classify(self, image: Upload, model: str) -> dict[str, Any]:
        """Classify a dermoscopic image into the seven diagnoses of HAM10000.

        For research and teaching only: this is not a medical device and gives no medical advice.

        Args:
            image: The image file, at most 10 MB and 40 million pixels.
            model: Name of the model.

        Returns:
            {"label": code of the most probable diagnosis, "name": its full name,
            "probabilities": {code: probability in [0, 1]}}
        """
        return describe(self._answer(image, model, PREDICTED))

    def explain(
        self, image: Upload, model: str, target: str
    ) -> tuple[Image.Image | None, dict[str, Any]]:
        """Show where a model looked for one diagnosis, as a Grad-CAM heatmap over the image.

        For research and teaching only: this is not a medical device and gives no medical advice.

        Args:
            image: The image file, at most 10 MB and 40 million pixels.
            model: Name of the model.
            target: Code of the diagnosis to explain, or "predicted" for the most probable one.

        Returns:
            The image with the heatmap over it; null if there is no evidence for the class.
            What /classify returns, and "target": the code that was explained, "notice": why there
            is no heatmap.
        """
        answer = self._answer(image, model, target)
        result = {**describe(answer), "target": answer.target, "notice": answer.notice}
        return answer.overlay, result

    def _answer(self, image: Upload, model: str, target: str) -> Answer:
        if image is None:
            raise gr.Error("Expected an image, got none.", print_exception=False)
        if isinstance(image, InputError):
            # The browser shows this text as HTML.
            raise gr.Error(escape(str(image), quote=False), print_exception=False)
        try:
            return build_answer(self.models[model], image, target)
        except InputError as error:
            raise gr.Error(escape(str(error), quote=False), print_exception=False) from error


def build_page(models: Mapping[str, LesionClassifier]) -> gr.Blocks:
    """Build the page for these models.

    Args:
        models: At least one classifier, by the name that a visitor chooses it by.
    """
    page = Page(models)
    drawn_only = all(knows_only_drawings(classifier) for classifier in models.values())
    blocks = gr.Blocks(
        title=messages.TITLE, analytics_enabled=False, delete_cache=DELETE_CACHE, fill_width=False
    )
    with blocks:
        gr.HTML(messages.header(drawn_only))
        with gr.Row(elem_id="work", equal_height=True):
            with gr.Column(scale=5, min_width=300):
                image, strip, model = _build_inputs(page, drawn_only)
            # Too wide to stand beside the image on a tablet: there the result comes below it.
            with gr.Column(scale=8, min_width=RESULT_WIDTH):
                outputs, target = _build_outputs()
        with gr.Accordion("The seven diagnoses", open=False, elem_id="diagnoses"):
            gr.HTML(messages.diagnoses())
        gr.HTML(messages.footer())
        _connect(page, image, strip, model, target, outputs)
        _build_api(page, image, model, target)
    blocks.queue(max_size=QUEUE_SIZE)
    return blocks


def launch_options() -> dict[str, Any]:
    """Return what `launch` needs for this page: its looks, its limits, and nothing kept or sent."""
    return {
        "theme": build_theme(),
        "css_paths": STYLE,
        "footer_links": ["api"],
        "run_history": False,
        "enable_monitoring": False,
        "max_file_size": MAX_FILE_BYTES,
        "show_error": False,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
    }


def _build_inputs(page: Page, drawn_only: bool) -> tuple[gr.Image, gr.HTML, gr.Component]:
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
    pictures = {code: embed(file) for code, file in page.examples.items()}
    strip = gr.HTML(messages.examples(pictures), js_on_load=PICK_EXAMPLE, elem_id="examples")
    choices = [
        (
            messages.model_label(
                name,
                read_measure(classifier),
                knows_only_drawings(classifier) and not drawn_only,
            ),
            name,
        )
        for name, classifier in page.models.items()
    ]
    options = {"choices": choices, "value": choices[0][1], "label": "Model", "elem_id": "model"}
    if len(choices) > MOST_BUTTONS:
        return image, strip, gr.Dropdown(**options, filterable=False)
    return image, strip, gr.Radio(**options)


def _build_outputs() -> tuple[list[gr.Component], gr.Dropdown]:
    verdict = gr.HTML(messages.empty(), html_template=LIVE_REGION, elem_id="verdict")
    with gr.Row(visible=False, elem_id="details", equal_height=False) as details:
        with gr.Column(min_width=280):
            bars = gr.HTML(elem_id="bars")
        with gr.Column(min_width=280, elem_id="where"):
            target = gr.Dropdown(
                choices=[
                    ("Predicted class", PREDICTED),
                    *((NAMES[code], code) for code in CODES),
                ],
                value=PREDICTED,
                label="Class to explain",
                filterable=False,
                elem_id="target",
            )
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
    return [verdict, details, bars, slider, caption], target


def _connect(
    page: Page,
    image: gr.Image,
    strip: gr.HTML,
    model: gr.Component,
    target: gr.Dropdown,
    outputs: list[gr.Component],
) -> None:
    strip.click(page.pick, None, image, api_visibility="private", show_progress="hidden")
    shown = gr.on(
        [image.change, model.change, target.change],
        page.show,
        [image, model, target],
        outputs,
        api_visibility="private",
        show_progress="minimal",
        show_progress_on=[outputs[0]],
        # The last choice wins, however fast the clicks come.
        trigger_mode="always_last",
    )
    shown.then(None, js=SHOW_RESULT, api_visibility="private")


def _build_api(page: Page, image: gr.Image, model: gr.Component, target: gr.Dropdown) -> None:
    """Add the two public calls; they hang on a button that no one sees."""
    hidden = gr.Button(visible=False)
    result = gr.JSON(visible=False, label="Classification")
    picture = gr.Image(visible=False, label="Heatmap over the image", format="png")
    hidden.click(page.classify, [image, model], result, api_name="classify")
    hidden.click(page.explain, [image, model, target], [picture, result], api_name="explain")


def _slider(answer: Answer) -> Any:
    if answer.overlay is None:
        return gr.update(visible=False, value=None)
    return gr.update(visible=True, value=(answer.picture, answer.overlay))


def _without_result(panel: str) -> tuple[Any, ...]:
    return panel, gr.update(visible=False), "", None, ""
