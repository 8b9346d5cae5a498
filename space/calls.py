"""What a program can ask: the three public calls. Gradio shows their docstrings on the page."""

from html import escape
from typing import Any

import comparison
import gradio as gr
from answers import METHOD, Answer, build_answer, build_answers
from intake import Picture, Upload
from judgement import as_dict, judge
from opinions import Opinion
from PIL import Image
from shelf import Shelf

from hf_lesion.errors import InputError


class Calls:
    """The public calls of the page that shows these models."""

    def __init__(self, shelf: Shelf):
        self.shelf = shelf

    def classify(self, image: Upload, model: str) -> dict[str, Any]:
        """Classify a dermoscopic image into the seven diagnoses of HAM10000.

        For research and teaching only: this is not a medical device and gives no medical advice.

        Args:
            image: The image file, at most 10 MB and 40 million pixels.
            model: Name of the model, or "ensemble".

        Returns:
            {"label": code of the model's answer, "name": its full name, "probabilities": {code: the
            model's score in [0, 1], as the page shows it and a transformers pipeline gives it: the
            probability if the seven diagnoses were equally common}, "reliability": share of the
            test's results with such a score that were right, "melanoma_flagged": whether the score
            reaches the melanoma threshold, "gate": "accepted", "strange" (not dermoscopic, the page
            hides the answer), "unsure" or "unjudged", "gate_sentence": the same in words}; null
            where it was not measured
        """
        usable = _checked(image)
        try:
            opinion = self.shelf.read(model, usable).opinion
        except InputError as error:
            raise refusal(error) from error
        return self._describe(model, opinion)

    def explain(
        self, image: Upload, model: str, target: str, method: str = METHOD
    ) -> tuple[Image.Image | None, dict[str, Any]]:
        """Show where a model looked for one diagnosis, as a heatmap over the image.

        For research and teaching only: this is not a medical device and gives no medical advice.

        Args:
            image: The image file, at most 10 MB and 40 million pixels.
            model: Name of the model, or "ensemble".
            target: Code of the diagnosis to explain, "predicted" or "runner-up".
            method: gradcam, gradcam++, hirescam, layercam or eigencam.

        Returns:
            The image with the heatmap over it, dark and grey where the model did not see it; null
            if there is none.
            What /classify returns, and "target": the code that was explained, "notice": why there
            is no heatmap, empty if there is one.
        """
        usable = _checked(image)
        try:
            answer = build_answer(self.shelf.read(model, usable), target, method=method)
        except InputError as error:
            raise refusal(error) from error
        return answer.overlay(), self._describe_map(model, answer)

    def compare(self, image: Upload, target: str) -> dict[str, Any]:
        """Ask every model about one image, and whether their heatmaps show the same places.

        For research and teaching only: this is not a medical device and gives no medical advice.

        Args:
            image: The image file, at most 10 MB and 40 million pixels.
            target: Code of the diagnosis to explain, "predicted" (by each) or "runner-up".

        Returns:
            {"models": {name: what /explain returns beside the picture}, "agreement": for each two
            models that have a heatmap [{"models": [name, name], "pearson": correlation of the two,
            "iou": how much of their top fifths is shared, in [0, 1], "apart": whether they show
            different places: less than half is shared, an iou below 1/3}]}
        """
        usable = _checked(image)
        try:
            answers = build_answers(self.shelf.read_all(usable), target)
        except InputError as error:
            raise refusal(error) from error
        return {
            "models": {name: self._describe_map(name, one) for name, one in answers.items()},
            "agreement": comparison.describe(answers),
        }

    def _describe(self, model: str, opinion: Opinion) -> dict[str, Any]:
        return as_dict(opinion, judge(self.shelf.entries.get(model), opinion))

    def _describe_map(self, model: str, answer: Answer) -> dict[str, Any]:
        found = self._describe(model, answer.opinion)
        return {**found, "target": answer.target, "notice": answer.notice}


def refusal(error: InputError) -> gr.Error:
    """Return an error that gradio passes on in our words."""
    # The browser shows this text as HTML.
    return gr.Error(escape(str(error), quote=False), print_exception=False)


def _checked(image: Upload) -> Picture:
    if image is None:
        raise gr.Error("Expected an image, got none.", print_exception=False)
    if isinstance(image, InputError):
        raise refusal(image)
    return Picture.of(image)
