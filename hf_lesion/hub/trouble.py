"""What the Hub's client raises, said in one line that names the cause and the way out."""

import contextlib
import re
from collections.abc import Iterator

from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import httpx

from hf_lesion.errors import InputError
from hf_lesion.io.tokens import FORBIDDEN, UNAUTHORIZED, describe_rejection

LOGIN = "Run `hf auth login`, or set HF_TOKEN."
WRITE_TOKEN = "https://huggingface.co/settings/tokens makes a token with write access."
AGAIN = "Run the same line again: what was sent is not sent twice."
QUOTA = re.compile(r"quota|storage|limit reached|payment|too large|exceed", re.IGNORECASE)
PAYMENT, TIMEOUT, CONFLICT = 402, 408, 409
CHANGED, TOO_LARGE, TOO_MANY, SERVER, FULL = 412, 413, 429, 500, 507
# Of the libraries: raised by the client itself, by its transport, and around a failed upload.
RAISED = (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    httpx.HTTPError,
    ConnectionError,
    TimeoutError,
    RuntimeError,
    ValueError,
)


@contextlib.contextmanager
def hub_errors(what: str) -> Iterator[None]:
    """Turn what the Hub's client raises into an `InputError` that names the cause.

    Args:
        what: The repository, as it is named to the user.
    """
    try:
        yield
    except InputError:
        raise
    except RAISED as error:
        raise InputError(explain(error, what)) from error


def explain(error: BaseException, what: str) -> str:
    """Return the cause of an error, and what to do about it."""
    root = _root(error)
    if isinstance(root, OfflineModeIsEnabled):
        return f"{what}: HF_HUB_OFFLINE is set, so nothing goes to the Hub. Unset it."
    if isinstance(root, LocalTokenNotFoundError):
        return f"You are not logged in to the Hub. {LOGIN}"
    if isinstance(root, HfHubHTTPError):
        return _explain_answer(root, what)
    if isinstance(root, HFValidationError):
        return f"{what} is no name for a repository: {_first_line(root)}"
    if isinstance(root, httpx.TimeoutException):
        return f"{what}: the Hub did not answer in time. {AGAIN}"
    if isinstance(root, httpx.ConnectError):
        return f"{what}: the Hub can't be reached ({_first_line(root)}): offline? {AGAIN}"
    if isinstance(root, httpx.HTTPError | ConnectionError | TimeoutError):
        return f"{what}: the connection to the Hub broke off ({type(root).__name__}). {AGAIN}"
    return f"{what}: {type(root).__name__}: {_first_line(root)}"


def _explain_answer(error: HfHubHTTPError, what: str) -> str:
    status = error.response.status_code
    said = error.server_message or error.response.headers.get("X-Error-Message") or ""
    quoted = f' The Hub says: "{" ".join(str(said).split())}"' if said else ""
    if isinstance(error, RevisionNotFoundError):
        return f"{what} has no such revision."
    if status in (PAYMENT, TOO_LARGE, FULL) or (status == FORBIDDEN and QUOTA.search(str(said))):
        return f"{what}: a quota of your account is used up.{quoted}"
    rejection = describe_rejection(error, writing=True)
    if status == UNAUTHORIZED and rejection:
        return rejection
    if status in (UNAUTHORIZED, FORBIDDEN):
        return f"{what}: you have no right to write there.{quoted} {WRITE_TOKEN}"
    if isinstance(error, RepositoryNotFoundError):
        return f"{what} is not there, or private and not yours."
    return _explain_status(status, what, quoted)


def _explain_status(status: int, what: str, quoted: str) -> str:
    if status == CONFLICT:
        return f"{what} exists already, and is not yours to see. Pass another --repo_id.{quoted}"
    if status == CHANGED:
        return f"{what} was changed by someone else meanwhile. {AGAIN}"
    if status == TOO_MANY:
        return f"{what}: the Hub asks for a pause (HTTP 429). Wait some minutes. {AGAIN}"
    if status >= SERVER or status == TIMEOUT:
        return f"{what}: the Hub has trouble of its own (HTTP {status}). {AGAIN}"
    return f"{what}: the Hub refuses (HTTP {status}).{quoted}"


def _root(error: BaseException) -> BaseException:
    """Return what lies below "Error while uploading …", which the client puts around it."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
