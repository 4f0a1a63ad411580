"""Tests reserved words of DuckDB and Spark as names. Every reserved word can be the
name of a column, key, partition, source or table.
"""

from __future__ import annotations

from pathlib import Path
from typing import FrozenSet, Sequence, Tuple

import duckdb
import pytest
from sqlglot.dialects import Databricks, Spark

import lakekit
from lakekit.declarations.tables import (
    IDENTIFIER,
    INNER,
    ORIGIN,
    Column,
    Expectation,
    Source,
    Table,
    TableSet,
    bronze,
)

INNER_WORDS = tuple("abfknprst") + (
    *("rows", "nth", "changed", "only_a", "fresh"),
    *("rowid", "filename", "file_row_number", "_new_"),
)


def words() -> Tuple[str, ...]:
    """Return every keyword of both engines."""
    ours = "select keyword_name from duckdb_keywords()"
    theirs = {*Spark.Tokenizer.KEYWORDS, *Databricks.Tokenizer.KEYWORDS}
    found = {row[0] for row in duckdb.execute(ours).fetchall()}
    found |= {word.lower() for word in theirs}
    names = {name for name in found if IDENTIFIER.fullmatch(name)}
    return tuple(sorted(names - set(INNER) - set(INNER_WORDS)))


def reserved() -> FrozenSet[str]:
    """Return the words that DuckDB accepts as names only in quotes."""
    found = duckdb.execute(
        "select keyword_name from duckdb_keywords()"
        " where keyword_category = 'reserved'"
    )
    return frozenset(row[0] for row in found.fetchall())


def tables_of(names: Sequence[str], folder: Path, short: str) -> TableSet:
    """Return a bronze table, a merged silver table and a grouped gold table with these
    columns. The first column is the key and the partition.
    """
    folder.mkdir(exist_ok=True)
    columns = tuple(Column(name, required=True) for name in names)
    listed = ", ".join(f"`{name}`" for name in names)
    origin = ", ".join(column.name for column in ORIGIN)
    (folder / "s.sql").write_text(f"select {listed}, {origin} from bronze.`{short}`")
    (folder / "g.sql").write_text(
        f"select `{short}`.`{names[0]}`, count(*) as `{names[-1]}`"
        f" from silver.`{short}` group by `{names[0]}`"
    )
    silver = Table(
        f"silver.{short}",
        (*columns, *ORIGIN),
        (f"bronze.{short}",),
        "s.sql",
        key=(names[0],),
        partition=names[0],
        expectations=tuple(
            Expectation(name, f"`{name}` <> ''", "drop") for name in names[:1]
        ),
        update="merge",
    )
    gold = Table(
        f"gold.{short}",
        (columns[0], Column(names[-1], "bigint", required=True)),
        (silver.name,),
        "g.sql",
        key=(names[0],),
        update="groups",
    )
    return TableSet((bronze(Source(short, columns)), silver, gold), folder)


def write(folder: Path, short: str, names: Sequence[str], rows: Sequence[str]) -> None:
    """Write a source file with these rows. In each row, all columns have the same
    value.
    """
    folder.mkdir(exist_ok=True)
    lines = [",".join(names), *(",".join([row] * len(names)) for row in rows)]
    (folder / f"{short}.csv").write_text("\n".join(lines) + "\n")


def check(names: Sequence[str], short: str, folder: Path) -> None:
    """Run lakekit twice, so that the second run merges rows and recomputes groups. Then
    read the result.
    """
    tables = tables_of(names, folder / "sql", short)
    lake = folder / "lake"
    write(folder / "data", short, names, ["x", "y"])
    lakekit.run(folder / "data", lake, tables=tables)
    write(folder / "data", short, names, ["x", "z"])
    result = lakekit.run(folder / "data", lake, tables=tables)
    assert result[f"silver.{short}"].counts.updated == 1
    shown = lakekit.show(f"silver.{short}", lake, tables=tables).rows
    assert sorted(row[names[-1]] for row in shown) == ["x", "y", "z"]
    assert lakekit.show(f"gold.{short}", lake, tables=tables).rows[0][names[-1]] == 1
    assert not lakekit.diff(lake, lake, tables=tables).differs
    assert not lakekit.quality(lake, tables=tables).failed


def test_every_word_is_a_column(tmp_path: Path) -> None:
    every, kept = words(), reserved()
    assert {"order", "group", "select", "end", "desc", "from"} <= kept & set(every)
    assert len(every) > 500 and len(kept) > 70
    rest = [word for word in every if word not in kept]
    # A table with all 700 words as columns would take DuckDB 20 seconds.
    check((*sorted(kept & set(every)), *INNER_WORDS, *rest[::9]), "t", tmp_path)


@pytest.mark.parametrize("word", ["order", "select", "end", "table"])
def test_reserved_word_is_key_partition_source_and_table(
    word: str, tmp_path: Path
) -> None:
    check((word, "value"), word, tmp_path)
