"""Rejection of invalid requests and failed events, with an explanation and without private data.

By default gradio logs a traceback with the visitor's values and file names, and does not explain
the error to the visitor.
"""

import sys
import traceback
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from gradio.exceptions import InvalidPathError
from gradio.route_utils import FnIndexInferError

from hf_lesion.errors import InputError

NOT_UPLOADED = "This page reads only files that were uploaded to it. Upload the image first."
INVALID = "This request is invalid. The API is described under “API” at the foot of the page."
FAILED = "The server failed to process this request. Try again, or choose another model."
UNPROCESSABLE, NOT_FOUND = 422, 404


def explain_errors(blocks: gr.Blocks) -> None:
    """Make a page explain errors to the visitor and log only their type."""
    preprocess, call = blocks.preprocess_data, blocks.call_function

    async def preprocess_data(*arguments: Any, **options: Any) -> Any:
        try:
            return await preprocess(*arguments, **options)
        except gr.Error as error:
            error.print_exception = False
            raise
        except Exception as error:
            sys.stderr.write(f"Invalid request: {type(error).__name__}\n")
            text = NOT_UPLOADED if isinstance(error, InvalidPathError) else INVALID
            raise gr.Error(text, print_exception=False) from error

    async def call_function(*arguments: Any, **options: Any) -> Any:
        try:
            return await call(*arguments, **options)
        except gr.Error:
            raise
        except InputError as error:
            # The browser shows this text as HTML.
            text = escape(str(error), quote=False)
            raise gr.Error(text, print_exception=False) from error
        except Exception as error:
            # The location only, since the message may contain a file name.
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}, line {place.lineno}"
            sys.stderr.write(f"Request failed: {type(error).__name__} in {where}\n")
            raise gr.Error(FAILED, print_exception=False) from error

    blocks.preprocess_data, blocks.call_function = preprocess_data, call_function


async def reject_endpoint(_request: Request, error: Exception) -> JSONResponse:
    """Respond to a request for an unknown endpoint, or with unknown arguments."""
    sys.stderr.write(f"Invalid request: {type(error).__name__}\n")
    return JSONResponse({"detail": INVALID}, NOT_FOUND)


async def reject_body(_request: Request, _error: RequestValidationError) -> JSONResponse:
    """Respond to a malformed body without quoting it, since it may not be JSON."""
    return JSONResponse({"detail": INVALID}, UNPROCESSABLE)


# Gradio's routes raise the last three for an unknown name, number or argument.
HANDLERS: dict[type[Exception], Any] = {
    RequestValidationError: reject_body,
    FnIndexInferError: reject_endpoint,
    LookupError: reject_endpoint,
    TypeError: reject_endpoint,
}
