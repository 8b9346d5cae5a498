"""Requests that gradio itself can't take: refused in words, and nothing of them is written down.

Left alone, gradio writes a traceback with the visitor's values and file names to the log, and tells
the visitor nothing.
"""

import sys
import traceback
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from gradio.exceptions import InvalidPathError
from gradio.route_utils import FnIndexInferError

NOT_UPLOADED = "This page reads only files that were uploaded to it. Upload the image first."
NOT_EXPECTED = (
    "The page can't make sense of this request. How to ask is shown under “Use via API” at its end."
)
FAILED = (
    "This could not be answered, for a reason that lies with the page and not with you. Try again, "
    "or with another model."
)
UNPROCESSABLE, NOT_FOUND = 422, 404


def refuse_in_words(blocks: gr.Blocks) -> None:
    """Have a page say why it can't take a request, and log no more than the kind of error."""
    take, call = blocks.preprocess_data, blocks.call_function

    async def take_inputs(*arguments: Any, **options: Any) -> Any:
        try:
            return await take(*arguments, **options)
        except gr.Error as error:
            error.print_exception = False
            raise
        except Exception as error:
            sys.stderr.write(f"A request was refused: {type(error).__name__}\n")
            text = NOT_UPLOADED if isinstance(error, InvalidPathError) else NOT_EXPECTED
            raise gr.Error(text, print_exception=False) from error

    async def call_function(*arguments: Any, **options: Any) -> Any:
        try:
            return await call(*arguments, **options)
        except gr.Error:
            raise
        except Exception as error:
            # Where it happened, and not what it says: that may hold a file's name.
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}, line {place.lineno}"
            sys.stderr.write(f"A question was not answered: {type(error).__name__} in {where}\n")
            raise gr.Error(FAILED, print_exception=False) from error

    blocks.preprocess_data, blocks.call_function = take_inputs, call_function


async def refuse_address(_request: Request, error: Exception) -> JSONResponse:
    """Answer a request for a call that is not there, or with arguments that it does not have."""
    sys.stderr.write(f"A request was refused: {type(error).__name__}\n")
    return JSONResponse({"detail": NOT_EXPECTED}, NOT_FOUND)


async def refuse_body(_request: Request, _error: RequestValidationError) -> JSONResponse:
    """Answer a body that is no request at all; nothing of it goes back: it may not be JSON."""
    return JSONResponse({"detail": NOT_EXPECTED}, UNPROCESSABLE)


# The last three are what gradio's routes run into where a name, number or argument is not known.
HANDLERS: dict[type[Exception], Any] = {
    RequestValidationError: refuse_body,
    FnIndexInferError: refuse_address,
    LookupError: refuse_address,
    TypeError: refuse_address,
}
