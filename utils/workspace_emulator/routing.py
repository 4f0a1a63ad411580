"""Defines routes, and parses the fields of requests."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union

from aiohttp import web

from .errors import invalid_parameter, malformed, missing_field

Answer = Union[dict[str, Any], web.StreamResponse]
Handler = Callable[["Call"], Union[Answer, Awaitable[Answer]]]
TRUE, FALSE = ("true", "1"), ("false", "0", "")


@dataclass(frozen=True)
class Route:
    """One route of the workspace.

    Attributes:
        method: the HTTP method.
        path: the path in aiohttp's syntax, such as `/api/2.0/fs/files{path:/.*}`.
        handler: returns the body of a response with status 200, or a complete response.
        raw: whether the handler reads the request body itself.
    """

    method: str
    path: str
    handler: Handler
    raw: bool = False


@dataclass
class Call:
    """A request and its fields. The fields come from a JSON body, a form or the query
    string.

    The methods convert the values of fields, because clients send different types. For
    example, databricks-cli sends numbers as strings and flags as `True`.

    Attributes:
        request: aiohttp's request.
        fields: the fields of the body and of the query string. If the body and the
            query string have the same field, the value in the body is used.
        upload: a temporary file that contains the uploaded file of a multipart body.
            This file is removed after the response.
    """

    request: web.Request
    fields: Mapping[str, Any] = field(default_factory=dict)
    upload: Path | None = None

    @property
    def match(self) -> Mapping[str, str]:
        """Return the values of the variable parts of the path, by name."""
        return self.request.match_info

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text field. Raises ApiError if the value is not a text, or if the
        field is missing and there is no default.
        """
        value = self.fields.get(name, default)
        if value is None:
            raise missing_field(name)
        if not isinstance(value, str):
            raise invalid_parameter(f"{name} must be a string")
        return value

    def number(self, name: str, default: int | None = None) -> int:
        """Return an integer field, which a client may send as a string."""
        value = self.fields.get(name, default)
        if value is None:
            raise missing_field(name)
        try:
            return int(value)
        except (TypeError, ValueError, OverflowError):
            raise invalid_parameter(f"{name} must be a number, not {value!r}") from None

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a boolean field, which a client may send as a string."""
        value = str(self.fields.get(name, default)).lower()
        if value not in TRUE + FALSE:
            raise invalid_parameter(f"{name} must be true or false, not {value!r}")
        return value in TRUE

    def items(self, name: str) -> list[dict[str, Any]]:
        """Return a field that is a list of objects."""
        value = self.fields.get(name)
        if value is None:
            raise missing_field(name)
        if not isinstance(value, list) or not all(
            isinstance(item, dict) for item in value
        ):
            raise invalid_parameter(f"{name} must be a list of objects")
        return value


def fields_of(body: bytes) -> dict[str, Any]:
    """Return the fields of a JSON body. Raises ApiError if the body is not a JSON
    object.
    """
    if not body.strip():
        return {}
    try:
        parsed = json.loads(body, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise malformed(
            f"Invalid JSON given in the body of the request: {error}"
        ) from None
    if not isinstance(parsed, dict):
        raise malformed("Invalid JSON given in the body of the request: not an object")
    return parsed


def _finite(text: str) -> float:
    """Return a finite number. Raises ValueError for NaN, infinity, and values that are
    too large, such as `1e400`.
    """
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number
