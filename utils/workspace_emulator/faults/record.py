"""Records each request as one line of JSON; the line contains no secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SECRET = ("string_value", "bytes_value", "token_value", "contents", "content", "data")


class Record:
    """The recorded requests, in the order of their responses. The field `number` shows
    the order in which requests arrived.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.requests: list[dict[str, Any]] = []
        if file.exists():
            for line in file.read_text(encoding="utf-8").splitlines():
                self.requests.append(json.loads(line))
        self._number = max((request["number"] for request in self.requests), default=0)

    def next_number(self) -> int:
        """Return the number for a new request."""
        self._number += 1
        return self._number

    def add(self, request: Mapping[str, Any]) -> None:
        """Record an answered request."""
        self.requests.append(dict(request))
        with self._file.open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(request) + "\n")

    def clear(self) -> None:
        """Remove all recorded requests. The numbers of new requests do not start again
        at 1.
        """
        self.requests.clear()
        self._file.unlink(missing_ok=True)


def redacted(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body without secrets. File contents and secrets are replaced by their
    sizes. The values of environment variables are omitted.
    """
    result: dict[str, Any] = {}
    for name, value in body.items():
        if name in SECRET:
            result[name] = f"({len(str(value))} characters)"
        elif name == "spark_env_vars" and isinstance(value, dict):
            result[name] = dict.fromkeys(value, "(not recorded)")
        elif isinstance(value, dict):
            result[name] = redacted(value)
        elif isinstance(value, list):
            result[name] = [
                redacted(each) if isinstance(each, dict) else each for each in value
            ]
        else:
            result[name] = value
    return result
