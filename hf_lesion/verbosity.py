"""Verbosity of the libraries: silence what would mix with progress bars and errors."""

import contextlib
import logging
import sys
from collections.abc import Iterator

import datasets
import transformers


def quiet_libraries() -> None:
    """Show only errors of transformers, and no progress bars of datasets outside a terminal."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()


@contextlib.contextmanager
def errors_only(logger: logging.Logger) -> Iterator[None]:
    """Restrict a logger to errors until the block ends."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
