"""How much the libraries below us say."""

import contextlib
import logging
import sys
from collections.abc import Iterator

import datasets
import transformers


def quiet_libraries() -> None:
    """Leave stderr to our own bar and errors; in a log, even the bars of datasets are noise."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()


@contextlib.contextmanager
def errors_only(logger: logging.Logger) -> Iterator[None]:
    """Let a logger say errors only, until the block ends."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
