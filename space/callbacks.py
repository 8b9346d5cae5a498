"""Callbacks of the page's events, as methods that know no components."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from predictions import (
    COLOUR_MAPS,
    COLOURS,
    METHOD,
    Explanation,
    check_choice,
    check_heatmap,
    classify,
    explain,
)
from registry import Registry
from uploads import ImageError, Upload, Uploads, clean_name, list_items, require, too_large
from views import batch, comparison, heatmap, report, text, verdict

from hf_lesion.errors import InputError
from hf_lesion.explain.names import PREDICTED
from hf_lesion.labels import NAMES
from hf_lesion.synthetic.examples import EXAMPLES, read_examples

FOLDER = Path(__file__).with_name("examples")
FIRST = "mel"  # the example that the page opens with
EMPTY = "Upload a dermatoscope image, or try an example."
NO_FILES = "Add images, then press Classify all."
Update = Any


class Page:
    """The models and examples of one page, and the callbacks of its events."""

    def __init__(self, registry: Registry):
        self.registry = registry
        self.examples = {code: FOLDER / f"{code}.webp" for code in EXAMPLES}
        self._example_hashes = {example["sha256"] for example in read_examples().values()}

    def open_page(self, chosen: str) -> tuple[Update, Path]:
        """Return the choices of the model selector, and the image that the page opens with."""
        return self.update_models(chosen), self.examples[FIRST]

    def update_models(self, chosen: str) -> Update:
        """Return the current choices of a model selector: a model may have failed to load."""
        choices = self.model_choices()
        names = [name for _, name in choices]
        return gr.update(choices=choices, value=chosen if chosen in names else names[0])

    def model_choices(self) -> list[tuple[str, str]]:
        """Return the label and name of each usable model, best first."""
        entries = self.registry.entries
        drawn_only = all(entry.drawn_only for entry in entries.values())
        choices = []
        for name, title in self.registry.titles().items():
            parts = [title]
            if entries[name].accuracy_text:
                parts.append(entries[name].accuracy_text)
            if entries[name].drawn_only and not drawn_only:
                parts.append("drawn lesions only")
            choices.append((" · ".join(parts), name))
        return choices

    def pick_example(self, event: gr.EventData) -> Path:
        """Return the example whose tile was pressed."""
        code = _event_value(event, "dx")
        if not isinstance(code, str) or code not in self.examples:
            raise InputError("There is no such example.")
        return self.examples[code]

    def reject_size(self, event: gr.EventData) -> tuple[Update, ...]:
        """Reject a file that the browser found too large to upload."""
        name = clean_name(str(_event_value(event, "name")))
        return _no_result(text.failure(too_large(name)))

    def show(
        self,
        image: Upload,
        model: str,
        method: str = METHOD,
        colours: str = COLOURS,
        *,
        show_rejected: bool = False,
    ) -> tuple[Update, ...]:
        """Classify a new image, or the same image by another model.

        Returns:
            Verdict, "Show it anyway", the details' visibility, bars, heatmap, what to trust, the
            explained class, and two empty texts: for the heatmap's check and for saved files.
        """
        if image is None:
            return _no_result(text.empty(EMPTY))
        try:
            explanation = self._explain(image, model, PREDICTED, method, colours)
        except InputError as error:
            return _no_result(text.failure(error))
        result, entry = explanation.result, self.registry.entries[model]
        if result.is_rejected and not show_rejected:
            return _no_result(verdict.rejection(result), can_show=True)
        is_example = require(image).sha256 in self._example_hashes
        return (
            verdict.panel(result, entry, title=self._title(model), is_example=is_example),
            gr.update(visible=False),
            gr.update(visible=True),
            verdict.bars(result, explanation.target),
            heatmap.figure(explanation, colours),
            verdict.trust(result, entry),
            PREDICTED,
            "",
            "",
        )

    def show_anyway(
        self, image: Upload, model: str, method: str, colours: str
    ) -> tuple[Update, ...]:
        """Do as `show`, even if the gate rejects the image."""
        return self.show(image, model, method, colours, show_rejected=True)

    def explain_class(
        self, image: Upload, model: str, method: str, colours: str, event: gr.EventData
    ) -> tuple[str, str, str]:
        """Return the class whose bar was pressed, its heatmap, and an empty check."""
        target = str(_event_value(event, "dx"))
        return target, *self.explain_again(image, model, target, method, colours)

    def explain_again(
        self, image: Upload, model: str, target: str, method: str, colours: str
    ) -> tuple[str, str]:
        """Return the heatmap for another class, method or colour map, and an empty check."""
        figure = self._render(
            image, model, target, method, colours, lambda one: heatmap.figure(one, colours)
        )
        return figure, ""

    def check(self, image: Upload, model: str, target: str, method: str) -> str:
        """Return, in a sentence, whether the heatmap shows what the model relies on."""

        def describe(explanation: Explanation) -> str:
            own, random = check_heatmap(self.registry.get(model), explanation)
            name = NAMES[explanation.target]
            faster, meaning = (
                ("faster", "is meaningful") if own < random else ("no faster", "says little")
            )
            return (
                f"<p>Hiding the bright regions lowers the {name} score {faster} than hiding random "
                f"ones (area {own:.2f} vs {random:.2f}): the map {meaning} here.</p>"
            )

        return self._render(image, model, target, method, COLOURS, describe)

    def save_heatmap(
        self, image: Upload, model: str, target: str, method: str, colours: str
    ) -> str:
        """Return a link that contains the heatmap with its legend."""
        return self._render(
            image, model, target, method, colours, lambda one: heatmap.download(one, colours)
        )

    def save_report(self, image: Upload, model: str, target: str, method: str, colours: str) -> str:
        """Return a link that contains a report of what is shown."""

        def download(explanation: Explanation) -> str:
            entry = self.registry.entries[model]
            return report.download(explanation, entry, self._title(model), colours)

        return self._render(image, model, target, method, colours, download)

    def compare_models(self, image: Upload, target: str) -> str:
        """Return all models' results for one image side by side."""
        if image is None:
            return text.empty(EMPTY)
        try:
            results = self.registry.classify_all(require(image))
            explanations = {name: explain(result, target) for name, result in results.items()}
        except InputError as error:
            return text.failure(error)
        return comparison.render(explanations, self.registry.titles())

    def list_batch(self, files: Uploads) -> tuple[Update, str]:
        """Return whether the batch can be started, and how many images it has."""
        if files is None:
            return gr.update(interactive=False), text.empty(NO_FILES)
        try:
            count = len(list_items(files))
        except InputError as error:
            return gr.update(interactive=False), text.failure(error)
        ready = f"{count} {'image' if count == 1 else 'images'} ready."
        return gr.update(interactive=True), text.empty(ready)

    def classify_batch(
        self, files: Uploads, model: str, progress: Callable[..., Any] | None = None
    ) -> str:
        """Return a table of the results of many images, with a link to it as CSV."""
        if files is None:
            return text.empty(NO_FILES)
        try:
            items = list_items(files)
            classifier = self.registry.get(model)
        except InputError as error:
            return text.failure(error)
        rows, start = [], time.monotonic()
        for item in items:
            try:
                rows.append(batch.Row(item.name, classify(classifier, item.decode())))
            except InputError as error:
                rows.append(batch.Row(item.name, None, str(error)))
            if progress is not None:
                left = (time.monotonic() - start) / len(rows) * (len(items) - len(rows))
                progress((len(rows), len(items)), desc=f"About {left:.0f} s left", unit="images")
        return batch.render(rows, self._title(model))

    def _title(self, model: str) -> str:
        return self.registry.titles().get(model, model)

    def _explain(
        self, image: Upload, model: str, target: str, method: str, colours: str
    ) -> Explanation:
        check_choice("colour map", colours, tuple(COLOUR_MAPS))
        return explain(self.registry.classify(model, require(image)), target, method)

    def _render(
        self,
        image: Upload,
        model: str,
        target: str,
        method: str,
        colours: str,
        render: Callable[[Explanation], str],
    ) -> str:
        """Explain an image and render the result; return an empty text without an image."""
        if image is None or isinstance(image, ImageError):
            return ""
        try:
            return render(self._explain(image, model, target, method, colours))
        except InputError as error:
            return text.failure(error)


def _no_result(panel: str, *, can_show: bool = False) -> tuple[Update, ...]:
    """Return the outputs of `Page.show` without a result."""
    hidden = gr.update(visible=False)
    return panel, gr.update(visible=can_show), hidden, "", "", "", PREDICTED, "", ""


def _event_value(event: gr.EventData, key: str) -> object:
    return event._data.get(key) if isinstance(event._data, Mapping) else None
