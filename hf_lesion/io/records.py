"""JSON records as typed models: written whole, validated on reading."""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.files import write_json


class Record(BaseModel):
    """Base of the records: immutable, finite numbers only; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


Kind = TypeVar("Kind", bound=BaseModel)


def write_record(file: Path, record: Record) -> Path:
    """Write a record as indented JSON and return its path."""
    write_json(file, record.model_dump(mode="json"))
    return file


def read_record(file: Path, kind: type[Kind], *, fix: str) -> Kind | None:
    """Return a record; None if the file does not exist. Arguments are those of `parse_record`."""
    return (
        parse_record(file.read_bytes(), kind, source=str(file), fix=fix) if file.is_file() else None
    )


def parse_record(data: bytes | str, kind: type[Kind], *, source: str, fix: str) -> Kind:
    """Parse JSON and validate it as a record of some kind.

    `source` is its name in messages, `fix` a sentence on what to do about a damaged one.

    Raises:
        InputError: If the text is not JSON, or a field is missing or invalid; names both.
    """
    try:
        # Python's parser: that of pydantic rejects file names that are not UTF-8.
        return kind.model_validate(json.loads(data))
    except ValidationError as error:
        found = list_offenders([_describe(one) for one in error.errors(include_url=False)], 3)
        raise InputError(f"{source} is not a valid record: {found}. {fix}") from error
    except ValueError as error:
        raise InputError(f"{source} is not a valid record: Invalid JSON: {error}. {fix}") from error


def _describe(error: Any) -> str:
    where = ".".join(map(str, error["loc"]))
    return f"{where}: {error['msg']}" if where else str(error["msg"])
