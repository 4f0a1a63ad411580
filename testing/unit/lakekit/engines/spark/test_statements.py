"""Tests, without a JVM, the functions that only build text.
testing/integration/lakekit/test_engines.py tests all other functions.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any, Tuple

import pytest

from lakekit.declarations.tables import Column, Source

SOURCE = Source("s", (Column("a"), Column("b", "int", required=True)))


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        ("name", ("a`b",), "`a``b`"),
        ("text", ("it's \\ here",), r"'it\'s \\ here'"),
        ("file", (Path("/data/a b"),), "file:/data/a b"),
        ("file", (Path("/Volumes/c/s/v/f.csv"),), "/Volumes/c/s/v/f.csv"),
        ("pattern", (Path("/a[b]{c}*?.csv"),), r"file:/a\[b\]\{c\}\*\?.csv"),
        (
            "columns_ddl",
            ([Column("a", "int", True, "it's"), Column("b")],),
            r"`a` int NOT NULL COMMENT 'it\'s', `b` string",
        ),
        ("literal", (7,), "7"),
        ("literal", ("it's",), r"'it\'s'"),
        ("literal", (datetime.date(2013, 1, 1),), "DATE '2013-01-01'"),
        (
            "literal",
            (datetime.datetime(2013, 1, 1, tzinfo=datetime.timezone.utc),),
            "TIMESTAMP '2013-01-01 00:00:00+00:00'",
        ),
        ("literal", (True,), None),
        ("literal", (1.5,), None),
        ("misfit", (SOURCE.columns[0], SOURCE), "(`a` <> 'NA' AND false)"),
        (
            "misfit",
            (Column("d", "date"), SOURCE),
            (
                r"(`d` <> 'NA' AND (NOT (`d` RLIKE"
                r" '\\A(?:[0-9]{4}-[0-9]{2}-[0-9]{2})\\z')"
                " OR try_cast(`d` AS date) IS NULL OR try_cast(`d` AS date)"
                " not between cast('0001-01-01' as date)"
                " and cast('9999-12-31' as date)))"
            ),
        ),
        (
            "misfit",
            (SOURCE.columns[1], SOURCE),
            (
                r"(`b` = 'NA' OR (NOT (`b` RLIKE '\\A(?:[+-]?[0-9]+)\\z') OR"
                r" try_cast(`b` AS int) IS NULL))"
            ),
        ),
    ],
)
def test_sql_is_quoted(
    function: str, arguments: Tuple[Any, ...], expected: object
) -> None:
    from lakekit.engines.spark import statements

    assert getattr(statements, function)(*arguments) == expected


def test_names_for_both_engines_get_the_quotes_of_spark() -> None:
    from lakekit.engines.spark.statements import own_quotes

    sql = """select "order", 'a "b" \\' "c"', `d"e`, "f""g" from "t`u" where "x" = ''"""
    assert own_quotes(sql) == (
        """select `order`, 'a "b" \\' "c"', `d"e`, `f"g` from `t``u` where `x` = ''"""
    )
