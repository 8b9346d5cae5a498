"""One kind of error for mistakes that a user can mend, and how scripts show it."""

import functools
import io
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

EXIT_USER_ERROR = 2
Value = TypeVar("Value", bound=Hashable)


class InputError(ValueError):
    """A mistake in what the user gave: says what was expected, what came, and the fix."""


class StoppedError(Exception):
    """The run was asked to stop and has saved what it had; says how to go on.

    Args:
        text: What the user reads.
        code: The exit code, as shells expect it after the signal.
    """

    def __init__(self, text: str, code: int):
        super().__init__(text)
        self.code = code


def list_offenders(offenders: Sequence[object], shown: int = 5) -> str:
    """Return the first offenders as text, with an ellipsis if there are more.

    Args:
        offenders: What is wrong, in the order to be shown.
        shown: How many to name.
    """
    text = ", ".join(str(offender) for offender in offenders[:shown])
    return f"{text}, …" if len(offenders) > shown else text


def find_repeated(values: Iterable[Value]) -> list[Value]:
    """Return the values that occur more than once, wherever they stand, each once."""
    return [value for value, count in Counter(values).items() if count > 1]


def one_line_errors(main: Callable[[], None]) -> Callable[[], None]:
    """Wrap a script's `main`: an `InputError` or a full disk ends it with one line, exit code 2.

    Ctrl-C ends with exit code 130, as shells expect, and a `StoppedError` with its own code. Any
    other exception is a defect of ours and keeps its traceback. What the terminal can't show of a
    file's name is printed as an escape.
    """

    @functools.wraps(main)
    def wrapped() -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            main()
        except InputError as error:
            sys.exit(_say(f"error: {error}", EXIT_USER_ERROR))
        except OSError as error:
            if error.filename is None and error.errno is None:
                raise
            where = "" if error.filename is None else f": {error.filename}"
            sys.exit(_say(f"error: {error.strerror or error}{where}", EXIT_USER_ERROR))
        except StoppedError as stop:
            sys.exit(_say(str(stop), stop.code))
        except KeyboardInterrupt:
            sys.exit(_say("interrupted", 130))

    return wrapped


def _say(line: str, code: int) -> int:
    # A list of offenders that was cut ends with an ellipsis: no full stop after it.
    sys.stderr.write(" ".join(line.split()).replace("….", "…") + "\n")
    return code
