from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, List, Tuple

import pytest

import lakekit
from lakekit.embedded import EmbeddedEngine, Staged
from lakekit.errors import (
    ComputeError,
    ConflictError,
    DeclarationError,
    LakeRefused,
    StorageError,
    ValueRefused,
)
from lakekit.medallion import RunResult
from lakekit.tables import Table, TableSet

Files = Callable[[Path], Dict[str, bytes]]


def changed(result: RunResult) -> List[str]:
    return [table.table for table in result.tables if table.changed]


def test_first_run_writes_each_table_and_the_second_none(
    source: Path, tables: TableSet, tmp_path: Path, files: Files
) -> None:
    first = lakekit.run(source, tmp_path / "lake", tables=tables)
    assert [(t.table, t.rows, t.version) for t in first.tables] == [
        ("bronze.people", 3, 0),
        ("silver.people", 3, 0),
        ("gold.ages", 2, 0),
    ]
    before = files(tmp_path / "lake")
    second = lakekit.run(str(source), str(tmp_path / "lake"), tables=tables)
    assert first.changed and not second.changed
    assert [(t.rows, t.version, t.seconds) for t in second.tables] == [(3, 0, 0.0), (3, 0, 0.0), (2, 0, 0.0)]
    assert files(tmp_path / "lake") == before
    found = lakekit.show("gold.ages", tmp_path / "lake", tables=tables)
    assert found.rows == ({"age": None, "people": 1}, {"age": 36, "people": 2})  # nulls first, as on Spark


def test_new_content_is_written_through_all_layers(source: Path, tables: TableSet, tmp_path: Path) -> None:
    lakekit.run(source, tmp_path / "lake", tables=tables)
    with (source / "people.csv").open("a") as file:
        file.write("Di,7,NA,NA\n")
    result = lakekit.run(source, tmp_path / "lake", tables=tables)
    assert [(t.rows, t.version) for t in result.tables] == [(4, 1), (4, 1), (3, 1)]


