"""Restore the tables of a schema to the versions that they had before a deploy.

    python scripts/restore_tables.py --lake main.flights --table silver_flights=3 \\
        --run 17,18:1767225600000:1767225660000

A table is restored only if runs of that deploy wrote all commits after this version.
All other tables of the schema are listed but not changed. If runs of that deploy
created a table, the table is dropped. The last line of the output is JSON.

When a deploy fails, the deploy runs this script on the cluster.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, List, Optional

from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Run:
    """A run of the deploy. `ids` are the ids of the run and of its tasks; the times are
    in milliseconds. `ended` is 0 if the run has not ended.
    """

    ids: FrozenSet[str]
    started: int
    ended: int

    @classmethod
    def parse(cls, text: str) -> "Run":
        ids, started, ended = text.split(":")
        return cls(frozenset(ids.split(",")), int(started), int(ended))

    def wrote(self, commit: Dict[str, Any]) -> bool:
        """Return whether this run wrote the given commit. On Databricks, a commit
        contains the id of its run. If a commit contains no id, its time is compared
        with the times of this run.
        """
        job = commit["job"]
        if job is not None:
            values = job.asDict()
            return bool(
                {str(values.get("runId")), str(values.get("jobRunId"))} & self.ids
            )
        if commit["notebook"] is not None:
            return False
        at = int(commit["timestamp"].timestamp() * 1000)
        return self.started <= at and (at <= self.ended or not self.ended)


class Restorer:
    """Restores tables of a schema."""

    def __init__(self, spark: SparkSession, lake: str, runs: List[Run]) -> None:
        self._spark = spark
        self._lake = lake
        self._runs = runs
        self.restored: Dict[str, int] = {}
        self.dropped: List[str] = []
        self.left: Dict[str, str] = {}

    def back(self, name: str, before: Optional[int]) -> None:
        """Restore a table to the version `before`. `before` is None if the deploy
        created the table; then the table is dropped.
        """
        full = f"{self._lake}.`{name.replace('`', '``')}`"
        history = self._spark.sql(f"DESCRIBE HISTORY {full}").collect()
        since = [
            row.asDict() for row in history if before is None or row["version"] > before
        ]
        if not since:
            return
        others = [
            commit
            for commit in since
            if not any(run.wrote(commit) for run in self._runs)
        ]
        if others:
            last = others[0]
            self.left[name] = (
                f"version {last['version']} ({last['operation']}) was not written by"
                " this deploy"
            )
        elif before is None:
            self._spark.sql(f"DROP TABLE {full}")
            self.dropped.append(name)
        else:
            self._restore(name, full, before)

    def _restore(self, name: str, full: str, before: int) -> None:
        """Restore a table. The script exits if the restored table has the wrong number
        of rows.
        """
        self._spark.sql(f"RESTORE TABLE {full} TO VERSION AS OF {before}")
        rows = self._spark.table(full).count()
        wanted = self._spark.sql(f"SELECT * FROM {full} VERSION AS OF {before}").count()
        if rows != wanted:
            sys.exit(
                f"{name} has {rows} rows after it was restored to version"
                f" {before}, which had {wanted}"
            )
        self.restored[name] = before


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lake", required=True, help="CATALOG.SCHEMA")
    parser.add_argument(
        "--table",
        action="append",
        default=[],
        metavar="NAME=VERSION",
        help="an existing table",
    )
    parser.add_argument(
        "--run",
        action="append",
        default=[],
        type=Run.parse,
        metavar="IDS:STARTED:ENDED",
    )
    options = parser.parse_args()
    before = {
        name: int(version)
        for name, _, version in (text.partition("=") for text in options.table)
    }
    spark = SparkSession.builder.getOrCreate()
    restorer = Restorer(spark, options.lake, options.run)
    there: List[str] = []
    if spark.catalog.databaseExists(options.lake):
        tables = spark.sql(f"SHOW TABLES IN {options.lake}").collect()
        there = [row["tableName"] for row in tables if not row["isTemporary"]]
    for name in there:
        restorer.back(name, before.get(name))
    for name in sorted(set(before) - set(there)):
        restorer.left[name] = "the table no longer exists"
    outcome = {
        "restored": restorer.restored,
        "dropped": restorer.dropped,
        "left": restorer.left,
    }
    print(json.dumps({"lake_ci": outcome}))


if __name__ == "__main__":
    main()
