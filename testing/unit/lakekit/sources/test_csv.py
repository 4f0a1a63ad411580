from __future__ import annotations

import csv
import hashlib
import sys
from pathlib import Path
from typing import Optional

import pytest

from lakekit.errors import SourceError
from lakekit.sources.csv import count_rows, find_fault, hash_and_count, read_header


def written(folder: Path, content: str) -> Path:
    path = folder / "t.csv"
    path.write_bytes(content.encode())
    return path


@pytest.mark.parametrize("chunk", [1, 2, 3, 1 << 20])
@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("a\n1\n2\n", 3),
        ("a\n1\n2", 3),
        ("a\r\n1\r\n2\r\n", 3),
        ("a\r\n1\r\n2", 3),
        ("a\r1\r2\r", 3),
        ("a\n\n\n1\n\n2\n\n", 3),
        ("a\r\n\r\n\r\n1\r\n2\r\n\r\n", 3),
        ("\n\na\r1\n\r2\r\n\r", 3),
        ("a\n 1\n \n", 3),
        ("", 0),
        ('a\n"1"\n2\n', None),
    ],
)
def test_lines_are_counted_across_blocks_and_blank_ones_left_out(
    content: str,
    lines: Optional[int],
    chunk: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lakekit.sources.csv.CHUNK", chunk)
    digest = hashlib.sha256(content.encode()).hexdigest()
    assert hash_and_count(written(tmp_path, content)) == (digest, lines)


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_header_has_names_and_a_line_end(bom: str, end: str, tmp_path: Path) -> None:
    path = written(tmp_path, f'{bom}"id",é{end}1,"x\ny"{end}')
    assert read_header(path, path) == (("id", "é"), end)


def test_blank_lines_below_a_header_are_no_rows(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="t.csv has a header and no rows"):
        read_header(tmp_path / "t.csv", written(tmp_path, "a,b\n\n\n"))


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("expected", [3, 4])
@pytest.mark.parametrize(
    ("rows", "count"),
    [
        ('1,"a ""b""\n\n, c"\n2,\n"3",x\n', 3),
        ('1, "a\n2,b"\n\n3,\0\n', 3),  # a quote after a space is part of the value
        ('1,"a" \n2,b"\n3,c"\n', 3),
    ],
)
def test_rows_are_counted_whatever_was_expected(
    rows: str,
    count: int,
    expected: int,
    large: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if large:
        monkeypatch.setattr("lakekit.sources.csv.CHUNK", 64)
        rows, count = rows * 100, count * 100
        expected = expected if expected != 3 else count
    assert count_rows(written(tmp_path, "a,b\n" + rows), expected) == count


def test_large_file_is_counted_by_arrow_where_that_is_as_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "a,b\n" + '1,"x\ny"\n' * 1000)
    monkeypatch.setattr("lakekit.sources.csv.CHUNK", 4096)
    with monkeypatch.context() as patched:
        patched.delattr(csv, "reader")
        assert count_rows(path, 1000) == 1000
        with pytest.raises(AttributeError):
            count_rows(path, 999)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "pyarrow", None)
        assert count_rows(path, 1000) == 1000
    one_large_value = written(tmp_path, 'a,b\n1,"' + "x\n" * 200_000 + '"\n')
    assert count_rows(one_large_value, 1) == 1


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('a,b\n1,"x\r\ny"\n\n2,z', None),
        ("a,b\n1,2\n1,2,3\n", ", line 3: Expected Number of Columns: 2 Found: 3"),
        ('a,b\n1,"x"y\n', ", line 2: ',' expected after '\"'"),
        ("a,b\n1,2\r\n3,4\n", ", line 2: ends in CRLF, line 1 in LF"),
        ('a,b\r\n1,"x\ny"\r\n3,4\n', ", line 4: ends in LF, line 1 in CRLF"),
        ("a,b\r1,2\r\n", ", line 2: ends in CRLF, line 1 in CR"),
    ],
)
def test_first_fault_has_its_line_and_reason(
    content: str, fault: Optional[str], tmp_path: Path
) -> None:
    assert find_fault(written(tmp_path, content), 2) == fault
