"""Tests the translation of Spark's errors into lakekit's messages."""

from __future__ import annotations

from typing import Type

import pytest

from lakekit.errors import (
    ComputeError,
    ConflictError,
    DamagedLogError,
    DamagedTableError,
    LakekitError,
    StorageError,
)

TRACE = """An error occurred while calling o49.sql.
: org.apache.spark.SparkException: Job aborted due to stage failure
\tat org.apache.spark.x(Y.scala:1)
Caused by: java.lang.RuntimeException: id is 2147483648, too large for int
\tat z
"""


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (TRACE, "id is 2147483648, too large for int"),
        (
            (
                "An error occurred while calling o1.x.\n: java.io.IOException:"
                " broken\n\tat y"
            ),
            "broken",
        ),
        ("[TABLE_NOT_FOUND] no such table\nmore", "[TABLE_NOT_FOUND] no such table"),
        ("", "PySparkException"),
    ],
)
def test_reason_is_the_innermost_cause(said: str, expected: str) -> None:
    from pyspark.errors import PySparkException

    from lakekit.engines.spark.errors import reason

    assert reason(PySparkException(said)) == expected


@pytest.mark.parametrize(
    ("said", "kind", "expected"),
    [
        (
            "NOT NULL constraint violated for column: month.\n",
            ComputeError,
            "column month is required and has nulls",
        ),
        (
            "CHECK constraint small (id < 10) violated by row",
            ComputeError,
            "rows violate the constraint small",
        ),
        (
            "12 rows in t violate the new CHECK constraint (id < 3)",
            ComputeError,
            "12 rows violate the constraint .id < 3.",
        ),
        (
            "io.delta.exceptions.ConcurrentAppendException: x",
            ConflictError,
            "t was changed by another writer",
        ),
        (
            "java.io.IOException: No space left on device",
            StorageError,
            "/lake/t: No space left on device",
        ),
        (
            (
                "Caused by: java.io.X: File file:/a lake/gold/x/p=1/part-1.parquet does"
                " not exist\nIt is"
            ),
            DamagedTableError,
            "gold.x is damaged: /a lake/gold/x/p=1/part-1.parquet is missing",
        ),
        (
            (
                "Caused by: java.io.X: File file:/w/a.db/gold_x/part-1.parquet does not"
                " exist\nIt is"
            ),
            DamagedTableError,
            "gold.x is damaged: /w/a.db/gold_x/part-1.parquet is missing",
        ),
        (
            (
                "Error while reading file dbfs:/tables/1/part-1.parquet. File does not"
                " exist."
            ),
            DamagedTableError,
            "TABLE is damaged: dbfs:/tables/1/part-1.parquet is missing",
        ),
        (
            (
                "SparkException: Encountered error while reading file"
                " file:///a%20lake/gold/x/part-1.parquet. Details:\n"
                "Caused by: java.io.IOException: don't know what type: 15\n"
            ),
            DamagedTableError,
            "gold.x is damaged: /a lake/gold/x/part-1.parquet cannot be read .don't",
        ),
        (
            "Caused by: java.io.X: Could not read footer for file: FileStatus{path="
            "s3a://b/gold/x/part-1.parquet; isDirectory=false}",
            DamagedTableError,
            "gold.x is damaged: s3a://b/gold/x/part-1.parquet cannot be read",
        ),
        (
            "Caused by: X: file:/w/gold/x/part-1.parquet is not a Parquet file. Ex",
            DamagedTableError,
            "gold.x is damaged: /w/gold/x/part-1.parquet cannot be read",
        ),
        (
            "error while reading file file:/w/gold/x/_delta_log/"
            f"{3:020}.checkpoint.parquet. Details",
            DamagedLogError,
            f"gold.x is damaged: /w/gold/x/_delta_log/{3:020}.checkpoint.parquet is not"
            " a complete Parquet file .*: version 3 and later",
        ),
        (
            "error while reading file file:/tmp/spark/rows-1/part-1.parquet. Details",
            ComputeError,
            "t could not be computed: error while reading",
        ),
        ("something else", ComputeError, "t could not be computed: something else"),
    ],
)
def test_failure_names_what_is_wrong(
    said: str, kind: Type[LakekitError], expected: str
) -> None:
    from pyspark.errors import PySparkException

    from lakekit.engines.spark.errors import translated

    with pytest.raises(kind, match=expected):
        with translated("t", "/lake/t"):
            raise PySparkException(said)


def test_failure_of_the_lake_is_not_one_of_the_data() -> None:
    from pyspark.errors import PySparkException

    from lakekit.engines.spark.errors import translated

    with pytest.raises(StorageError, match="/lake/t: something else"):
        with translated("t", "/lake/t", StorageError):
            raise PySparkException("something else")
