"""Translates the errors of Spark and Delta into lakekit's errors."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional, Type
from urllib.parse import unquote

from delta.exceptions import DeltaConcurrentModificationException
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from lakekit.declarations.tables import LAYERS
from lakekit.errors import (
    ComputeError,
    ConflictError,
    DamagedLogError,
    DamagedTableError,
    LakekitError,
    StorageError,
)

FAILURES = (PySparkException, Py4JJavaError)
"""The exceptions that a failed query may raise. Py4JJavaError is one of these
exceptions, because PySpark does not convert a JVM exception that stops a running query.
"""
REQUIRED = re.compile(r"NOT NULL constraint violated for column: (\w+)")
CHECK = re.compile(r"CHECK constraint (\w+) ")
BROKEN = re.compile(
    r"(\d+) rows? in .* violate[sd]? the new CHECK constraint \((.*)\)", re.DOTALL
)
BAD_ROWS = (
    (REQUIRED, "column {} is required and has nulls"),
    (BROKEN, "{} rows violate the constraint ({})"),
    (CHECK, "some rows violate the constraint {}"),
)
"""Patterns of Delta's errors about rejected rows, each with lakekit's message. The
first pattern that matches is used.
"""
STORAGE = re.compile(
    r"(No space left on device|Permission denied|File too large|Disk quota"
    r" exceeded|Read-only file system)"
)
MISSING = re.compile(
    r"(?:File|reading file) (?:file:)?(\S[^\n]*?\.parquet)(?:\. File)? does not exist"
)
UNREADABLE = re.compile(
    r"(?:rror while reading file (?:file:(?://)?)?(\S+?\.parquet)"
    r"|footer for file:? ?(?:FileStatus{path=)?(?:file:(?://)?)?(\S+?\.parquet)"
    r"|(?:file:(?://)?)?(/\S+?\.parquet) is not a Parquet file)"
)
"""Matches errors about the content of a Parquet file."""
CHECKPOINT = re.compile(r"(.+)/_delta_log/((\d+)\.checkpoint\S*)")
CONFLICT = re.compile(
    r"Concurrent\w+Exception|MetadataChangedException|ProtocolChangedException"
    r"|DELTA_CONCURRENT_\w+"
)


def reason(error: BaseException) -> str:
    """Return the innermost cause of an error as one line, without the name of its Java
    class.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [
        line.partition(": ")[2] for line in lines if line.startswith("Caused by: ")
    ]
    cause = (
        causes[-1]
        if causes
        else next(
            (line for line in lines if "error occurred while calling" not in line), ""
        )
    )
    return (
        re.sub(r"^(?:: )?(?:[\w$]+\.)+[\w$]+: ", "", cause).strip()
        or type(error).__name__
    )


def failure(
    table: str, place: str, error: BaseException, otherwise: Type[LakekitError]
) -> LakekitError:
    """Return the lakekit error for a failure of Spark at a table.

    An unknown failure becomes an error of the class `otherwise`: ComputeError or
    StorageError.
    """
    whole = str(error)
    if isinstance(error, DeltaConcurrentModificationException) or CONFLICT.search(
        whole
    ):
        return ConflictError(table)
    for pattern, message in BAD_ROWS:
        found = pattern.search(whole)
        if found:
            return ComputeError(table, message.format(*found.groups()))
    damaged = _damaged(table, whole, reason(error))
    if damaged:
        return damaged
    storage = STORAGE.search(whole)
    if storage:
        return StorageError(Path(place), storage.group(1))
    if otherwise is StorageError:
        return StorageError(Path(place), reason(error))
    return ComputeError(table, reason(error))


def _damaged(table: str, whole: str, why: str) -> Optional[LakekitError]:
    """Return the error about a data file or a checkpoint that is missing or damaged;
    None if the failure has another cause.
    """
    missing = MISSING.search(whole)
    if missing:
        # Only the caller knows which tables the query reads.
        name = _table_of(missing.group(1)) or (table if "." in table else "TABLE")
        return DamagedTableError(name, missing.group(1), "is missing", None)
    unreadable = UNREADABLE.search(whole)
    if not unreadable:
        return None
    # Spark quotes the paths of files that it cannot read.
    file = unquote(next(filter(None, unreadable.groups())))
    # A file of the scratch folder belongs to no table.
    return unreadable_file(file, why) if _table_of(file) else None


def _table_of(file: str) -> str:
    """Return the table to which a data file or a checkpoint belongs; empty if the table
    is unknown.
    """
    folders = re.findall(rf"/({'|'.join(LAYERS)})[/_](\w+)(?=/)", file)
    return ".".join(folders[-1]) if folders else ""


def unreadable_file(file: str, why: str) -> LakekitError:
    """Return the error about a data file or a checkpoint that cannot be read."""
    checkpoint = CHECKPOINT.fullmatch(file)
    if checkpoint:
        location, name, version = checkpoint.groups()
        what = f"is not a complete Parquet file ({why})"
        return DamagedLogError(location, name, what, int(version))
    return DamagedTableError(_table_of(file), file, f"cannot be read ({why})", None)


@contextmanager
def translated(
    table: str, place: str, otherwise: Type[LakekitError] = ComputeError
) -> Iterator[None]:
    """Translate the errors that Spark raises in this context into lakekit's errors."""
    try:
        yield
    except FAILURES as error:
        raise failure(table, place, error, otherwise) from error
