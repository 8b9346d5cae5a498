"""Command-line arguments that scripts share, and their parser."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from hf_lesion.errors import EXIT_USER_ERROR


def at_least(least: int) -> Callable[[str], int]:
    """Return an argument type for integers of at least `least`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"expected an integer of at least {least}, got {text}")
        return value

    return parse


SHARED: dict[str, dict[str, Any]] = {
    "model": {"type": Path, "metavar": "DIR", "help": "trained model"},
    "models": {"type": Path, "metavar": "DIR", "help": "folder of model folders"},
    "dataset": {"type": Path, "metavar": "DIR", "help": "folder written by prepare_data.py"},
    "split": {"default": "test", "metavar": "NAME", "help": "split of the dataset (default: test)"},
    "batch_size": {
        "type": at_least(1),
        "default": 32,
        "metavar": "N",
        "help": "images per batch (default: 32)",
    },
    "output": {"type": Path, "metavar": "DIR", "help": "output folder (default: the model folder)"},
    "private": {
        "type": Path,
        "default": Path("reports/private"),
        "metavar": "DIR",
        "help": "folder for figures of dataset images, kept out of git (default: %(default)s)",
    },
    "overwrite": {"action": "store_true", "help": "replace an existing output"},
}


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that reports errors in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Exit with the message and exit code 2."""
        self.exit(EXIT_USER_ERROR, f"error: {message}. See {self.prog} --help.\n")


def build_parser(description: str | None) -> Parser:
    """Return a parser that keeps the line breaks of its description, a script's docstring."""
    return Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_shared(parser: argparse.ArgumentParser, *names: str, **changes: Any) -> None:
    """Add arguments of `SHARED` to a parser; `changes` override keywords such as `required`."""
    for name in names:
        parser.add_argument(f"--{name}", **{**SHARED[name], **changes})
