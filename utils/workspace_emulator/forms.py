"""Parses multipart bodies with fields and one file. The file is written to disk while
it is received.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiohttp import BodyPartReader, MultipartReader, web
from multidict import CIMultiDictProxy

from .errors import malformed

CHUNK = 1 << 20


class FlatReader(MultipartReader):
    """A reader that never parses a part as a nested form. This reader is necessary
    because databricks-cli sends a file with the content type multipart/form-data.
    """

    def _get_part_reader(self, headers: CIMultiDictProxy[str]) -> BodyPartReader:
        return BodyPartReader(self._boundary, headers, self._content)


async def read_form(
    request: web.Request, received: Path
) -> tuple[dict[str, Any], Path | None]:
    """Return the fields of a form, and the path of its file or None. The file is
    written to `received`. Raises ApiError.
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
