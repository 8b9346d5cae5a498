"""Errors: invalid user input and interrupted runs, shown by scripts as one line."""

import functools
import io
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

EXIT_USER_ERROR = 2
Value = TypeVar("Value", bound=Hashable)


class InputError(ValueError):
    """Invalid user input; the message says what was expected, what was found, and the fix."""


class StoppedError(Exception):
    """A run was stopped on request after saving its state; the message says how to resume it.

    `code` is the exit code that shells expect after the signal.
    """

    def __init__(self, text: str, code: int):
        super().__init__(text)
        self.code = code


def list_offenders(offenders: Sequence[object], shown: int = 5) -> str:
    """Return the first `shown` offenders as text, with an ellipsis if there are more."""
    text = ", ".join(str(offender) for offender in offenders[:shown])
    return f"{text}, …" if len(offenders) > shown else text


def find_repeated(values: Iterable[Value]) -> list[Value]:
    """Return each value that occurs more than once."""
    return [value for value, count in Counter(values).items() if count > 1]


def one_line_errors(main: Callable[[], None]) -> Callable[[], None]:
    """Wrap the `main` of a script to report an `InputError` or `OSError` in one line, exit code 2.

    The exit code is 130 after Ctrl-C, and that of the exception after a `StoppedError`. Other
    exceptions are bugs and keep their traceback. Characters of file names that the terminal cannot
    encode are escaped.
    """

    @functools.wraps(main)
    def wrapped() -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            main()
        except InputError as error:
            sys.exit(_print_error(f"error: {error}", EXIT_USER_ERROR))
        except OSError as error:
            if error.filename is None and error.errno is None:
                raise
            where = "" if error.filename is None else f": {error.filename}"
            sys.exit(_print_error(f"error: {error.strerror or error}{where}", EXIT_USER_ERROR))
        except StoppedError as stop:
            sys.exit(_print_error(str(stop), stop.code))
        except KeyboardInterrupt:
            sys.exit(_print_error("interrupted", 130))

    return wrapped


def _print_error(line: str, code: int) -> int:
    # No full stop after the ellipsis of a truncated list of offenders.
    sys.stderr.write(" ".join(line.split()).replace("….", "…") + "\n")
    return code
