"""The public API: three calls, whose docstrings gradio shows under "Use via API"."""

from html import escape
from typing import Any

import gradio as gr
from PIL import Image
from predictions import METHOD, PREDICTED, Explained, describe, explain
from registry import Registry
from uploads import Picture, Upload
from views import comparison

from hf_lesion.errors import InputError

HIDDEN = "The image is rejected: see gate_sentence."


class Calls:
    """The public calls of the page that shows these models."""

    def __init__(self, registry: Registry):
        self.registry = registry

    def classify(self, image: Upload, model: str) -> dict[str, Any]:
        """Classify a dermoscopic image into the seven diagnoses of HAM10000.

        Research and teaching only; not a medical device. Local files only: no web address is
        fetched.

        Args:
            image: The image file, at most 10 MB and 40 million pixels.
            model: Name of the model.

        Returns:
            {"label": code of the predicted diagnosis, "name": its full name, "probabilities":
            {code: probability in [0, 1], as a transformers pipeline gives it}, "right_in_test": how
            often results like this were right in the test, in [0, 1], "melanoma_flagged": whether
            melanoma reaches its threshold, "gate": "accepted", "strange" (rejected as
            non-dermoscopic: no diagnosis is given), "unsure" or "unjudged", "gate_sentence": the
            same in words}; null where it was not measured or is not given
        """
        usable = _checked(image)
        try:
            result = self.registry.read(model, usable)
        except InputError as error:
            raise refusal(error) from error
        return describe(result, self.registry.entries[model].points)

    def explain(
        self, image: Upload, model: str, target: str = PREDICTED, method: str = METHOD
    ) -> tuple[Image.Image | None, dict[str, Any]]:
        """Show which regions raised the score for one diagnosis, as a heatmap over the image.

        Research and teaching only; not a medical device. Local files only: no web address is
        fetched.

        Args:
            image: The image file, at most 10 MB and 40 million pixels.
            model: Name of the model.
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
            explained = explain(self.registry.read(model, usable), target, method)
        except InputError as error:
            raise refusal(error) from error
        overlay = None if explained.result.is_rejected else explained.overlay()
        return overlay, self._describe(model, explained)

    def compare(self, image: Upload, target: str = PREDICTED) -> dict[str, Any]:
        """Classify one image with every model, and tell whether their heatmaps agree.

        Research and teaching only; not a medical device. Local files only: no web address is
        fetched.

        Args:
            image: The image file, at most 10 MB and 40 million pixels.
            target: Code of the diagnosis to explain, "predicted" (by each) or "runner-up".

        Returns:
            {"models": {name: what /explain returns next to the picture}, "agreement": for each two
            models that have a heatmap [{"models": [name, name], "pearson": correlation of the two,
            "iou": how much of their top fifths is shared, in [0, 1], "apart": whether they show
            different places: an iou below 1/3}]}
        """
        usable = _checked(image)
        try:
            readings = self.registry.read_all(usable)
            explained = {name: explain(one, target) for name, one in readings.items()}
        except InputError as error:
            raise refusal(error) from error
        return {
            "models": {name: self._describe(name, one) for name, one in explained.items()},
            "agreement": comparison.describe(explained),
        }

    def _describe(self, model: str, explained: Explained) -> dict[str, Any]:
        found = describe(explained.result, self.registry.entries[model].points)
        if explained.result.is_rejected:
            return {**found, "target": None, "notice": HIDDEN}
        return {**found, "target": explained.target, "notice": explained.notice}


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
