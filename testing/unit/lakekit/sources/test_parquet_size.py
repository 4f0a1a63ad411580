"""Tests small Parquet files whose decoded data is much larger than the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lakekit
from lakekit.declarations.tables import Column, Source, TableSet, bronze
from lakekit.errors import SourceError
from lakekit.sources.archives import DEFAULT_LIMIT
from lakekit.sources.parquet import read

MB = 10**6


def repeated(value: Any, count: int) -> pa.Array[Any]:
    """Return an array with `count` equal values, which are stored only once."""
    indices = pa.array([0] * count, pa.int32())
    return pa.DictionaryArray.from_arrays(indices, pa.array([value]))


def written(path: Path, values: pa.Array[Any], **options: Any) -> Path:
    pq.write_table(pa.table({"a": values}), path, **options)
    return path


COUNTED: Dict[str, Callable[[], pa.Array[Any]]] = {
    "numbers": lambda: pa.array([7] * 2 * MB),
    "texts": lambda: repeated("x", 4 * MB),
}


@pytest.mark.parametrize("kind", COUNTED)
def test_file_with_more_rows_than_the_limit_holds_is_refused(
    kind: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "t.parquet", COUNTED[kind]())
    assert path.stat().st_size < MB // 10
    assert read(path, "16MB")[2] >= 2 * MB
    with pytest.raises(SourceError, match="decodes to 16,000,000, more than 15MB") as e:
        read(path, "15MB")
    assert str(path) in str(e.value) and "--unpacked" in e.value.next_step


def test_file_whose_pages_are_much_larger_than_the_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(
        tmp_path / "t.parquet", pa.array(["x" * 20 * MB]), compression="zstd"
    )
    assert path.stat().st_size < MB // 10
    read(path, DEFAULT_LIMIT)
    monkeypatch.setattr("lakekit.sources.parquet.RATIO_FROM", 10 * MB)
    with pytest.raises(
        SourceError, match=f"{path} has .*, more than 200 times its size"
    ):
        read(path, DEFAULT_LIMIT)


def test_repeated_text_is_not_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "t.parquet", repeated("x" * 1000, MB))
    assert path.stat().st_size < MB // 5
    assert read(path, "10MB")[2] == MB


def test_run_refuses_the_file_before_an_engine_reads_it(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    path = written(tmp_path / "source/t.parquet", repeated("x", MB))
    tables = TableSet((bronze(Source("t", (Column("a"),))),), tmp_path)
    with pytest.raises(SourceError, match=f"{path} has .* Nothing was written"):
        lakekit.run(
            tmp_path / "source", tmp_path / "lake", tables=tables, unpacked="1MB"
        )
    assert not (tmp_path / "lake").exists()
