"""Functions that only build text and need no JVM.

testing/integration/lakekit/test_engines.py tests the other functions.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any, Tuple

import pytest

from lakekit.declarations.tables import Column, Source, TableSet, bronze
from lakekit.errors import SourceError
from lakekit.sources.files import OpenedFile, open_sources

SOURCE = Source("s", (Column("a"), Column("b", "int", required=True)))


def opened(folder: Path, content: bytes) -> OpenedFile:
    (folder / "s.csv").write_bytes(content)
    return open_sources(folder, TableSet((bronze(SOURCE),), folder), folder)["s"][0]


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


def test_bytes_that_are_no_text_are_found_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lakekit.engines.spark.statements import _check_text

    monkeypatch.setattr("lakekit.engines.spark.statements.CHUNK", 7)
    good = "a,b\n" + "é,1\n" * 3000
    _check_text(opened(tmp_path, good.encode()))
    with pytest.raises(SourceError, match="s.csv, line 3002: not UTF-8"):
        _check_text(opened(tmp_path, good.encode() + b"\xe9,1\n"))
    with pytest.raises(SourceError, match="s.csv, line 3003: not UTF-8"):
        _check_text(opened(tmp_path, good.encode() + b"x,1\n\xe9"))


def test_quote_that_is_never_closed_is_found(tmp_path: Path) -> None:
    from lakekit.engines.spark.statements import _check_text

    with pytest.raises(SourceError, match="s.csv, line 4: unexpected end of data"):
        _check_text(opened(tmp_path, b'a,b\n1,2\n3,"4\n5,6\n'))
    _check_text(opened(tmp_path, b'a,b\n1,2\n3,4"\n5,6\n'))


@pytest.mark.parametrize("last", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_last_row_that_ends_in_another_way_is_refused(
    end: str, last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lakekit.engines.spark.statements import _check_text

    content = f"a,b{end}1,2{end}3,4"
    _check_text(opened(tmp_path, content.encode()))
    file = opened(tmp_path, (content + last).encode())
    for chunk in (1, 2, 1 << 20):
        monkeypatch.setattr("lakekit.engines.spark.statements.CHUNK", chunk)
        if last == end:
            _check_text(file)
            continue
        with pytest.raises(SourceError, match="s.csv, line 3: ends in "):
            _check_text(file)


@pytest.mark.parametrize("end", ["\n", "\r"], ids=["LF", "CR"])
def test_row_that_leaves_a_part_of_its_line_end_in_a_value_is_refused(
    end: str, tmp_path: Path
) -> None:
    from lakekit.engines.spark.statements import _check_text

    start = f'a,b{end}"x\r\ny",2{end}'.encode()
    _check_text(opened(tmp_path, start + f"3,4{end}".encode()))
    with pytest.raises(
        SourceError, match="ends in CRLF, line 1 in " + {"\n": "LF", "\r": "CR"}[end]
    ):
        _check_text(opened(tmp_path, start + b"3,4\r\n"))


def test_reason_of_a_malformed_row_has_its_line(tmp_path: Path) -> None:
    from lakekit.engines.spark.statements import csv_reason

    found = csv_reason(opened(tmp_path, b'a,b\n"x\ny",2\n1,2,3\n'), "said by Spark")
    assert found == ", line 4: Expected Number of Columns: 2 Found: 3"
    assert (
        csv_reason(opened(tmp_path, b"a,b\n1,2\n"), "said by Spark")
        == ": said by Spark"
    )


def test_names_for_both_engines_get_the_quotes_of_spark() -> None:
    from lakekit.engines.spark.statements import own_quotes

    sql = """select "order", 'a "b" \\' "c"', `d"e`, "f""g" from "t`u" where "x" = ''"""
    assert own_quotes(sql) == (
        """select `order`, 'a "b" \\' "c"', `d"e`, `f"g` from `t``u` where `x` = ''"""
    )
