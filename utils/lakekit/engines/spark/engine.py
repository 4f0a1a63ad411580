"""The Spark engine: a Databricks cluster, or one JVM on one machine.

The engine commits with INSERT and MERGE. So Delta itself checks NOT NULL and CHECK
constraints for every row, and detects concurrent writers. Every commit has a Delta
transaction identifier. For a source file, the identifier is the hash of the file's
content, so no engine ingests a file twice. For all other commits, the transaction
number is the table's version. So if two runs read the same version, only one of them
can commit.
"""

from __future__ import annotations

import datetime
import itertools
import shutil
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import (
    Any,
    Dict,
    FrozenSet,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Type,
)

from lakekit.errors import (
    ComputeError,
    ConflictError,
    DeclarationError,
    LakekitError,
    MissingExtraError,
    SourceError,
    StorageError,
)

try:
    import delta  # noqa: F401  # required by the imports below
    import pyspark
    from pyspark.sql import DataFrame, SparkSession
except ModuleNotFoundError as missing:
    raise MissingExtraError(str(missing.name), "spark") from missing

from lakekit.declarations import transpile, value_limits
from lakekit.declarations.tables import Column, Source, Table, TableSet
from lakekit.engines.engine import FileInspection, Head, Note, Staged
from lakekit.engines.spark import statements
from lakekit.engines.spark.delta_tables import SparkTables
from lakekit.engines.spark.errors import FAILURES, reason, translated
from lakekit.engines.spark.session import check_place, on_databricks, spark_session
from lakekit.engines.spark.statements import columns_ddl, name, text
from lakekit.sources.files import OpenedFile
from lakekit.storage import log_replay
from lakekit.storage.lake import Lake
from lakekit.storage.log_files import log_files
from lakekit.storage.log_restore import RestoreOutcome
from lakekit.storage.versions import Version

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MICROSECOND = datetime.timedelta(microseconds=1)
APPEND_TRIES = 20


