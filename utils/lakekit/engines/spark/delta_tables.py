"""Delta tables by Spark: how they are made and changed, what is committed to them, and
their care.
"""

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
    # Spark would go for a protocol with table features, which nothing here needs.
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
    """The tables of one lake, by one session: their logs, and what is done to them."""

    # How tables are made and changed

    def create(self, table: Table) -> None:
        """Make the empty table, as `Engine.create` has it."""
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
                if not self.exists(table):  # else another writer was first
                    raise
            return
        # Spark makes no table where files are, such as a killed run of the embedded
        # engine leaves; they may also be those of one that runs now. A first version
        # that names no file is good anywhere, so it is made beside them.
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
            # With the table in one commit; there by ADD CONSTRAINT alone.
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
        """Replace the table by an empty one with these columns: Spark takes NOT NULL
        from a definition, never from rows.
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
        """ALTER TABLE."""
        self._seen.pop(table.name, None)
        with translated(table.name, self.location(table), StorageError):
            self._spark.sql(f"ALTER TABLE {self.reference(table)} {change}")

    def add_columns(self, table: Table, columns: Sequence[Column]) -> None:
        """Add columns that may be null."""
        nullable = [
            Column(column.name, column.type, comment=column.comment)
            for column in columns
        ]
        self.alter(table, f"ADD COLUMNS ({columns_ddl(nullable)})")

    def add_constraint(self, table: Table, constraint: str, sql: str) -> None:
        """Add a CHECK constraint that all rows meet."""
        self.alter(table, f"ADD CONSTRAINT {name(constraint)} CHECK ({sql})")

    # What is committed

    def check(self, table: Table, head: Head) -> None:
        """Raise ConflictError when the table has moved on."""
        if self.newest(table) != head.version:
            self._seen.pop(table.name, None)
            raise ConflictError(table.name)

    def write(
        self, table: Table, sql: str, note: Note, application: str, transaction: int
    ) -> Optional[int]:
        """Run an INSERT or MERGE as one commit with a note and a Delta transaction
        identifier. The version; None when the table has that transaction already. With
        an identifier, a commit of no row is made too.
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

    # Care

    def optimize(self, table: Table) -> Mapping[str, int]:
        """Compact small files; Delta commits nothing where no partition has two of
        them.
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
        """The table's versions, as `Engine.versions` has them. Outside a folder Spark
        alone can look at their files, and does so when it restores one.
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
        """Make an older version the newest, as `Engine.restore` does."""
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
        """The table's files where they are on this machine."""
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
        """Delete (or list) the files that no version of the last `hours` names. Delta
        lists a thousand at most.
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
        # Delta lists empty folders too.
        files = [path for path in listed if path.endswith(".parquet")]
        return sorted(
            path[len(root) + 1 :] if path.startswith(root) else path for path in files
        )
