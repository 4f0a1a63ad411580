"""Routes of DBFS."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from ..errors import invalid_parameter, missing_field
from ..routing import Call, Route
from .state import Dbfs

BASE = "/api/2.0/dbfs"


def decoded(name: str, text: str) -> bytes:
    """Decode a base64 text. Raises ApiError if the text is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise invalid_parameter(f"{name} is not base64") from None


def routes(dbfs: Dbfs) -> list[Route]:
    return [*_reading(dbfs), *_changing(dbfs), *_streaming(dbfs)]


def _reading(dbfs: Dbfs) -> list[Route]:
    def status(call: Call) -> dict[str, Any]:
        return dbfs.status(call.text("path"))

    def list_(call: Call) -> dict[str, Any]:
        return {"files": dbfs.entries(call.text("path"))}

    def read(call: Call) -> dict[str, Any]:
        data = dbfs.read(
            call.text("path"),
            call.number("offset", 0),
            call.number("length", 512 * 1024),
        )
        return {"bytes_read": len(data), "data": base64.b64encode(data).decode()}

    return [
        Route("GET", f"{BASE}/get-status", status),
        Route("GET", f"{BASE}/list", list_),
        Route("GET", f"{BASE}/read", read),
    ]


def _changing(dbfs: Dbfs) -> list[Route]:
    def put(call: Call) -> dict[str, Any]:
        content = call.upload
        if content is None and "contents" not in call.fields:
            raise missing_field("contents")
        whole = content or decoded("contents", call.text("contents"))
        dbfs.put(call.text("path"), whole, overwrite=call.flag("overwrite"))
        return {}

    def mkdirs(call: Call) -> dict[str, Any]:
        dbfs.mkdirs(call.text("path"))
        return {}

    def delete(call: Call) -> dict[str, Any]:
        dbfs.delete(call.text("path"), recursive=call.flag("recursive"))
        return {}

    def move(call: Call) -> dict[str, Any]:
        dbfs.move(call.text("source_path"), call.text("destination_path"))
        return {}

    return [
        Route("POST", f"{BASE}/put", put),
        Route("POST", f"{BASE}/mkdirs", mkdirs),
        Route("POST", f"{BASE}/delete", delete),
        Route("POST", f"{BASE}/move", move),
    ]


def _streaming(dbfs: Dbfs) -> list[Route]:
    """Return the routes with which a client writes a file in blocks: it opens a handle,
    adds blocks to it, and closes it.
    """

    def create(call: Call) -> dict[str, Any]:
        return {
            "handle": dbfs.create(call.text("path"), overwrite=call.flag("overwrite"))
        }

    def add_block(call: Call) -> dict[str, Any]:
        dbfs.add_block(call.number("handle"), decoded("data", call.text("data")))
        return {}

    def close(call: Call) -> dict[str, Any]:
        dbfs.close(call.number("handle"))
        return {}

    return [
        Route("POST", f"{BASE}/create", create),
        Route("POST", f"{BASE}/add-block", add_block),
        Route("POST", f"{BASE}/close", close),
    ]
