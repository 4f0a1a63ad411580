"""What the logs of Delta tables say, by Spark, or read from their files where the lake
is a folder.
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
from lakekit.engines.spark.errors import translated
from lakekit.engines.spark.session import on_databricks
from lakekit.engines.spark.statements import columns_of, name
from lakekit.errors import DamagedTableError, InvalidLakeError, StorageError
from lakekit.storage import log_replay
from lakekit.storage.files import FolderStorage
from lakekit.storage.folder_log import COMMIT, FolderLog
from lakekit.storage.lake import Lake

RECENT = 12
"""Commits looked at first: a whole history costs a read of every log file."""
CONSTRAINT = "delta.constraints."


class SparkLogs:
    """The logs of one lake's tables, by one session."""

    def __init__(self, session: SparkSession, lake: Lake) -> None:
        self._spark, self._lake = session, lake
        self._seen: Dict[str, int] = {}
        self._heads: Dict[str, Tuple[Tuple[int, int], Head]] = {}
        self._logs: Dict[str, FolderLog] = {}

    def location(self, table: Table) -> str:
        """The table's path, or its name in a schema. Spark outside Databricks knows S3
        by the name of its connector.
        """
        location = self._lake.location(table)
        return location if on_databricks() else re.sub("^s3://", "s3a://", location)

    def reference(self, table: Table) -> str:
        """The table in Spark's SQL."""
        location = self.location(table)
        if self._lake.kind == "schema":
            return ".".join(name(part) for part in location.split("."))
        return f"delta.{name(location)}"

    def head(self, table: Table) -> Optional[Head]:
        """The table as it is, as `Engine.head` has it."""
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
        """Whether there is such a table."""
        if self._lake.kind == "folder":
            return self._stamp(table) is not None
        if self._lake.kind == "schema":
            return bool(self._spark.catalog.tableExists(self.location(table)))
        return bool(DeltaTable.isDeltaTable(self._spark, self.location(table)))

    def version(self, table: Table) -> int:
        """The version that `head` last saw or this engine committed, or the newest
        where it has not.
        """
        if table.name not in self._seen:
            self._seen[table.name] = self.newest(table)
        return self._seen[table.name]

    def newest(self, table: Table) -> int:
        """The newest version."""
        stamp = self._stamp(table)
        return self._history(table, 1)[0][0] if stamp is None else stamp[0]

    def notes(self, table: Table, since: int) -> List[Optional[Note]]:
        """The notes of all commits after that version that changed rows, newest
        first.
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
        """Whether the table was set back to an older version after version `since`."""
        history = self._history(table, self.newest(table) - since)
        return any(
            operation == "RESTORE" and version > since
            for version, operation, _ in history
        )

    def rows(self, table: Table) -> Optional[int]:
        """How many rows the version has that `version` tells; None where the log does
        not say.
        """
        log, version = self._log(table), self.version(table)
        return log.rows() if log is not None and log.version == version else None

    def damaged_files(self, table: Table) -> Mapping[str, str]:
        """Data files that are not as the log says, as `Engine.damaged_files` has it."""
        if self._lake.kind != "folder":
            return {}
        location = self._lake.location(table)
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

    def holds(self, table: Table, applications: Sequence[str]) -> bool:
        """Whether rows committed under these transaction identifiers are surely all
        there.
        """
        log = self._log(table)
        return (
            log is not None
            and log.version == self.version(table)
            and log.holds(frozenset(applications))
        )

    def columns(self, table: Table) -> Tuple[Column, ...]:
        """The columns as stored."""
        log = self._log(table)
        if log is not None:
            return columns_of(
                StructType.fromJson(json.loads(log.metadata["schemaString"]))
            )
        return columns_of(self._spark.table(self.reference(table)).schema)

    def _stamp(self, table: Table) -> Optional[Tuple[int, int]]:
        """Newest version in a folder, and when it was written: by Delta's protocol the
        names of the log say it, and asking Spark takes a job. None for no table, and
        for lakes that are no folder.
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
        """The log of a table in a folder, up to its newest commit; None where only
        Spark can tell.
        """
        if self._lake.kind != "folder":
            return None
        log = self._logs.setdefault(
            table.name, FolderLog(Path(self._lake.location(table)))
        )
        return log if log.update() else None

    def _detail(self, table: Table) -> Mapping[str, Any]:
        """What DESCRIBE DETAIL says of a table."""
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
        """Raise DamagedTableError for values in the log that readers do not parse."""
        log = self._log(table)
        reason = log_replay.unreadable(log.metadata, log.partitions()) if log else ""
        if reason:
            raise DamagedTableError(
                table.name, self.location(table), f"cannot be read: {reason}", None
            )

    def _history(self, table: Table, limit: int = 0) -> List[Commit]:
        """The commits, newest first."""
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
    """Raise InvalidLakeError for features that other lakekit writers do not handle."""
    if detail["minReaderVersion"] <= 1 and not detail.get("clusteringColumns"):
        return
    features = set(detail.get("tableFeatures") or ()) & set(FORBIDDEN_FEATURES) - {
        "generatedColumns"
    }
    raise InvalidLakeError(
        f"{table.name} has {', '.join(sorted(features)) or 'columnMapping'} on,"
        " which not every supported writer handles",
        "Switch it off: ALTER TABLE ... DROP FEATURE ... "
        "(and REORG TABLE ... APPLY (PURGE) for deletion vectors).",
    )


def _exists(file: str) -> bool:
    try:
        return bool(FolderStorage().fetch("", [file]))
    except FileNotFoundError:
        return False


def _tells(history: Sequence[Commit]) -> bool:
    """Whether these commits, the newest, have both lakekit's newest note and a change
    of rows.
    """
    changes = [note for _, operation, note in history if operation not in MAINTENANCE]
    return any(changes) and any(note is None or note.data for note in changes)
