from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path
from typing import Dict, List, Tuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakekit.declarations.tables import TableSet
from lakekit.errors import SourceError
from lakekit.sources.files import OpenedFile, open_sources

HEADER = "name,age,seen,weight\n"
ROW = "Ada,36,NA,NA\n"


def opened(folder: Path, tables: TableSet, tmp_path: Path) -> OpenedFile:
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    return open_sources(folder, tables, scratch)["people"][0]


def zip_of(folder: Path, members: List[Tuple[str, str]]) -> Path:
    archive = folder / "people.csv.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in members:
            packed.writestr(name, text)
    (folder / "people.csv").unlink(missing_ok=True)
    return archive


def test_zipped_and_plain_have_one_digest(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    plain = opened(source, tables, tmp_path)
    zip_of(source, [("people.csv", (source / "people.csv").read_text())])
    zipped = opened(source, tables, tmp_path)
    assert plain.digest == zipped.digest
    assert plain.name == zipped.name == "people.csv"
    assert zipped.path.parent == tmp_path / "scratch"


def test_digest_follows_the_content(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    before = opened(source, tables, tmp_path).digest
    (source / "people.csv").write_text(HEADER + ROW)
    assert opened(source, tables, tmp_path).digest != before


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        (HEADER, "has a header and no rows"),
        ("name,age,weight\nAda,36,NA\n", "has no column seen"),
        ("name,age,seen,weight,age\nAda,36,NA,NA,36\n", "has the column age twice"),
        ("name,age,seen,weight,Age\nAda,36,NA,NA,36\n", "has the column age twice"),
        (
            "name,age,seen,weight,_rule\nAda,36,NA,NA,1\n",
            "a column named '_rule', which is reserved for lakekit",
        ),
        ("name,age,seen,weight,\nAda,36,NA,NA,1\n", "has no name for column 5"),
        ('name,age,seen,weight\n"Ada', "line 2: a quoted value is never closed"),
    ],
)
def test_file_that_is_not_as_declared_is_refused(
    content: str, reason: str, source: Path, tables: TableSet, tmp_path: Path
) -> None:
    (source / "people.csv").write_text(content)
    with pytest.raises(SourceError, match=reason) as caught:
        opened(source, tables, tmp_path)
    assert str(source / "people.csv") in str(caught.value)