def test_changed_sql_rewrites_its_table_from_those_already_there(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    lakekit.run(source, tmp_path / "lake", tables=tables)
    ages = tables.sql / "ages.sql"
    ages.write_text(
        ages.read_text().replace("from silver.people", "from silver.people where age is not null")
    )
    result = lakekit.run(source, tmp_path / "lake", tables=tables)
    assert changed(result) == ["gold.ages"]
    assert lakekit.show("gold.ages", tmp_path / "lake", tables=tables).rows == ({"age": 36, "people": 2},)


def test_table_that_another_writer_changed_is_made_anew(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    from deltalake import DeltaTable

    lakekit.run(source, tmp_path / "lake", tables=tables)
    DeltaTable(str(tmp_path / "lake/silver/people")).delete("name = 'Ada'")
    result = lakekit.run(source, tmp_path / "lake", tables=tables)
    assert changed(result) == ["silver.people"]
    assert result.tables[1].version == 2
    assert len(lakekit.show("silver.people", tmp_path / "lake", tables=tables).rows) == 3


def test_bad_value_is_refused_and_nothing_written(
    source: Path, tables: TableSet, tmp_path: Path, files: Files
) -> None:
    good = (source / "people.csv").read_text()
    (source / "people.csv").write_text(good.replace("Cy,36", "Cy,abc"))
    with pytest.raises(ValueRefused, match="row 3"):
        lakekit.run(source, tmp_path / "lake", tables=tables)
    assert not (tmp_path / "lake").exists()
    (source / "people.csv").write_text(good)
    lakekit.run(source, tmp_path / "lake", tables=tables)
    before = files(tmp_path / "lake")
    (source / "people.csv").write_text(good.replace("Cy,36", "Cy,abc"))
    with pytest.raises(ValueRefused):
        lakekit.run(source, tmp_path / "lake", tables=tables)
    assert files(tmp_path / "lake") == before


def test_transform_that_fails_leaves_every_table_as_it_was(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    (tables.sql / "ages.sql").write_text("select make_date(age, 1, 1) as age, 1 as people from silver.people")
    with pytest.raises(DeclarationError, match="column age is DATE"):
        lakekit.run(source, tmp_path / "lake", tables=tables)
    (tables.sql / "ages.sql").write_text(
        "select age * 1000000000 as age, count(*) as people from silver.people group by age"
    )
    with pytest.raises(ComputeError, match="gold.ages"):
        lakekit.run(source, tmp_path / "lake", tables=tables)
    assert not (tmp_path / "lake").exists()


def test_sql_that_reads_what_is_not_declared_is_refused(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    (tables.sql / "ages.sql").write_text("select age, count(*) as people from bronze.people group by age")
    with pytest.raises(DeclarationError, match="reads bronze.people; declared: silver.people"):
        lakekit.run(source, tmp_path / "lake", tables=tables)
    assert not (tmp_path / "lake").exists()


def test_foreign_folder_is_refused(source: Path, tables: TableSet) -> None:
    with pytest.raises(LakeRefused):
        lakekit.run(source, source, tables=tables)


def test_progress_names_each_table_and_reaches_its_end(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    seen: List[Tuple[str, int, int]] = []
    lakekit.run(source, tmp_path / "lake", tables=tables, progress=lambda *step: seen.append(step))
    names = ["bronze.people", "silver.people", "gold.ages", "commit", ""]
    assert seen == [(name, done, 4) for done, name in enumerate(names)]


def test_folder_that_cannot_be_made_is_a_storage_error(
    source: Path, tables: TableSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", denied)
        with pytest.raises(StorageError, match="lake/bronze/people: Permission denied"):
            lakekit.run(source, tmp_path / "lake", tables=tables)


def rival_first(rival: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a rival's whole run come in just before our first commit."""
    commit = EmbeddedEngine.commit

    def interleaved(self: EmbeddedEngine, staged: Staged, digest: str) -> int:
        monkeypatch.setattr(EmbeddedEngine, "commit", commit)
        rival()
        return commit(self, staged, digest)

    monkeypatch.setattr(EmbeddedEngine, "commit", interleaved)


def test_rival_that_wrote_the_very_same_leaves_nothing_to_do(
    source: Path, tables: TableSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = tmp_path / "lake"
    rival_first(lambda: lakekit.run(source, lake, tables=tables), monkeypatch)
    assert not lakekit.run(source, lake, tables=tables).changed
    assert len(list(lake.rglob("*.parquet"))) == len(tables)


def test_rival_that_wrote_something_else_is_a_conflict(
    source: Path, tables: TableSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "people.csv").write_text("name,age,seen,weight\nEve,1,NA,NA\n")
    lake = tmp_path / "lake"
    rival_first(lambda: lakekit.run(other, lake, tables=tables), monkeypatch)
    with pytest.raises(ConflictError, match="bronze.people was changed"):
        lakekit.run(source, lake, tables=tables)
    assert [row["name"] for row in lakekit.show("silver.people", lake, tables=tables).rows] == ["Eve"]
    assert changed(lakekit.run(source, lake, tables=tables)) == [table.name for table in tables]


def test_declared_table_may_read_several_layers(source: Path, tables: TableSet, tmp_path: Path) -> None:
    (tables.sql / "both.sql").write_text(
        "select count(*) as n from bronze.people b left join silver.people s on s.name = b.name"
    )
    column = Table("gold.ages", tables["gold.ages"].columns).columns[1]
    both = Table("gold.both", (type(column)("n", "bigint"),), ("bronze.people", "silver.people"), "both.sql")
    lakekit.run(source, tmp_path / "lake", tables=tables)
    more = TableSet((*tables, both), tables.sql)
    assert changed(lakekit.run(source, tmp_path / "lake", tables=more)) == ["gold.both"]
    assert lakekit.show("gold.both", tmp_path / "lake", tables=more).rows == ({"n": 3},)
