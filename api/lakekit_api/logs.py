"""Logs as JSON, one object a line, on standard output: what a cluster's log collector
takes as it is.
"""

from __future__ import annotations

import datetime
import logging
import sys
from typing import Any, Dict

import orjson

LOGGER = "lakekit_api"
EXTRA = "said"


class JsonFormatter(logging.Formatter):
    """A record as one line. What is logged under `extra={"said": {...}}` stands beside
    the message.
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


def log(level: int, message: str, *, error: bool = False, **said: Any) -> None:
    """Log a message with what is known beside it; `error` adds the one in hand."""
    logging.getLogger(LOGGER).log(level, message, extra={EXTRA: said}, exc_info=error)
