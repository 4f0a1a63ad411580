"""Logs as JSON on standard output, one object per line, for a log collector."""

from __future__ import annotations

import datetime
import logging
import sys
from typing import Any, Dict

import orjson

LOGGER = "lakekit_api"
EXTRA = "fields"


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON. The fields of `extra={"fields": {...}}` are
    added to the message.
    """

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
        line: Dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, EXTRA, {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def configure(level: str) -> None:
    """Send every log of this process to standard output as JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger(LOGGER).setLevel(level.upper())


def log(level: int, message: str, *, error: bool = False, **fields: Any) -> None:
    """Log a message with its fields; `error` adds the exception being handled."""
    logging.getLogger(LOGGER).log(level, message, extra={EXTRA: fields}, exc_info=error)