class SparkEngine:
    """A connection to one lake for one run.

    On a single machine, staged rows are stored in the scratch folder. The machines of a
    cluster do not share this folder, so on a cluster, staged rows are stored in Spark's
    own storage. All machines of the cluster must be able to read the source files.
    """

    name = "spark"
    version = f"spark {pyspark.__version__}"

    def __init__(
        self,
        lake: Lake,
        tables: TableSet,
        scratch: Path,
        session: Optional[SparkSession] = None,
    ) -> None:
        self._lake, self._scratch = lake, scratch / "spark"
        self._open = ExitStack()
        self._spark: SparkSession = self._open.enter_context(
            spark_session(scratch, session)
        )
        try:
            check_place(lake, self._spark)
        except BaseException:
            self._open.close()
            raise
        self._tables = SparkTables(self._spark, lake)
        self._local = str(self._spark.conf.get("spark.master", "")).startswith("local")
        self._views: Dict[str, DataFrame] = {}
        self._read: Dict[str, Table] = {}
        self._sources: Dict[Tuple[str, str], DataFrame] = {}
        self._numbers = itertools.count()

    def __enter__(self) -> SparkEngine:
        return self

    def __exit__(self, *_: object) -> None:
        """Drop the views, delete staged rows, and restore or stop the session."""
        try:
            for view in self._views:
                self._spark.catalog.dropTempView(view)
            shutil.rmtree(self._scratch, ignore_errors=True)
        finally:
            self._open.close()

    # State of the tables

    def head(self, table: Table) -> Optional[Head]:
        return self._tables.head(table)

    def damaged_files(self, table: Table) -> Mapping[str, str]:
        return self._tables.damaged_files(table)

    def rows(self, table: Table) -> int:
        rows = self._tables.rows(table)
        if rows is not None:
            return rows
        with self._translated(table.name, self._tables.location(table)):
            return int(
                self._spark.sql(f"SELECT count(*) FROM {self._now(table)}").collect()[
                    0
                ][0]
            )

    def notes(self, table: Table, since: int) -> List[Optional[Note]]:
        return self._tables.notes(table, since)

    def ingested(self, table: Table, digests: Sequence[str]) -> FrozenSet[str]:
        if not digests or self._tables.rows(table) == 0:
            return frozenset()
        if self._tables.holds(table, [f"lakekit/{digest}" for digest in digests]):
            return frozenset(digests)
        held = f"_source_sha256 IN ({', '.join(map(text, digests))})"
        select = f"SELECT DISTINCT _source_sha256 FROM {self._now(table)} WHERE {held}"
        with self._translated(table.name, self._tables.location(table), StorageError):
            return frozenset(row[0] for row in self._spark.sql(select).collect())

    # Tables and their schemas

    def create(self, table: Table) -> None:
        self._tables.create(table)

    def add_columns(self, table: Table, columns: Sequence[Column]) -> None:
        self._tables.add_columns(table, columns)

    def add_constraint(self, table: Table, name: str, sql: str) -> None:
        self._tables.add_constraint(table, name, sql)

    def drop_constraint(self, table: Table, name: str) -> None:
        self._tables.alter(table, f"DROP CONSTRAINT {statements.name(name)}")

    # Sources

    def inspect(
        self, table: Table, opened: OpenedFile, at: datetime.datetime
    ) -> FileInspection:
        origin = {
            "_source_file": text(opened.name),
            "_source_sha256": text(opened.digest),
            "_source_row": "",
            "_ingested_at": f"timestamp_micros({(at - EPOCH) // MICROSECOND})",
        }
        columns = opened.source.columns
        counts = [
            f"count_if({self.misfit(column, opened.source)})" for column in columns
        ]
        try:
            rows = self._materialized(
                statements.read_source(self._spark, opened, origin)
            )
            found = rows.selectExpr("count(*)", *counts).collect()[0]
        except FAILURES as error:
            # Spark's error contains the row, but not the line number.
            why = opened.find_fault() or f": {reason(error)}"
            raise SourceError(f"{opened.given}{why}") from error
        opened.check_unchanged()
        self._sources[table.name, opened.digest] = rows
        return FileInspection(
            int(found[0]),
            {column.name: int(n) for column, n in zip(columns, found[1:])},
        )

    def append(self, table: Table, opened: OpenedFile, note: Note) -> Optional[int]:
        rows = self._sources.pop((table.name, opened.digest))
        self._view("_file", rows)
        number = 1
        for _ in range(APPEND_TRIES):
            insert = self._insert(
                table, "_file", rows.columns, self._tables.columns(table)
            )
            try:
                version = self._tables.write(
                    table, insert, note, f"lakekit/{opened.digest}", number
                )
                if version is not None or self.ingested(table, [opened.digest]):
                    return version
                if not self._tables.restored(table):
                    return None  # a user deleted the file's rows
                # A RESTORE removed the rows of the file, but not the transaction
                # identifier.
                number += 1
            except ConflictError:
                # After a conflict Delta retries a commit, unless the other writer added
                # the same file or a new column.
                if self.ingested(table, [opened.digest]):
                    return None
        raise ConflictError(table.name)

    # SQL

    def read(self, table: Table, view: str) -> None:
        columns = ", ".join(name(column.name) for column in table.columns)
        self._read[table.name] = table
        with self._translated(table.name, self._tables.location(table)):
            self._view(
                view, self._spark.sql(f"SELECT {columns} FROM {self._now(table)}")
            )

    def changes(self, table: Table, since: int, view: str) -> bool:
        columns = [name(column.name) for column in table.columns]
        now = self._tables.version(table)
        if since >= now:
            self._view(
                view,
                self._spark.sql(
                    f"SELECT {', '.join(columns)}, 0L AS _sign"
                    f" FROM {self._now(table)} LIMIT 0"
                ),
            )
            return True
        if self._tables.restored(table, since):
            return False  # files of the restored version may be damaged
        feed = self._spark.read.format("delta").option("readChangeFeed", "true")
        feed = feed.option("startingVersion", since + 1).option("endingVersion", now)
        location = self._tables.location(table)
        try:
            changed = (
                feed.table(location)
                if self._lake.kind == "schema"
                else feed.load(location)
            )
            gone = "_change_type IN ('delete', 'update_preimage')"
            if not changed.where(gone).limit(1).collect():
                self._view(view, changed.selectExpr(*columns, "1L AS _sign"))
                return True
            signed = changed.selectExpr(
                *columns, f"CASE WHEN {gone} THEN -1L ELSE 1L END AS _sign"
            )
            # If a partition or a table was rewritten, the change feed has a removal and
            # an addition of every row.
            net = (
                signed.groupBy(*columns)
                .agg({"_sign": "sum"})
                .withColumnRenamed("sum(_sign)", "_sign")
            )
            self._view(view, self._materialized(net.where("_sign <> 0")))
        except FAILURES:
            # The version was vacuumed or removed from the log, has no change feed, or
            # has a different schema.
            return False
        return True

    def define(self, view: str, sql: str) -> None:
        with self._translated(view, self._lake.root):
            self._view(view, self._sql(sql))

    def define_empty(self, table: Table, view: str) -> None:
        self._view(view, self._spark.createDataFrame([], columns_ddl(table.columns)))

    def keep(self, view: str, sql: str) -> int:
        with self._translated(view, self._lake.root):
            rows = self._materialized(self._sql(sql))
            self._view(view, rows)
            return int(rows.count())

    def query(self, sql: str) -> List[Tuple[Any, ...]]:
        with self._translated("the query", self._lake.root):
            frame = self._sql(sql)
            instants = [
                index
                for index, (_, kind) in enumerate(frame.dtypes)
                if kind == "timestamp"
            ]
            if not instants:
                return [tuple(row) for row in frame.collect()]
            found = _with_micros(frame, instants).collect()
        return [
            tuple(_instant(v) if i in instants else v for i, v in enumerate(row))
            for row in found
        ]

    def misfit(self, column: Column, source: Source) -> str:
        return statements.misfit(column, source)

    def predicate(self, table: str, sql: str) -> str:
        return _written(transpile.parse_predicate(table, sql))

    def transform(self, table: Table, sql: str, views: Mapping[str, str]) -> str:
        return _written(
            transpile.with_views(transpile.parse_query(table.name, sql, views), views)
        )

    def check(self, table: Table, where: str, sql: str) -> None:
        try:
            statements.declared(table, self._sql(sql))
        except DeclarationError as error:
            raise DeclarationError(table.name, f"{where}{error.what}") from error
        except FAILURES as error:
            raise DeclarationError(table.name, f"{where}{reason(error)}") from error

    # Writing

    def stage(self, table: Table, view: str, sql: str, part: bool = False) -> Staged:
        with self._translated(table.name, self._lake.root):
            rows = self._materialized(statements.declared(table, self._sql(sql)))
            self._view(view, rows)
            return Staged(view, int(rows.count()))

    def commit(
        self,
        table: Table,
        staged: Staged,
        head: Head,
        note: Note,
        keys: Optional[str] = None,
    ) -> int:
        self._tables.check(table, head)
        self._raise_faults(table, staged, value_limits.faults(table))
        declared = [column.name for column in table.columns]
        if keys is not None:
            return self._commit(
                table, self._merge(table, staged, head, keys), note, head.version + 1
            )
        keeps_columns = table.source is not None or table.layer == "quarantine"
        more = [
            column
            for column in head.columns
            if keeps_columns and column.name not in declared
        ]
        version = head.version + 1
        if head.partition != table.partition or _shape(head.columns) != _shape(
            [*table.columns, *more]
        ):
            # Replacing the table takes two commits, and the table is empty between
            # them. So the rows are checked before the first commit.
            self._check_rows(table, staged)
            self._tables.replace(table, [*table.columns, *more])
            version += 1
        insert = self._insert(
            table, staged.view, declared, self._tables.columns(table), "OVERWRITE TABLE"
        )
        return self._commit(table, insert, note, version)

    def advance(self, table: Table, head: Head, note: Note) -> int:
        self._tables.check(table, head)
        reference = self._tables.reference(table)
        return self._commit(
            table,
            f"INSERT INTO {reference} SELECT * FROM {reference} WHERE false",
            note,
            head.version + 1,
        )

    def _commit(self, table: Table, sql: str, note: Note, version: int) -> int:
        committed = self._tables.write(table, sql, note, "lakekit", version)
        if committed is None:
            raise ConflictError(table.name)
        return committed

    # Maintenance

    def optimize(self, table: Table) -> Mapping[str, int]:
        return self._tables.optimize(table)

    def vacuum(self, table: Table, hours: int, dry_run: bool) -> List[str]:
        return self._tables.vacuum(table, hours, dry_run)

    def versions(self, table: Table) -> Tuple[Version, ...]:
        return self._tables.versions(table)

    def check_log(self, table: Table) -> None:
        if self._lake.kind != "schema":
            log_replay.check_commits(log_files(self._lake, table))

    def restore(self, table: Table, version: int, dry_run: bool) -> RestoreOutcome:
        return self._tables.restore(table, version, dry_run)

    # Internal methods

    @contextmanager
    def _translated(
        self, table: str, place: str, otherwise: Type[LakekitError] = ComputeError
    ) -> Iterator[None]:
        """Translate errors like `translated`. If Spark's error is about an unreadable
        Parquet file, but does not name the file, search for the file in all tables that
        were read.
        """
        try:
            with translated(table, place, otherwise):
                yield
        except otherwise as error:
            if "apache.parquet" in str(error.__cause__):
                for each in self._read.values():
                    self._tables.check_footers(each)
            raise

    def _now(self, table: Table) -> str:
        return (
            f"{self._tables.reference(table)} VERSION AS OF"
            f" {self._tables.version(table)}"
        )

    def _sql(self, sql: str) -> DataFrame:
        """Run SQL that is written for both engines, and return the rows."""
        return self._spark.sql(statements.own_quotes(sql))

    def _view(self, view: str, rows: DataFrame) -> None:
        rows.createOrReplaceTempView(view)
        self._views[view] = rows

    def _materialized(self, rows: DataFrame) -> DataFrame:
        """Compute rows once, and return the computed rows. Later changes of tables and
        files do not affect the result.
        """
        if not self._local:
            return rows.localCheckpoint()
        folder = statements.file(self._scratch / f"rows-{next(self._numbers)}")
        rows.write.parquet(folder)
        return self._spark.read.schema(rows.schema).parquet(folder)

    def _insert(
        self,
        table: Table,
        view: str,
        has: Sequence[str],
        stored: Sequence[Column],
        into: str = "INTO",
    ) -> str:
        """Return an INSERT of a view's rows, with values in the order of the stored
        columns. Columns that are not in the view are null.
        """
        return (
            f"INSERT {into} {self._tables.reference(table)}"
            f" SELECT {_or_null(stored, has)} FROM {view}"
        )

    def _merge(self, table: Table, staged: Staged, head: Head, keys: str) -> str:
        """Return a MERGE that deletes the rows with these keys and inserts the staged
        rows.

        The MERGE compares existing rows only with the keys, never with the staged rows.
        So several staged rows may have the same key. A row that is deleted and inserted
        unchanged is not a net change.
        """
        bounds = ", ".join(f"min({name(key)}), max({name(key)})" for key in table.key)
        found = self.query(f"SELECT {bounds} FROM {keys}")[0]
        declared = [column.name for column in table.columns]
        if found[0] is None:
            return self._insert(table, staged.view, declared, head.columns)
        within = [
            # Because of these bounds, the MERGE reads only files that have keys within
            # the bounds.
            f"t.{name(key)} {sign} {literal}"
            for index, key in enumerate(table.key)
            for sign, literal in zip(
                (">=", "<="), map(statements.literal, found[2 * index : 2 * index + 2])
            )
            if literal is not None
        ]
        same = [f"t.{name(key)} = s.{name(key)}" for key in table.key]
        going = _or_null(table.columns, table.key)
        columns = ", ".join(map(name, declared))
        values = ", ".join(f"s.{name(column)}" for column in declared)
        gone = f"SELECT DISTINCT {', '.join(map(name, table.key))} FROM {keys}"
        return (
            f"MERGE INTO {self._tables.reference(table)} t"
            f" USING (SELECT {going}, true AS _going FROM ({gone})"
            f" UNION ALL SELECT {columns}, false AS _going FROM {staged.view}) s"
            f" ON s._going AND {' AND '.join([*same, *within])}"
            " WHEN MATCHED THEN DELETE"
            " WHEN NOT MATCHED AND NOT s._going"
            f" THEN INSERT ({columns}) VALUES ({values})"
        )

    def _check_rows(self, table: Table, staged: Staged) -> None:
        """Before the existing rows are deleted, check staged rows as Delta checks rows
        in a write.

        Raises ComputeError if a row violates a constraint.
        """
        faults = [
            (
                f"column {column.name} is required and has {{}} nulls",
                f"{name(column.name)} IS NULL",
            )
            for column in table.columns
            if column.required
        ]
        faults += [
            (
                f"{{}} rows violate the constraint {each.name}",
                f"NOT coalesce({self.predicate(table.name, each.sql)}, false)",
            )
            for each in table.constraints
        ]
        self._raise_faults(table, staged, faults)

    def _raise_faults(
        self, table: Table, staged: Staged, faults: Sequence[Tuple[str, str]]
    ) -> None:
        """Raise ComputeError for the first fault of the staged rows. Each item of
        `faults` has a text, and SQL that is true for faulty rows.
        """
        if not faults:
            return
        counts = ", ".join(f"count_if({fault})" for _, fault in faults)
        found = self.query(f"SELECT {counts} FROM {staged.view}")[0]
        for (fault, _), rows in zip(faults, found):
            if rows:
                raise ComputeError(table.name, fault.format(rows))