def test_file_that_is_not_utf8_is_refused(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    (source / "people.csv").write_bytes(b"name,\xff\xfe\n")
    with pytest.raises(SourceError, match="not UTF-8"):
        opened(source, tables, tmp_path)


@pytest.mark.parametrize(
    ("members", "held"),
    [
        ([], "nothing"),
        ([("a.csv", ROW)], "a.csv"),
        ([("people.csv", ROW), ("b.csv", ROW)], "people.csv, b.csv"),
    ],
)
def test_archive_holds_one_file(
    members: List[Tuple[str, str]],
    held: str,
    source: Path,
    tables: TableSet,
    tmp_path: Path,
) -> None:
    zip_of(source, members)
    with pytest.raises(SourceError, match=f"contains {held}"):
        opened(source, tables, tmp_path)


@pytest.mark.parametrize("kept", [0, 10, 200, 900])
def test_truncated_archive_is_refused(
    kept: int, source: Path, tables: TableSet, tmp_path: Path
) -> None:
    archive = zip_of(
        source,
        [("people.csv", HEADER + "".join(f"p{n},{n},NA,NA\n" for n in range(999)))],
    )
    archive.write_bytes(archive.read_bytes()[:kept])
    with pytest.raises(SourceError, match="is truncated or corrupt"):
        opened(source, tables, tmp_path)


def test_archive_with_a_flipped_byte_is_refused(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    archive = zip_of(
        source,
        [("people.csv", HEADER + "".join(f"p{n},{n},NA,NA\n" for n in range(999)))],
    )
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(SourceError, match="is truncated or corrupt"):
        opened(source, tables, tmp_path)


def test_encrypted_archive_is_refused(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    archive = zip_of(source, [("people.csv", HEADER + ROW)])
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # set the flag "encrypted" in the header
    content[content.index(b"PK\x01\x02") + 8] |= 1  # and in the directory
    archive.write_bytes(content)
    with pytest.raises(SourceError, match="cannot be unpacked"):
        opened(source, tables, tmp_path)


def test_missing_file_and_folder_are_refused(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        opened(source / "none", tables, tmp_path)
    with pytest.raises(SourceError, match="is not a folder"):
        opened(source / "people.csv", tables, tmp_path)
    (source / "people.csv").unlink()
    assert open_sources(source, tables, tmp_path)["people"] == []
    (source / "people.csv").mkdir()
    with pytest.raises(SourceError, match="is not a source file"):
        opened(source, tables, tmp_path)


def test_two_files_for_one_source_are_refused(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    text = (source / "people.csv").read_text()
    zip_of(source, [("people.csv", text)])
    (source / "people.csv").write_text(text)
    with pytest.raises(SourceError, match="Both"):
        opened(source, tables, tmp_path)


def test_file_that_changes_under_the_run_is_refused(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    found = opened(source, tables, tmp_path)
    found.check_unchanged()
    (source / "people.csv").write_text(HEADER + ROW)
    with pytest.raises(SourceError, match="changed while it was read"):
        found.check_unchanged()


def test_column_that_is_not_declared_is_told(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    (source / "people.csv").write_text("name,age,height,seen,weight\nAda,36,1,NA,NA\n")
    assert opened(source, tables, tmp_path).new_columns == ("height",)


def test_files_of_a_folder_come_in_the_order_of_their_names(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    folder = source / "people"
    folder.mkdir()
    (folder / ".hidden").touch()
    (folder / "b.csv").write_text(HEADER + ROW)
    (folder / "a.csv.gz").write_bytes(gzip.compress((HEADER + ROW + ROW).encode()))
    columns: Dict[str, List[object]] = {
        "name": ["Ada"],
        "age": [36],
        "seen": [None],
        "weight": [1.5],
    }
    pq.write_table(pa.table(columns), folder / "c.parquet")
    found = open_sources(source, tables, tmp_path / "scratch")["people"]
    assert [file.name for file in found] == [
        "people.csv",
        "people/a.csv",
        "people/b.csv",
        "people/c.parquet",
    ]
    assert [file.format for file in found] == ["csv", "csv", "csv", "parquet"]


@pytest.mark.parametrize(
    "odd", ["a\0b", "a\tb", "a\nb", "a b", "a=b", "a;b", "a(b)", "\x7f"]
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_column_name_that_delta_cannot_hold_is_refused(
    kind: str, odd: str, source: Path, tables: TableSet, tmp_path: Path
) -> None:
    (source / "people.csv").unlink()
    columns: Dict[str, List[object]] = {
        "name": ["Ada"],
        "age": [36],
        "seen": ["NA"],
        "weight": [1.5],
        odd: ["x"],
    }
    if kind == "parquet":
        pq.write_table(pa.table(columns), source / "people.parquet")
    else:
        heading = ",".join(f'"{name}"' for name in columns)
        (source / "people.csv").write_bytes(f"{heading}\nAda,36,NA,1.5,x\n".encode())
    with pytest.raises(SourceError) as refused:
        opened(source, tables, tmp_path)
    assert f"people.{kind} has a column named {odd!r}" in str(refused.value)


def test_file_name_that_is_not_utf8_is_refused(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    (source / "people").mkdir()
    Path(os.fsdecode(os.fsencode(source) + b"/people/\xff.csv")).write_text(
        HEADER + ROW
    )
    with pytest.raises(SourceError) as refused:
        opened(source, tables, tmp_path)
    assert r"people/\udcff.csv' has a name that is not UTF-8" in str(refused.value)
    str(refused.value).encode()  # raises an error if the message cannot be encoded


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (pa.table({"name": ["Ada"]}), "has no column age"),
        (pa.table({"name": [b"Ada\xff"]}), "a column name of type binary"),
        (pa.table({"name": pa.array([], pa.string())}), "has no rows"),
    ],
)
def test_parquet_file_that_is_not_as_declared_is_refused(
    table: pa.Table, reason: str, source: Path, tables: TableSet, tmp_path: Path
) -> None:
    (source / "people.csv").unlink()
    pq.write_table(table, source / "people.parquet")
    with pytest.raises(SourceError, match=reason):
        opened(source, tables, tmp_path)
    (source / "people.parquet").write_bytes(b"PAR1")
    with pytest.raises(SourceError, match="is not a complete Parquet file"):
        opened(source, tables, tmp_path)


def test_file_of_another_kind_in_the_folder_is_refused(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    (source / "people").mkdir()
    (source / "people" / "notes.txt").touch()
    with pytest.raises(SourceError, match="notes.txt is not a source file"):
        opened(source, tables, tmp_path)
    (source / "people" / "notes.txt").unlink()
    for name in ("a.csv", "a.parquet"):
        (source / "people" / name).touch()
    with pytest.raises(
        SourceError, match="Both .*a.csv and .*a.parquet|Both .*a.parquet and .*a.csv"
    ):
        opened(source, tables, tmp_path)
