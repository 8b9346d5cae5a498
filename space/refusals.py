"""Requests that gradio itself can't take: refused in words, and nothing of them is written down.

Left alone, gradio writes a traceback with the visitor's values and file names to the log, and tells
the visitor nothing.
"""

import sys
from typing import Any

import gradio as gr
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from gradio.exceptions import InvalidPathError

NOT_UPLOADED = "This page reads only files that were uploaded to it. Upload the image first."
NOT_EXPECTED = (
    "The page can't make sense of this request. How to ask is shown under “Use via API” at its end."
)
UNPROCESSABLE = 422


def refuse_in_words(blocks: gr.Blocks) -> None:
    """Have a page say why it can't take a request, and log no more than the kind of error."""
    take = blocks.preprocess_data

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

    blocks.preprocess_data = take_inputs


async def refuse_body(_request: Request, _error: RequestValidationError) -> JSONResponse:
    """Answer a body that is no request at all; nothing of it goes back: it may not be JSON."""
    return JSONResponse({"detail": NOT_EXPECTED}, UNPROCESSABLE)


HANDLERS = {RequestValidationError: refuse_body}
