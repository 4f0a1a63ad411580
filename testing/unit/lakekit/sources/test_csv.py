from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Optional

import pytest

from lakekit.errors import SourceError
from lakekit.sources import csv
from lakekit.sources.csv import CsvFile

ENDS = {"LF": "\n", "CRLF": "\r\n", "CR": "\r"}
all_ends = pytest.mark.parametrize("end", ENDS.values(), ids=list(ENDS))


def written(folder: Path, content: str) -> Path:
    path = folder / "t.csv"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    return path


def read(folder: Path, content: str) -> CsvFile:
    path = written(folder, content)
    file, digest = csv.read(path, path)
    assert digest == csv.hash_file(path)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    return file


def refusal(folder: Path, content: str) -> str:
    with pytest.raises(SourceError) as refused:
        read(folder, content)
    return str(refused.value).partition("t.csv")[2]


@pytest.mark.parametrize("chunk", [1, 2, 3, 1 << 20])
@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("a\n1\n2\n", 2),
        ("a\n1\n2", 2),
        ("a\n\n\n1\n\n2\n\n", 2),
        ("a\n 1\n \n", 2),
        ('a\n"1"\n""\n\n"2"', 3),
        ('a,b\n1,"a ""b""\n\n, c"\n2,\n"3",x\n', 3),
        ('a,b\n1,x"y\n2,"z\n"\n', 2),
        ("a,b\n1,\0\n2,\n", 2),
        ('a,b\n"1\n2",é\n,', 2),
    ],
)
@all_ends
def test_rows_are_counted_whatever_the_block_size(
    content: str,
    rows: int,
    end: str,
    chunk: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lakekit.sources.csv.CHUNK", chunk)
    file = read(tmp_path, content.replace("\n", end))
    assert (file.rows, file.line_end) == (rows, end)


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@all_ends
def test_header_has_names_and_a_line_end(bom: str, end: str, tmp_path: Path) -> None:
    file = read(tmp_path, f'{bom}"i""d",é,"a,\n"{end}1,"x\ny",{end}')
    assert (file.header, file.line_end, file.rows) == (('i"d', "é", "a,\n"), end, 1)


@all_ends
@pytest.mark.parametrize("other", ENDS.values(), ids=list(ENDS))
@pytest.mark.parametrize("row", [0, 1, 2])
def test_other_line_end_is_refused_in_any_row_and_kept_in_values(
    row: int, other: str, end: str, tmp_path: Path
) -> None:
    lines = [f'{number},"x{other}y"' for number in range(3)]
    content = f"a,b{end}" + "".join(
        line + (other if number == row else end) for number, line in enumerate(lines)
    )
    if other == end:
        assert read(tmp_path, content).rows == 3
        return
    kinds = {text: name for name, text in ENDS.items()}
    assert refusal(tmp_path, content) == (
        f", line {2 + 2 * row}: ends in {kinds[other]}, line 1 in {kinds[end]};"
        " all line ends must be the same. Nothing was written."
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", " is empty"),
        ("\n\n", " is empty"),
        ("\ufeff", " is empty"),
        ("a,b\n\n\n", " has a header and no rows"),
        ("\na,b\n1,2\n", ", line 1: the line is blank; the first line is the header"),
        ("a,b\n1,x\ry\n", ", line 2: ends in CR, line 1 in LF"),
        ("a,b\r\r\n1,2\r\r\n", ", line 2: ends in CRLF, line 1 in CR"),
        ("a,b\n1,2\n\r", ", line 3: ends in CR, line 1 in LF"),
        ('a,b\n1,"x"y\n', ", line 2: a value has text after its closing quote"),
        ('a,b\n1,"x" \n', ", line 2: a value has text after its closing quote"),
        ('a,b\n1, "x"\n', ", line 2: a value has spaces before its quote"),
        ('a,b\n1,2\n3,"x\n\n', ", line 3: a quoted value is never closed"),
        ('a,"b\n', ", line 1: a quoted value is never closed"),
        ("a,b\n1,2\n3,4,\n", ", line 3: has 3 values, but the header has 2"),
        ("a,b\n1,2\n\0,3\n", ", line 3: the row starts with the character NUL"),
        ("a,b\n1,é\n1,\udcff\n", ", line 3: not UTF-8 (invalid start byte)"),
        ("a,b\n1,x\n1,\udcc3", ", line 3: not UTF-8 (unexpected end of data)"),
        ("a\udcff,b\n1,2\n", ", line 1: not UTF-8 (invalid start byte)"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 5, 1 << 20])
def test_fault_has_its_line_and_reason(
    content: str,
    reason: str,
    chunk: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lakekit.sources.csv.CHUNK", chunk)
    assert refusal(tmp_path, content).startswith(reason)


@pytest.mark.parametrize("quote", ["", '"'], ids=["plain", "quoted"])
@pytest.mark.parametrize("line_break", ["", "\n"], ids=["one-line", "lines"])
@pytest.mark.parametrize("row", [0, 1, 2])
def test_large_row_is_refused_by_size_whatever_its_place(
    row: int,
    line_break: str,
    quote: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lakekit.sources.csv.CHUNK", 64)
    monkeypatch.setattr("lakekit.sources.csv.MAX_ROW", 1000)
    pad = (line_break if quote else "") + "x" * 20

    def rows(size: int) -> str:
        lines = ["1,2\n"] * 3
        text = (pad * 60)[: size - 3 - 2 * len(quote)]
        lines[row] = f"1,{quote}{text}{quote}\n"
        return "a,b\n" + "".join(lines)

    file = read(tmp_path, rows(1000))
    assert file.rows == 3 and file.largest_row >= 1000
    assert refusal(tmp_path, rows(1001)) == (
        f", line {2 + row}: the row has 1,001 bytes; at most 1,000 are allowed."
        " Nothing was written."
    )
    header = "".join(f"column_{number}," for number in range(199)) + "last\n1\n"
    assert refusal(tmp_path, header).startswith(", line 1: the header has more than")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('a,b\n1,"x\n\ny"\n\n2,z', None),
        ("a,b\n1,2\n1,2,3\n", ", line 3: has 3 values, but the header has 2"),
        ('a,b\n"x\ny",2\n1\n', ", line 4: has 1 values, but the header has 2"),
        ('a,b\n1,"x"y\n', ", line 2: a value has text after its closing quote"),
    ],
)
def test_first_fault_has_its_line_and_reason(
    content: str, fault: Optional[str], tmp_path: Path
) -> None:
    assert csv.find_fault(written(tmp_path, content)) == fault


@pytest.mark.parametrize(
    ("value", "proven"),
    [("x", True), ('"x"', True), ('"x""\r\ny"', True), ('""', True), ('x"y', False)],
)
def test_only_a_file_with_other_quotes_is_read_value_by_value(
    value: str, proven: bool, tmp_path: Path
) -> None:
    content = f"a,b\n1,{value}\n{value},2\n"
    file, _ = csv._scan(written(tmp_path, content), ("a", "b"), b"\n")
    assert (file is not None) is proven
    assert read(tmp_path, content).rows == 2
