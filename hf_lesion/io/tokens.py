"""Access tokens of the Hub: origin of the token, and reasons for its rejection."""

import os

from huggingface_hub import constants
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

UNAUTHORIZED, FORBIDDEN = 401, 403
# In the order in which huggingface_hub reads them.
VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
TOKENS = "https://huggingface.co/settings/tokens"


def describe_rejection(error: BaseException, *, writing: bool = False) -> str | None:
    """Return why the Hub rejected the token of a request, and the fix; None if it did not.

    The Hub answers 404 to a valid token without access to a repository. A 401 to a request with a
    token is always about the token, even if huggingface_hub reports a missing repository.

    Args:
        error: The error of huggingface_hub, or one caused by it.
        writing: Whether a token is required; public repositories can be read without one.
    """
    found = _answer_behind(error)
    if found is None or not found.response.request.headers.get("authorization"):
        return None
    status = found.response.status_code
    source, renew, leave = _find_source()
    if status == UNAUTHORIZED:
        return (
            f"The Hub rejects your token (HTTP {status}): it is expired, revoked or mistyped. It "
            f"is read from {source}. {renew}{'' if writing else leave}."
        )
    if status == FORBIDDEN and not isinstance(found, GatedRepoError):
        said = " ".join(str(found.server_message or "").split())
        return (
            f"Your token does not allow this (HTTP {status}){f': {said!r}' if said else ''}. It is "
            f"read from {source}. Give it the rights at {TOKENS}, or use another one."
        )
    return None


def _answer_behind(error: BaseException | None) -> HfHubHTTPError | None:
    while error is not None and not isinstance(error, HfHubHTTPError):
        error = error.__cause__ or error.__context__
    return error


def _find_source() -> tuple[str, str, str]:
    """Return where the token is read from, how to renew it there, and how to do without."""
    for name in VARIABLES:
        if os.environ.get(name):
            return (
                f"the environment variable {name}",
                f"Set it to a new one from {TOKENS}",
                ", or unset it: what is public needs none",
            )
    return (
        f"the file {constants.HF_TOKEN_PATH}",
        "Run `hf auth login`",
        ", or `hf auth logout`: what is public needs none",
    )
