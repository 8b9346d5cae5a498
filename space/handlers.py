"""What happens on the page: every event, as methods that know no component."""

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import batch
import comparison
import deletion
import gradio as gr
import messages
import onepage
import tables
import verdicts
from answers import METHOD, OPACITY, Answer, build_answer, build_answers, check_opacity
from catalogue import measure_ensemble
from gallery import draw_examples
from intake import ImageError, Picture, Upload, Uploads
from judgement import Judgement, judge
from PIL import Image
from shelf import ENSEMBLE, Shelf

from hf_lesion.errors import InputError


class Page:
    """The models and example files behind one page, and what happens on its events."""

    def __init__(self, shelf: Shelf):
        self.shelf = shelf
        self._folder = tempfile.TemporaryDirectory(prefix="hf_lesion_examples_")
        self.examples = draw_examples(Path(self._folder.name))

    def show(
        self,
        image: Upload,
        model: str,
        target: str,
        method: str = METHOD,
        opacity: float = OPACITY,
        *,
        insists: bool = False,
    ) -> tuple[Any, ...]:
        """Answer for the page: verdict, "show anyway", details, bars, heatmap and its caption.

        An image that is none of a kind that the model knows has its answer hidden, unless the
        visitor insists.
        """
        if image is None:
            return _without_result(messages.empty())
        if isinstance(image, InputError):
            return _without_result(messages.problem(str(image)))
        try:
            check_opacity(opacity)
            answer, judgement = self._answer(image, model, target, method)
        except ImageError as error:
            return _without_result(messages.problem(str(error)))
        except InputError as error:
            return _without_result(messages.trouble(str(error)))
        if answer.opinion.is_strange and not insists:
            return _without_result(verdicts.refusal(answer.opinion), offers=True)
        return (
            verdicts.panel(answer, judgement, model),
            gr.update(visible=False),
            gr.update(visible=True),
            messages.bars(answer.opinion),
            _slider(answer, opacity),
            messages.explanation(
                answer.target, answer.notice, method, is_cropped=answer.is_cropped
            ),
        )

    def explain_again(
        self, image: Upload, model: str, target: str, method: str, opacity: float
    ) -> tuple[Any, str]:
        """Answer a change of class, method or opacity: heatmap and its caption."""
        verdict, *_rest, slider, caption = self.show(
            image, model, target, method, opacity, insists=True
        )
        # Here no verdict is shown that would say what is wrong.
        return slider, caption or (verdict if image is not None else "")

    def show_anyway(
        self, image: Upload, model: str, target: str, method: str, opacity: float
    ) -> tuple[Any, ...]:
        """Answer as `show`, whatever the gate says."""
        return self.show(image, model, target, method, opacity, insists=True)

    def report(self, image: Upload, model: str, target: str, method: str, opacity: float) -> str:
        """Return links that hold a report of what is shown."""
        if image is None or isinstance(image, InputError):
            return ""
        try:
            check_opacity(opacity)
            answer, judgement = self._answer(image, model, target, method)
        except InputError as error:
            return messages.trouble(str(error))
        return onepage.links(
            onepage.Report(
                answer,
                verdicts.sentences(answer, judgement, model),
                verdicts.warnings(answer.opinion),
                model,
                self._weights(model),
                opacity,
                datetime.now(UTC),
            )
        )

    def check(self, image: Upload, model: str, target: str, method: str) -> str:
        """Return the deletion curve of the heatmap that is shown, beside a random map's."""
        if image is None or isinstance(image, InputError):
            return ""
        try:
            networks = list(self.shelf.get(model).values())
            return deletion.render(
                networks, self.shelf.read(model, Picture.of(image)), target, method
            )
        except InputError as error:
            return messages.trouble(str(error))

    def pick(self, event: gr.EventData) -> Path:
        """Return the drawn example whose button was pressed."""
        code = event._data.get("dx") if isinstance(event._data, dict) else None
        if code not in self.examples:
            raise gr.Error("There is no such example.", print_exception=False)
        return self.examples[code]

    def compare_models(self, image: Upload, target: str) -> str:
        """Return all models' answers to one image side by side."""
        if image is None:
            return messages.empty_comparison()
        if isinstance(image, InputError):
            return messages.problem(str(image))
        try:
            answers = build_answers(self.shelf.read_all(Picture.of(image)), target)
        except ImageError as error:
            return messages.problem(str(error))
        except InputError as error:
            return messages.trouble(str(error))
        return comparison.render(answers)

    def classify_batch(
        self, files: Uploads, model: str, progress: Callable[..., Any] | None = None
    ) -> str:
        """Return the table of many images' answers, with a link to it as CSV."""
        if files is None:
            return messages.empty_batch()
        try:
            if isinstance(files, InputError):
                raise files
            items = batch.list_items(files)
            networks = list(self.shelf.get(model).values())
        except InputError as error:
            return messages.trouble(str(error))
        rows = []
        for row in batch.classify_items(networks, items):
            rows.append(row)
            if progress is not None:
                progress((len(rows), len(items)), desc="Classifying", unit="images")
        return tables.render(rows, model)

    def choose(self, *chosen: str) -> list[Any]:
        """Return the models that can be chosen now, for each selector: some may have failed."""
        choices = self.choices()
        names = [name for _, name in choices]
        return [
            gr.update(choices=choices, value=name if name in names else names[0]) for name in chosen
        ]

    def choices(self) -> list[tuple[str, str]]:
        """Return each model that can be chosen: what is shown, and its name."""
        entries = self.shelf.entries
        drawn_only = all(entry.drawn_only for entry in entries.values())
        labels = {
            name: messages.model_label(name, entry.measure, entry.drawn_only and not drawn_only)
            for name, entry in entries.items()
        }
        mean = measure_ensemble([entries[name] for name in self.shelf.names()])
        of_mean = messages.model_label(ENSEMBLE, mean, drawn_only=False)
        return [(labels.get(name, of_mean), name) for name in self.shelf.choices()]

    def _answer(
        self, image: Picture | Image.Image, model: str, target: str, method: str
    ) -> tuple[Answer, Judgement]:
        answer = build_answer(self.shelf.read(model, Picture.of(image)), target, method=method)
        return answer, judge(self.shelf.entries.get(model), answer.opinion)

    def _weights(self, model: str) -> dict[str, str]:
        names = self.shelf.names() if model == ENSEMBLE else [model]
        entries = [self.shelf.entries[name] for name in names if name in self.shelf.entries]
        return {entry.name: entry.weights_sha256 or "unknown" for entry in entries}


def _slider(answer: Answer, opacity: float) -> Any:
    overlay = answer.overlay(opacity)
    if overlay is None:
        return gr.update(visible=False, value=None)
    return gr.update(visible=True, value=(answer.picture, overlay))


def _without_result(panel: str, *, offers: bool = False) -> tuple[Any, ...]:
    return panel, gr.update(visible=offers), gr.update(visible=False), "", None, ""
