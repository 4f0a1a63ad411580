"""Logs as JSON on standard output, one object per line, for a log collector.

Lines that libraries write to standard error are logged as well. If the log collector
stops reading, log lines are dropped, but the service continues.
"""

from __future__ import annotations

import datetime
import functools
import logging
import os
import sys
import threading
from contextlib import contextmanager
from typing import Any, Dict, Iterator

import orjson

from lakekit_api.log_writer import LogWriter

LOGGER = "lakekit_api"
EXTRA = "fields"
STDOUT, STDERR = 1, 2
FLUSH_SECONDS = 1.0


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON. The fields of `extra={"fields": {...}}` are
    added to the JSON object.
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


class LineHandler(logging.Handler):
    """Sends records to a LogWriter."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self.writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        self.writer.put(self.format(record).encode() + b"\n")


@functools.lru_cache(maxsize=None)
def output() -> LogWriter:
    """Return the LogWriter for standard output."""
    return LogWriter(STDOUT, _dropped)


def _dropped(lines: int) -> bytes:
    message = "log lines were dropped, because nobody read them"
    record = logging.makeLogRecord({"msg": message, "levelname": "WARNING"})
    setattr(record, EXTRA, {"lines": lines})
    return JsonFormatter().format(record).encode() + b"\n"


def configure(level: str) -> None:
    """Send every log of this process to standard output as JSON."""
    handler = LineHandler(output())
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger(LOGGER).setLevel(level.upper())


def flush() -> None:
    """Wait until all logs are written, but at most FLUSH_SECONDS."""
    output().flush(FLUSH_SECONDS)


@contextmanager
def logged_stderr() -> Iterator[None]:
    """Log each line that is written to standard error, such as a panic of a native
    library.

    Direct writes to standard error would block if the reader of standard error stopped
    reading.
    """
    sys.stderr.flush()
    original = os.dup(STDERR)
    reading, writing = os.pipe()
    os.dup2(writing, STDERR)
    os.close(writing)
    reader = threading.Thread(target=_log_lines, args=(reading,), daemon=True)
    reader.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(original, STDERR)  # closes the pipe, which ends the thread
        os.close(original)
        reader.join(FLUSH_SECONDS)


def _log_lines(descriptor: int) -> None:
    with open(descriptor, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.strip():
                log(logging.WARNING, "written to stderr", text=line.rstrip())


def log(level: int, message: str, *, error: bool = False, **fields: Any) -> None:
    """Log a message with fields. If `error` is true, the exception being handled is
    added to the log record.
    """
    logging.getLogger(LOGGER).log(level, message, extra={EXTRA: fields}, exc_info=error)
