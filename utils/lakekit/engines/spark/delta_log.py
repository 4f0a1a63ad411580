"""Reads the Delta logs of tables. If the lake is a folder, the files of the logs are
read; otherwise Spark reads the logs.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from delta.tables import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

from lakekit.declarations.tables import Column, Table
from lakekit.engines.engine import FORBIDDEN_FEATURES, MAINTENANCE, Head, Note
from lakekit.engines.history import Commit, newest_change, newest_note
from lakekit.engines.spark.errors import (
    FAILURES,
    reason,
    translated,
    unreadable_file,
)
from lakekit.engines.spark.session import on_databricks
from lakekit.engines.spark.statements import columns_of, name, pattern
from lakekit.errors import DamagedTableError, InvalidLakeError, StorageError
from lakekit.storage import log_replay
from lakekit.storage.files import FolderStorage
from lakekit.storage.folder_log import COMMIT, FolderLog
from lakekit.storage.lake import Lake
from lakekit.storage.log_files import FolderLogFiles

RECENT = 12
"""The number of newest commits that are read first. Older commits are only read if
necessary, because reading the whole history opens every log file.
"""
CONSTRAINT = "delta.constraints."


class SparkLogs:
    """The Delta logs of one lake's tables, read in one Spark session."""

    def __init__(self, session: SparkSession, lake: Lake) -> None:
        self._spark, self._lake = session, lake
        self._seen: Dict[str, int] = {}
        self._heads: Dict[str, Tuple[Tuple[int, int], Head]] = {}
        self._logs: Dict[str, FolderLog] = {}

    def location(self, table: Table) -> str:
        """Return the table's path or URL, or its name if the lake is a schema. Outside
        Databricks, a URL of S3 starts with `s3a://`, as Spark requires.
        """
        location = self._lake.location(table)
        return location if on_databricks() else re.sub("^s3://", "s3a://", location)

    def reference(self, table: Table) -> str:
        """Return the table's identifier in Spark SQL."""
        location = self.location(table)
        if self._lake.kind == "schema":
            return ".".join(name(part) for part in location.split("."))
        return f"delta.{name(location)}"

    def head(self, table: Table) -> Optional[Head]:
        """Return the state of the newest version, as `Engine.head` does."""
        self._seen.pop(table.name, None)
        stamp = self._stamp(table)
        known = self._heads.get(table.name)
        if known is None or known[0] != stamp or stamp is None:
            if not self.exists(table):
                return None
            with translated(table.name, self.location(table), StorageError):
                known = (stamp or (0, 0), self._read_head(table))
            self._heads[table.name] = known
        self._seen[table.name] = known[1].version
        return known[1]

    def exists(self, table: Table) -> bool:
        """Return whether the table exists."""
        if self._lake.kind == "folder":
            return self._stamp(table) is not None
        if self._lake.kind == "schema":
            return bool(self._spark.catalog.tableExists(self.location(table)))
        return bool(DeltaTable.isDeltaTable(self._spark, self.location(table)))

    def version(self, table: Table) -> int:
        """Return the version that `head` last read or that this engine last committed.
        If the engine has neither read nor committed a version, return the newest
        version.
        """
        if table.name not in self._seen:
            self._seen[table.name] = self.newest(table)
        return self._seen[table.name]

    def newest(self, table: Table) -> int:
        """Return the newest version."""
        stamp = self._stamp(table)
        return self._history(table, 1)[0][0] if stamp is None else stamp[0]

    def notes(self, table: Table, since: int) -> List[Optional[Note]]:
        """Return the notes of all commits that changed rows after version `since`,
        newest first.
        """
        newest = self.version(table)
        if newest <= since:
            return []
        found = self._history(table, self.newest(table) - since)
        return [
            note
            for version, operation, note in found
            if since < version <= newest and operation not in MAINTENANCE
        ]

    def restored(self, table: Table, since: int = -1) -> bool:
        """Return whether a RESTORE was committed after version `since`."""
        history = self._history(table, self.newest(table) - since)
        return any(
            operation == "RESTORE" and version > since
            for version, operation, _ in history
        )

    def rows(self, table: Table) -> Optional[int]:
        """Return the number of rows of the version that `version` returns; None if this
        number is not in the log.
        """
        log, version = self._log(table), self.version(table)
        return log.rows() if log is not None and log.version == version else None

    def damaged_files(self, table: Table) -> Mapping[str, str]:
        """Return the damaged data files, as `Engine.damaged_files` does."""
        if self._lake.kind != "folder":
            return {}
        location = self._lake.location(table)
        log_replay.check_newest(FolderLogFiles(location))
        log = self._log(table)
        if log is not None:
            return FolderStorage().damaged(location, log.sizes())
        version = self.version(table)
        with translated(table.name, location, StorageError):
            rows = (
                self._spark.read.format("delta")
                .option("versionAsOf", version)
                .load(location)
            )
            files = [re.sub("^file:(?://)?", "", uri) for uri in rows.inputFiles()]
        return {file: "is missing" for file in files if not _exists(file)}

    def check_footers(self, table: Table) -> None:
        """Find a table's first Parquet file whose footer cannot be read, because
        Spark's error does not name the file. Raises DamagedTableError for a data file,
        DamagedLogError for a checkpoint. Tables that are not in a folder are not
        checked.
        """
        log = self._log(table)
        if log is None:
            return
        location = self._lake.location(table)
        files = sorted((Path(location) / "_delta_log").glob("*.checkpoint*.parquet"))
        files += FolderStorage().fetch(
            location, [f"{location}/{path}" for path in log.sizes()]
        )
        for file in files:
            try:
                self._spark.read.parquet(pattern(file))
            except FAILURES as error:
                raise unreadable_file(str(file), reason(error)) from error

    def holds(self, table: Table, applications: Sequence[str]) -> bool:
        """Return whether the table certainly has all rows that were committed with
        these transaction identifiers.
        """
        log = self._log(table)
        return (
            log is not None
            and log.version == self.version(table)
            and log.holds(frozenset(applications))
        )

    def columns(self, table: Table) -> Tuple[Column, ...]:
        """Return the columns of the stored schema."""
        log = self._log(table)
        if log is not None:
            return columns_of(
                StructType.fromJson(json.loads(log.metadata["schemaString"]))
            )
        return columns_of(self._spark.table(self.reference(table)).schema)

    def _stamp(self, table: Table) -> Optional[Tuple[int, int]]:
        """For a table in a folder, return the newest version, and the time of its
        commit in nanoseconds.

        The name of a log file contains the version, so no Spark job is needed. Returns
        None if the table does not exist, or if the lake is not a folder.
        """
        log = Path(self._lake.location(table)) / "_delta_log"
        if self._lake.kind != "folder" or not log.is_dir():
            return None
        files = [entry for entry in os.scandir(log) if COMMIT.fullmatch(entry.name)]
        newest = max(files, key=lambda entry: entry.name, default=None)
        return (
            None
            if newest is None
            else (int(newest.name[:20]), newest.stat().st_mtime_ns)
        )

    def _log(self, table: Table) -> Optional[FolderLog]:
        """For a table in a folder, return the log up to the newest commit. Returns None
        if only Spark can read the log.
        """
        if self._lake.kind != "folder":
            return None
        log = self._logs.setdefault(
            table.name, FolderLog(Path(self._lake.location(table)))
        )
        return log if log.update() else None

    def _detail(self, table: Table) -> Mapping[str, Any]:
        """Return the columns of DESCRIBE DETAIL that lakekit uses."""
        log = self._log(table)
        if log is None:
            detail: Dict[str, Any] = (
                self._spark.sql(f"DESCRIBE DETAIL {self.reference(table)}")
                .collect()[0]
                .asDict()
            )
            return detail
        clustered = log.domains.get("delta.clustering", {"removed": True})
        return {
            "id": log.metadata["id"],
            "minReaderVersion": log.protocol["minReaderVersion"],
            "tableFeatures": [
                *log.protocol.get("readerFeatures", ()),
                *log.protocol.get("writerFeatures", ()),
            ],
            "clusteringColumns": not clustered.get("removed", False),
            "properties": log.metadata.get("configuration", {}),
            "partitionColumns": log.metadata.get("partitionColumns", []),
        }

    def _read_head(self, table: Table) -> Head:
        detail = self._detail(table)
        self._check_values(table)
        _check_features(table, detail)
        history = self._history(table, RECENT)
        if len(history) == RECENT and not _tells(history):
            history = self._history(table)
        note, foreign = newest_note(history)
        changed = newest_change(history)
        constraints = (
            key[len(CONSTRAINT) :].lower()
            for key in detail["properties"]
            if key.startswith(CONSTRAINT)
        )
        return Head(
            id=detail["id"],
            version=history[0][0],
            data_version=history[-1][0] if changed is None else changed,
            note=note,
            foreign=foreign,
            columns=self.columns(table),
            partition=(detail["partitionColumns"] or [""])[0],
            constraints=frozenset(constraints),
        )

    def _check_values(self, table: Table) -> None:
        """Raise DamagedTableError for values in the log that readers cannot parse."""
        log = self._log(table)
        reason = log_replay.unreadable(log.metadata, log.partitions()) if log else ""
        if reason:
            raise DamagedTableError(
                table.name, self.location(table), f"cannot be read: {reason}", None
            )

    def _history(self, table: Table, limit: int = 0) -> List[Commit]:
        """Return the commits, newest first."""
        log = self._log(table)
        if log is not None:
            commits = log.history()[: limit or None]
            return [
                (version, operation, Note.parse(metadata))
                for version, operation, metadata in commits
            ]
        limited = f" LIMIT {limit}" if limit else ""
        rows = self._spark.sql(
            f"DESCRIBE HISTORY {self.reference(table)}{limited}"
        ).select("version", "operation", "userMetadata")
        return [
            (int(version), str(operation), Note.parse(metadata))
            for version, operation, metadata in rows.collect()
        ]


def _check_features(table: Table, detail: Mapping[str, Any]) -> None:
    """Raise InvalidLakeError if the table has features that not all engines can
    handle.
    """
    if detail["minReaderVersion"] <= 1 and not detail.get("clusteringColumns"):
        return
    features = set(detail.get("tableFeatures") or ()) & set(FORBIDDEN_FEATURES) - {
        "generatedColumns"
    }
    raise InvalidLakeError(
        f"{table.name} uses {', '.join(sorted(features)) or 'columnMapping'},"
        " which not every supported writer can handle",
        "Switch it off: ALTER TABLE ... DROP FEATURE ... "
        "(and REORG TABLE ... APPLY (PURGE) for deletion vectors).",
    )


def _exists(file: str) -> bool:
    try:
        return bool(FolderStorage().fetch("", [file]))
    except FileNotFoundError:
        return False


def _tells(history: Sequence[Commit]) -> bool:
    """Return whether these newest commits are enough to find lakekit's newest note and
    the newest change of rows.
    """
    changes = [note for _, operation, note in history if operation not in MAINTENANCE]
    return any(changes) and any(note is None or note.data for note in changes)
