"""Public API: three endpoints, whose docstrings gradio shows under "Use via API"."""

import secrets
from typing import Any

from PIL import Image
from predictions import METHOD, Explanation, describe, explain
from registry import Registry
from uploads import Upload, require
from views import comparison

from hf_lesion.explain.names import PREDICTED

REJECTED = "The image is rejected: see gate_sentence."


class Api:
    """The public endpoints of a page."""

    def __init__(self, registry: Registry):
        self.registry = registry

    def classify(self, image: Upload, model: str) -> dict[str, Any]:
        """Classify a dermoscopic image into the seven diagnoses of HAM10000.

        Research and teaching only; not a medical device. Local files only; web addresses are
        rejected.

        Args:
            image: The image file, at most 10 MB and 40 million pixels.
            model: Name of the model.

        Returns:
            {"label": code of the predicted diagnosis, "name": its full name, "probabilities":
            {code: probability in [0, 1], as from a transformers pipeline}, "right_in_test": how
            often similar results were right in the test, in [0, 1], "melanoma_flagged": whether
            melanoma reaches its threshold, "gate": "accepted", "strange" (rejected as
            non-dermoscopic, without a diagnosis), "unsure" or "unjudged", "gate_sentence": the
            same in words}; null if not measured or not given
        """
        result = self.registry.classify(model, require(image))
        return describe(result, self.registry.entries[model].points)

    def explain(
        self, image: Upload, model: str, target: str = PREDICTED, method: str = METHOD
    ) -> tuple[Image.Image | None, dict[str, Any]]:
        """Show which regions raised the score for one diagnosis, as a heatmap over the image.

        Research and teaching only; not a medical device. Local files only; web addresses are
        rejected.

        Args:
            image: The image file, at most 10 MB and 40 million pixels.
            model: Name of the model.
            target: Code of the diagnosis to explain, "predicted" or "runner-up".
            method: gradcam, gradcam++, hirescam, layercam or eigencam.

        Returns:
            The image with the heatmap over it, dark and grey outside the model's input; null if
            there is none.
            The result of /classify, and "target": the code that was explained, "notice": why there
            is no heatmap, empty if there is one.
        """
        explanation = explain(self.registry.classify(model, require(image)), target, method)
        overlay = None if explanation.result.is_rejected else explanation.overlay()
        if overlay is not None:
            # Gradio names a PNG after its content and writes it for each response, although another
            # response may be reading the same file. This text makes the content unique.
            overlay.info["response"] = secrets.token_hex(8)
        return overlay, self._describe(model, explanation)

    def compare(self, image: Upload, target: str = PREDICTED) -> dict[str, Any]:
        """Classify an image with every model, and compare their heatmaps.

        Research and teaching only; not a medical device. Local files only; web addresses are
        rejected.

        Args:
            image: The image file, at most 10 MB and 40 million pixels.
            target: Code of the diagnosis to explain, "predicted" (by each) or "runner-up".

        Returns:
            {"models": {name: the second result of /explain}, "agreement": for each pair of models
            with a heatmap [{"models": [name, name], "pearson": correlation of the heatmaps,
            "iou": overlap of their top fifths, in [0, 1], "apart": whether they show different
            places: an iou below 1/3}]}
        """
        results = self.registry.classify_all(require(image))
        explanations = {name: explain(result, target) for name, result in results.items()}
        return {
            "models": {name: self._describe(name, one) for name, one in explanations.items()},
            "agreement": comparison.describe(explanations),
        }

    def _describe(self, model: str, explanation: Explanation) -> dict[str, Any]:
        found = describe(explanation.result, self.registry.entries[model].points)
        if explanation.result.is_rejected:
            return {**found, "target": None, "notice": REJECTED}
        return {**found, "target": explanation.target, "notice": explanation.notice}
