"""Parses multipart bodies with fields and one file, and writes the file while it is
received.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiohttp import BodyPartReader, MultipartReader, web
from multidict import CIMultiDictProxy

from .errors import malformed

CHUNK = 1 << 20


class FlatReader(MultipartReader):
    """A reader that does not parse parts as nested forms, because databricks-cli sends
    a file with the type multipart/form-data.
    """

    def _get_part_reader(self, headers: CIMultiDictProxy[str]) -> BodyPartReader:
        return BodyPartReader(self._boundary, headers, self._content)


async def read_form(
    request: web.Request, received: Path
) -> tuple[dict[str, Any], Path | None]:
    """Return the fields of a form and its file, which is written to `received`. The
    result is None in place of the file if the form has no file. Raises ApiError.
    """
    fields: dict[str, Any] = {}
    upload: Path | None = None
    try:
        reader = FlatReader(request.headers, request.content)
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader) or part.name is None:
                raise malformed("a part of the form has no name")
            if part.filename is None:
                fields[part.name] = (await part.read()).decode()
                continue
            upload = received
            with received.open("wb") as opened:
                while chunk := await part.read_chunk(CHUNK):
                    opened.write(chunk)
    except ValueError as error:
        raise malformed(f"Invalid multipart body: {error}") from None
    return fields, upload
