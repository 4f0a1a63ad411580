"""Delta tables in Spark: creation, schema changes, commits and maintenance."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Iterator, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import unquote, urlsplit

from delta.tables import DeltaTable

from lakekit.declarations.tables import Column, Table
from lakekit.engines.engine import SWITCHED_OFF, TABLE_PROPERTIES, Head, Note
from lakekit.engines.spark.delta_log import CONSTRAINT, SparkLogs
from lakekit.engines.spark.errors import FAILURES, failure, translated
from lakekit.engines.spark.session import on_databricks, restore
from lakekit.engines.spark.statements import columns_ddl, name, text
from lakekit.errors import ConflictError, StorageError
from lakekit.storage import log_replay
from lakekit.storage.log_files import FolderLogFiles
from lakekit.storage.log_restore import RestoreOutcome
from lakekit.storage.versions import UnrestorableVersionError, Version

PROPERTIES: Mapping[str, str] = {
    **TABLE_PROPERTIES,
    # If these versions were not set, Spark would choose a protocol with table features,
    # which lakekit does not need.
    "delta.minReaderVersion": "1",
    "delta.minWriterVersion": "4",
    **(SWITCHED_OFF if on_databricks() else {}),
}
NOTE = "spark.databricks.delta.commitInfo.userMetadata"
APPLICATION, TRANSACTION = (
    "spark.databricks.delta.write.txnAppId",
    "spark.databricks.delta.write.txnVersion",
)
MISSING = re.compile(
    r"Missed files \(top \d+ files\): (.*?)\.(?: Please|\s|$)", re.DOTALL
)
COMMITTED = "spark.databricks.delta.lastCommitVersionInSession"


class SparkTables(SparkLogs):
    """The tables of one lake in one Spark session. This class reads the tables' logs,
    and makes all changes of the tables.
    """

    # Creation and schema changes

    def create(self, table: Table) -> None:
        """Create the empty table, as `Engine.create` does."""
        with translated(table.name, self.location(table), StorageError):
            if self._lake.kind == "schema":
                schema = ".".join(name(part) for part in self._lake.root.split("."))
                self._spark.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            if not self.exists(table):
                self._create(table)
        head = self.head(table)
        for constraint in table.constraints:
            if head is None or constraint.name.lower() not in head.constraints:
                self.add_constraint(table, constraint.name, constraint.sql)

    def _create(self, table: Table) -> None:
        folder = Path(self._lake.location(table))
        left = self._lake.kind == "folder" and folder.is_dir() and any(folder.iterdir())
        if not left:
            try:
                self._spark.sql(self._definition(table, self.reference(table)))
            except FAILURES:
                if not self.exists(table):  # if no other writer created the table
                    raise
            return
        # Spark cannot create a table in a folder that contains files, for example files
        # of an embedded engine that was killed or is running. But the log file of a
        # version without data files is valid in any folder. So the table is created in
        # a temporary folder, and its log file is then linked into the folder of the
        # table.
        made = folder / f"_lakekit-{uuid.uuid4()}"
        try:
            self._spark.sql(self._definition(table, f"delta.{name(str(made))}"))
            first = Path("_delta_log", f"{0:020}.json")
            (folder / first.parent).mkdir(exist_ok=True)
            os.link(made / first, folder / first)
        except FileExistsError:
            pass  # another writer was first
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _definition(self, table: Table, reference: str) -> str:
        properties = dict(PROPERTIES)
        if not on_databricks():
            # These properties define the constraints in the commit that creates the
            # table. ADD CONSTRAINT would need another commit.
            properties.update(
                {
                    f"{CONSTRAINT}{each.name.lower()}": each.sql
                    for each in table.constraints
                }
            )
        assignments = ", ".join(
            f"{text(key)} = {text(value)}" for key, value in properties.items()
        )
        partition = (
            f" PARTITIONED BY ({name(table.partition)})" if table.partition else ""
        )
        return (
            f"CREATE TABLE IF NOT EXISTS {reference} ({columns_ddl(table.columns)})"
            f" USING DELTA{partition} COMMENT {text(table.comment)}"
            f" TBLPROPERTIES ({assignments})"
        )

    def replace(self, table: Table, columns: Sequence[Column]) -> None:
        """Replace the table with an empty table that has these columns.

        The table must be replaced, because Spark sets NOT NULL only when it creates a
        table.
        """
        builder = DeltaTable.replace(self._spark).comment(table.comment)
        location = self.location(table)
        builder = (
            builder.tableName(location)
            if self._lake.kind == "schema"
            else builder.location(location)
        )
        for column in columns:
            builder = builder.addColumn(
                column.name,
                column.type,
                nullable=not column.required,
                comment=column.comment or None,
            )
        if table.partition:
            builder = builder.partitionedBy(table.partition)
        constraints = {
            f"{CONSTRAINT}{each.name}": each.sql for each in table.constraints
        }
        for key, value in {**PROPERTIES, **constraints}.items():
            builder = builder.property(key, value)
        with translated(table.name, location, StorageError):
            builder.execute()

    def alter(self, table: Table, change: str) -> None:
        """Run ALTER TABLE. `change` is the SQL of the change."""
        self._seen.pop(table.name, None)
        with translated(table.name, self.location(table), StorageError):
            self._spark.sql(f"ALTER TABLE {self.reference(table)} {change}")

    def add_columns(self, table: Table, columns: Sequence[Column]) -> None:
        """Add nullable columns."""
        nullable = [
            Column(column.name, column.type, comment=column.comment)
            for column in columns
        ]
        self.alter(table, f"ADD COLUMNS ({columns_ddl(nullable)})")

    def add_constraint(self, table: Table, constraint: str, sql: str) -> None:
        """Add a CHECK constraint that all rows satisfy."""
        self.alter(table, f"ADD CONSTRAINT {name(constraint)} CHECK ({sql})")

    # Commits

    def check(self, table: Table, head: Head) -> None:
        """Raise ConflictError if the table has a newer version."""
        if self.newest(table) != head.version:
            self._seen.pop(table.name, None)
            raise ConflictError(table.name)

    def write(
        self, table: Table, sql: str, note: Note, application: str, transaction: int
    ) -> Optional[int]:
        """Run an INSERT or MERGE as one commit with a note and a Delta transaction
        identifier.

        Returns the version of the commit, or None if the table already has this
        transaction. Because of the identifier, Delta makes a commit even if there are
        no rows.
        """
        settings = {
            NOTE: note.text(),
            APPLICATION: application,
            TRANSACTION: str(transaction),
        }
        with self._settings(settings):
            self._spark.conf.unset(COMMITTED)
            try:
                self._spark.sql(sql)
            except FAILURES as error:
                self._seen.pop(table.name, None)
                raise failure(
                    table.name, self.location(table), error, StorageError
                ) from error
            committed = self._spark.conf.get(COMMITTED, None)
        if committed is None:
            self._seen.pop(table.name, None)
            return None
        self._seen[table.name] = int(committed)
        return int(committed)

    @contextmanager
    def _settings(self, settings: Mapping[str, str]) -> Iterator[None]:
        before = {key: self._spark.conf.get(key, None) for key in settings}
        try:
            for key, value in settings.items():
                self._spark.conf.set(key, value)
            yield
        finally:
            for key, was in before.items():
                restore(self._spark, key, was)

    # Maintenance

    def optimize(self, table: Table) -> Mapping[str, int]:
        """Compact small files. Delta makes a commit only if a partition has at least
        two small files.
        """
        self._seen.pop(table.name, None)
        with translated(table.name, self.location(table), StorageError):
            metrics = self._spark.sql(f"OPTIMIZE {self.reference(table)}").collect()[0][
                "metrics"
            ]
        return {
            "files_removed": int(metrics["numFilesRemoved"]),
            "files_added": int(metrics["numFilesAdded"]),
        }

    def versions(self, table: Table) -> Tuple[Version, ...]:
        """Return the table's versions, as `Engine.versions` does.

        If the lake is not a folder, only Spark can check the files of a version, and
        Spark checks them only during a restore.
        """
        if not self.exists(table):
            return ()
        files = self._folder(table)
        if files is not None:
            return log_replay.versions(files)
        history = self._spark.sql(f"DESCRIBE HISTORY {self.reference(table)}")
        found = history.selectExpr(
            "version", "unix_millis(timestamp)", "operation"
        ).collect()
        return tuple(
            Version(version, log_replay.instant(millis), operation, None)
            for version, millis, operation in found
        )

    def restore(self, table: Table, version: int, dry_run: bool) -> RestoreOutcome:
        """Restore an older version as a new commit, as `Engine.restore` does."""
        reference, location = self.reference(table), self.location(table)
        self._seen.pop(table.name, None)
        with translated(table.name, location, StorageError):
            before, after = (
                set(self._spark.sql(f"SELECT * FROM {reference} {at}").inputFiles())
                for at in ("", f"VERSION AS OF {version}")
            )
        done = RestoreOutcome(None, len(after - before), len(before - after))
        if dry_run:
            return done
        try:
            self._spark.sql(f"RESTORE TABLE {reference} TO VERSION AS OF {version}")
        except FAILURES as error:
            missing = MISSING.search(str(error))
            if missing is None:
                raise failure(table.name, location, error, StorageError) from error
            raise UnrestorableVersionError(
                f"{table.name}: version {version} lacks data files: {missing.group(1)}",
                f"lakekit restore {table.name}",
            ) from error
        return replace(done, version=self.newest(table))

    def _folder(self, table: Table) -> Optional[FolderLogFiles]:
        """Return the table's log files if they are on this machine, otherwise None."""
        if self._lake.kind == "folder":
            return FolderLogFiles(self._lake.location(table))
        if self._lake.kind != "schema":
            return None
        detail = self._spark.sql(f"DESCRIBE DETAIL {self.reference(table)}").collect()[
            0
        ]
        url = urlsplit(str(detail["location"]))
        return FolderLogFiles(unquote(url.path)) if url.scheme == "file" else None

    def vacuum(self, table: Table, hours: int, dry_run: bool) -> List[str]:
        """Delete the files that no version of the last `hours` hours uses; if `dry_run`
        is true, only list these files.

        In a dry run, Delta lists at most a thousand files.
        """
        self._seen.pop(table.name, None)
        command = f"VACUUM {self.reference(table)} RETAIN {hours} HOURS"
        with translated(table.name, self.location(table), StorageError):
            listed = [row[0] for row in self._spark.sql(f"{command} DRY RUN").collect()]
            if not dry_run and listed:
                self._spark.sql(command)
        root = str(
            self._spark.sql(f"DESCRIBE DETAIL {self.reference(table)}").collect()[0][
                "location"
            ]
        )
        # Delta also lists empty folders.
        files = [path for path in listed if path.endswith(".parquet")]
        return sorted(
            path[len(root) + 1 :] if path.startswith(root) else path for path in files
        )
