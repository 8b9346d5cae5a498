"""The models behind the page: loaded one after another while the page is served already."""

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from answers import choose
from catalogue import Entry, best_first, one_line, read_entry
from predictions import Reading, Recent, join, read

from hf_lesion.errors import InputError

if TYPE_CHECKING:
    from intake import Picture

    from hf_lesion.classifier import LesionClassifier

ENSEMBLE = "ensemble"
LEFT_OUT = " is left out: "  # between a model's source and the reason, in every such line
DAMAGED = "its files are damaged"
TOKEN_PLACE = " It is read from "  # as hf_lesion.io.tokens says where a token of this machine lies
LONGEST_WAIT = 120.0  # seconds that a question waits for its model
WARM_UP_PIXELS = (64, 48)

Say = Callable[[str], None]


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")


def load_entry(entry: Entry) -> "LesionClassifier":
    """Load one model and let it answer once: the first answer of a network takes longest."""
    # Torch and transformers take seconds to import: only once there is something to load.
    import transformers
    from PIL import Image

    from hf_lesion.classifier import LesionClassifier

    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    classifier = LesionClassifier.from_pretrained(entry.source)
    classifier.predict([Image.new("RGB", WARM_UP_PIXELS)])
    return classifier


class Shelf:
    """The models of one page, by name; whoever asks for one waits until it is loaded.

    Attributes:
        entries: What is known of each model, best first.
        left_out: One line on each model that is not served, as visitors may read it.
        recent: What the models made of the last few images.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        *,
        lines: Sequence[str] = (),
        load: Callable[[Entry], "LesionClassifier"] = load_entry,
        say: Say = _to_stderr,
    ):
        self.entries = {entry.name: entry for entry in entries}
        self.left_out = [_publicly(line) for line in lines if LEFT_OUT in line]
        self.recent = Recent()
        self._load = load
        self._say = say
        self._loaded: dict[str, Future[LesionClassifier]] = {
            name: Future() for name in self.entries
        }

    @classmethod
    def of(cls, models: Mapping[str, "LesionClassifier"]) -> "Shelf":
        """Return a shelf of models that are loaded already."""
        entries = []
        for name, classifier in models.items():
            found = read_entry(name, Path(classifier.model.name_or_path))
            entries.append(replace(found, record=classifier.record))
        shelf = cls(best_first(entries))
        for name, classifier in models.items():
            shelf._loaded[name].set_result(classifier)
        return shelf

    def start(self) -> threading.Thread:
        """Load the models, best first, in a thread of their own."""
        thread = threading.Thread(target=self.load, name="models", daemon=True)
        thread.start()
        return thread

    def load(self) -> None:
        """Load every model; say which can't be, and why."""
        for name, future in self._loaded.items():
            entry = self.entries[name]
            try:
                future.set_result(self._load(entry))
            except Exception as error:  # noqa: BLE001 - whatever one holds, the others are served
                line = f"{entry.source}{LEFT_OUT}{one_line(error)}"
                self._say(line)
                is_ours = isinstance(error, InputError)
                self.left_out.append(_publicly(line) if is_ours else f"{name}{LEFT_OUT}{DAMAGED}.")
                future.set_exception(error)
        if not self.names():
            self._say("error: not one of the models could be loaded.")

    def names(self) -> list[str]:
        """Return the models that are loaded or may still be, best first."""
        return [name for name, future in self._loaded.items() if not _failed(future)]

    def choices(self) -> list[str]:
        """Return what a visitor can choose: the models, and the ensemble if there are several."""
        names = self.names()
        return [*names, ENSEMBLE] if len(names) > 1 and ENSEMBLE not in names else names

    def get(self, name: str) -> "dict[str, LesionClassifier]":
        """Return a model by its name, or all of them for `ENSEMBLE`; waits until it is loaded.

        Raises:
            InputError: If there is no such model, it can't be used, or takes too long to load.
        """
        if isinstance(name, str) and name in self._loaded:
            return {name: self._wait(name)}
        choose("model", name, self.choices())
        return self.all()

    def read(self, name: str, picture: "Picture") -> Reading:
        """Return what a model, or all of them together, makes of an image.

        Raises:
            InputError: As `get`, or if the image can't be read.
        """
        return join(list(self._read(self.get(name), picture).values()))

    def read_all(self, picture: "Picture") -> dict[str, Reading]:
        """Return what every model makes of an image; errors as `read`."""
        return self._read(self.all(), picture)

    def _read(
        self, models: "Mapping[str, LesionClassifier]", picture: "Picture"
    ) -> dict[str, Reading]:
        return {
            name: self.recent.get(picture.sha256, name, partial(_read_picture, model, picture))
            for name, model in models.items()
        }

    def all(self) -> "dict[str, LesionClassifier]":
        """Return every model that can be used; waits until all are loaded."""
        found = {}
        for name in list(self._loaded):
            try:
                found[name] = self._wait(name)
            except InputError:
                if not _failed(self._loaded[name]):
                    raise
        return found

    def _wait(self, name: str) -> "LesionClassifier":
        try:
            return self._loaded[name].result(timeout=LONGEST_WAIT)
        except NotYet as error:
            raise InputError(
                f"The model {name} is still being loaded. Try again in a few seconds."
            ) from error
        except Exception as error:
            raise InputError(
                f"The model {name} can't be used: {DAMAGED}. Choose another one."
            ) from error


def _read_picture(model: "LesionClassifier", picture: "Picture") -> Reading:
    return read(model, picture.image)


def _failed(future: "Future[LesionClassifier]") -> bool:
    return future.done() and future.exception() is not None


def _publicly(line: str) -> str:
    """Return a line on a model that is left out without where its folder lies on this machine."""
    source, _, reason = line.partition(LEFT_OUT)
    name = PurePath(source).name
    reason = reason.partition(TOKEN_PLACE)[0].replace(source, name)
    return f"{name}{LEFT_OUT}{reason}"
