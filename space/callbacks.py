"""Callbacks: what happens on every event of the page, as methods that know no component."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gradio as gr
from predictions import (
    COLOUR_MAPS,
    COLOURS,
    METHOD,
    PREDICTED,
    Explained,
    Reading,
    check_choice,
    check_map,
    classify,
    explain,
)
from registry import Registry
from uploads import LARGEST, ImageError, Picture, Upload, Uploads, clean_name, list_items
from views import batch, comparison, heatmap, report, text, verdict

from hf_lesion.errors import InputError
from hf_lesion.labels import NAMES
from hf_lesion.synthetic.examples import EXAMPLES, read_examples

FOLDER = Path(__file__).with_name("examples")
FIRST = "mel"  # what the page opens with
EMPTY = "Upload a dermatoscope image, or try an example."
NO_FILES = "Add images, then press Classify all."
Update = Any


class Page:
    """The models and examples behind one page, and what happens on its events."""

    def __init__(self, registry: Registry):
        self.registry = registry
        self.examples = {code: FOLDER / f"{code}.webp" for code in EXAMPLES}
        self._drawn = {one["sha256"] for one in read_examples().values()}

    def arrive(self, chosen: str) -> tuple[Update, Path]:
        """Return the choices of the model selector, and the image that the page opens with."""
        return self.choose(chosen), self.examples[FIRST]

    def choose(self, chosen: str) -> Update:
        """Return the choices of a model selector now: a model may have failed to load."""
        choices = self.choices()
        names = [name for _, name in choices]
        return gr.update(choices=choices, value=chosen if chosen in names else names[0])

    def choices(self) -> list[tuple[str, str]]:
        """Return each model that can be chosen, best first: what is shown, and its name."""
        titles, entries = self.registry.titles(), self.registry.entries
        drawn_only = all(entry.drawn_only for entry in entries.values())
        found = []
        for name, title in titles.items():
            parts = [title]
            if entries[name].measured:
                parts.append(entries[name].measured)
            if entries[name].drawn_only and not drawn_only:
                parts.append("drawn lesions only")
            found.append((" · ".join(parts), name))
        return found

    def pick(self, event: gr.EventData) -> Path:
        """Return the example whose tile was pressed."""
        code = _sent(event, "dx")
        if not isinstance(code, str) or code not in self.examples:
            raise gr.Error("There is no such example.", print_exception=False)
        return self.examples[code]

    def refuse_size(self, event: gr.EventData) -> tuple[Update, ...]:
        """Answer a file that the browser found too large to send."""
        name = clean_name(str(_sent(event, "name")))
        return _nothing(text.problem(f"{name} is larger than {LARGEST}. Make it smaller."))

    def show(
        self,
        image: Upload,
        model: str,
        method: str = METHOD,
        colours: str = COLOURS,
        *,
        insists: bool = False,
    ) -> tuple[Update, ...]:
        """Answer a new image or model.

        Returns:
            Verdict, "Show it anyway", the details' visibility, bars, heatmap, what can be trusted,
            the explained class, and two empty texts: for the check and for files to save.
        """
        if image is None:
            return _nothing(text.empty(EMPTY))
        if isinstance(image, InputError):
            return _nothing(text.problem(str(image)))
        try:
            explained = self._explain(image, model, PREDICTED, method, colours)
        except ImageError as error:
            return _nothing(text.problem(str(error)))
        except InputError as error:
            return _nothing(text.trouble(str(error)))
        result, entry = explained.result, self.registry.entries[model]
        if result.is_rejected and not insists:
            return _nothing(verdict.refusal(result), offers=True)
        title = self.registry.titles().get(model, model)
        return (
            verdict.panel(result, entry, name=title, example=self._example_of(image)),
            gr.update(visible=False),
            gr.update(visible=True),
            verdict.bars(result, explained.target),
            heatmap.figure(explained, colours),
            verdict.trust(result, entry),
            PREDICTED,
            "",
            "",
        )

    def show_anyway(
        self, image: Upload, model: str, method: str, colours: str
    ) -> tuple[Update, ...]:
        """Answer as `show`, whatever the gate says."""
        return self.show(image, model, method, colours, insists=True)

    def explain_class(
        self, image: Upload, model: str, method: str, colours: str, event: gr.EventData
    ) -> tuple[str, str, str]:
        """Answer a press on a bar: the class, its heatmap, and an empty check."""
        target = str(_sent(event, "dx"))
        return target, *self.explain_again(image, model, target, method, colours)

    def explain_again(
        self, image: Upload, model: str, target: str, method: str, colours: str
    ) -> tuple[str, str]:
        """Answer a change of class, method or colours: the heatmap, and an empty check."""
        if image is None or isinstance(image, InputError):
            return "", ""
        try:
            return heatmap.figure(self._explain(image, model, target, method, colours), colours), ""
        except InputError as error:
            return text.trouble(str(error)), ""

    def check(self, image: Upload, model: str, target: str, method: str) -> str:
        """Return whether the heatmap names what the model relies on, in a sentence."""
        if image is None or isinstance(image, InputError):
            return ""
        try:
            explained = self._explain(image, model, target, method)
            own, random = check_map(self.registry.get(model), explained)
        except InputError as error:
            return text.trouble(str(error))
        name = NAMES[explained.target]
        if own < random:
            said = f"lowers the {name} score faster than hiding random ones", "is meaningful here"
        else:
            said = f"lowers the {name} score no faster than hiding random ones", "says little here"
        return (
            f"<p>Hiding the bright regions {said[0]} (area {own:.2f} vs {random:.2f}): the map "
            f"{said[1]}.</p>"
        )

    def save_heatmap(
        self, image: Upload, model: str, target: str, method: str, colours: str
    ) -> str:
        """Return a link that holds the heatmap with its legend."""
        return self._save(
            image, model, target, method, colours, lambda one: heatmap.download(one, colours)
        )

    def save_report(self, image: Upload, model: str, target: str, method: str, colours: str) -> str:
        """Return a link that holds a report of what is shown."""

        def make(explained: Explained) -> str:
            title = self.registry.titles().get(model, model)
            entry = self.registry.entries[model]
            return report.download(
                report.Report(explained, entry, title, colours, datetime.now(UTC))
            )

        return self._save(image, model, target, method, colours, make)

    def compare_models(self, image: Upload, target: str) -> str:
        """Return all models' results for one image side by side."""
        if image is None:
            return text.empty(EMPTY)
        if isinstance(image, InputError):
            return text.problem(str(image))
        try:
            readings = self.registry.read_all(Picture.of(image))
            explained = {name: explain(one, target) for name, one in readings.items()}
        except ImageError as error:
            return text.problem(str(error))
        except InputError as error:
            return text.trouble(str(error))
        return comparison.render(explained, self.registry.titles())

    def list_batch(self, files: Uploads) -> tuple[Update, str]:
        """Answer a change of the files: whether there is something to start, and how much."""
        if files is None:
            return gr.update(interactive=False), text.empty(NO_FILES)
        try:
            if isinstance(files, InputError):
                raise files
            count = len(list_items(files))
        except InputError as error:
            return gr.update(interactive=False), text.trouble(str(error))
        ready = f"{count} {'image' if count == 1 else 'images'} ready."
        return gr.update(interactive=True), text.empty(ready)

    def classify_batch(
        self, files: Uploads, model: str, progress: Callable[..., Any] | None = None
    ) -> str:
        """Return the table of many images' results, with a link to it as CSV."""
        if files is None:
            return text.empty(NO_FILES)
        try:
            if isinstance(files, InputError):
                raise files
            items = list_items(files)
            classifier = self.registry.get(model)
        except InputError as error:
            return text.trouble(str(error))
        rows, start = [], time.monotonic()
        for item in items:
            try:
                rows.append(batch.Row(item.name, classify(classifier, item.read())))
            except InputError as error:
                rows.append(batch.Row(item.name, None, str(error)))
            if progress is not None:
                left = (time.monotonic() - start) / len(rows) * (len(items) - len(rows))
                progress((len(rows), len(items)), desc=f"About {left:.0f} s left", unit="images")
        return batch.render(rows, self.registry.titles().get(model, model))

    def _explain(
        self, image: Any, model: str, target: str, method: str, colours: str = COLOURS
    ) -> Explained:
        check_choice("colour map", colours, tuple(COLOUR_MAPS))
        reading: Reading = self.registry.read(model, Picture.of(image))
        return explain(reading, target, method)

    def _save(
        self,
        image: Upload,
        model: str,
        target: str,
        method: str,
        colours: str,
        make: Callable[[Explained], str],
    ) -> str:
        if image is None or isinstance(image, InputError):
            return ""
        try:
            return make(self._explain(image, model, target, method, colours))
        except InputError as error:
            return text.trouble(str(error))

    def _example_of(self, image: Any) -> str:
        return "Example (drawn)" if Picture.of(image).sha256 in self._drawn else ""


def _nothing(panel: str, *, offers: bool = False) -> tuple[Update, ...]:
    """Return the outputs of `Page.show` without a result."""
    hidden = gr.update(visible=False)
    return panel, gr.update(visible=offers), hidden, "", "", "", PREDICTED, "", ""


def _sent(event: gr.EventData, key: str) -> object:
    return event._data.get(key) if isinstance(event._data, Mapping) else None