def _shape(columns: Sequence[Column]) -> FrozenSet[Tuple[str, str, bool]]:
    return frozenset((column.name, column.type, column.required) for column in columns)


def _or_null(columns: Sequence[Column], has: Sequence[str]) -> str:
    """Return SQL for the values of these columns. Columns that are not in `has` are
    null.
    """
    return ", ".join(
        (
            name(column.name)
            if column.name in has
            else f"CAST(NULL AS {column.type}) AS {name(column.name)}"
        )
        for column in columns
    )


def _with_micros(frame: DataFrame, instants: Sequence[int]) -> DataFrame:
    """Return rows in which each instant is a number of microseconds since 1970.

    PySpark would return the local times of this machine, which are ambiguous for an
    hour when the clocks go back.
    """
    plain = [f"_{index}" for index in range(len(frame.columns))]
    numbers = [
        f"unix_micros({column})" if index in instants else column
        for index, column in enumerate(plain)
    ]
    return frame.toDF(*plain).selectExpr(*numbers)


def _instant(micros: Optional[int]) -> Optional[datetime.datetime]:
    return None if micros is None else EPOCH + micros * MICROSECOND


def _written(expression: Any) -> str:
    """Return SQL unchanged on Databricks. On open source Spark, which does not support
    QUALIFY, return rewritten SQL. Raises UnsupportedSqlError if the SQL is not allowed.
    """
    dialect = "databricks" if on_databricks() else "spark"
    return str(expression.sql(dialect=dialect, identify=True))
