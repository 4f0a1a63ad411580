from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Callable, List

import pytest
from deltalake import DeltaTable, write_deltalake

import lakekit
from lakekit.cli.main import call
from lakekit.commands.init import TEMPLATE
from lakekit.errors import (
    ConflictError,
    DamagedLogError,
    InvalidLakeError,
    UnknownTableError,
)
from lakekit.storage.log_files import FolderLogFiles
from lakekit.storage.versions import UnrestorableVersionError
from lakekit.template.tables import TABLES

GOLD = "gold.sales_by_day"


def overwrite(lake: Path, rows: int) -> None:
    """Commit a new version of the gold table with only its first `rows` rows."""
    gold = str(lake / "gold/sales_by_day")
    table = DeltaTable(gold).to_pyarrow_dataset().to_table()
    write_deltalake(gold, table.slice(0, rows), mode="overwrite")


def rows_of(lake: Path, table: str = "gold/sales_by_day") -> List[Any]:
    return sorted(
        map(repr, DeltaTable(str(lake / table)).to_pyarrow_table().to_pylist())
    )


def lose(lake: Path, version: int, table: str = "gold/sales_by_day") -> Path:
    """Delete the only data file of a version. Returns its path."""
    (uri,) = DeltaTable(str(lake / table), version=version).file_uris()
    Path(uri).unlink()
    return Path(uri)


def test_versions_are_listed_without_one(
    shop: Path, files: Callable[[Path], Any]
) -> None:
    overwrite(shop, 2)
    lost, before = lose(shop, 2), files(shop)
    result = lakekit.restore(GOLD, shop, tables=TABLES)
    assert (result.newest, result.restored, result.committed, result.derived) == (
        2,
        None,
        None,
        (),
    )
    found = [(each.number, each.operation, each.damaged) for each in result.versions]
    assert found == [
        (2, "WRITE", (lost.name,)),
        (1, "WRITE", ()),
        (0, "CREATE TABLE", ()),
    ]
    assert files(shop) == before


def test_older_version_is_the_newest_again(shop: Path) -> None:
    rows = rows_of(shop)
    overwrite(shop, 2)
    result = lakekit.restore(GOLD, shop, 1, tables=TABLES)
    assert (result.newest, result.restored, result.committed) == (2, 1, 3)
    assert (result.added, result.removed, result.derived) == (1, 1, (GOLD,))
    assert rows_of(shop) == rows
    assert (
        DeltaTable(str(shop / "gold/sales_by_day")).history(1)[0]["operation"]
        == "RESTORE"
    )


def test_dry_run_counts_files_and_changes_nothing(
    shop: Path, files: Callable[[Path], Any]
) -> None:
    overwrite(shop, 2)
    before = files(shop)
    result = lakekit.restore(GOLD, shop, 1, tables=TABLES, dry_run=True)
    assert (result.committed, result.added, result.removed) == (None, 1, 1)
    assert files(shop) == before


def test_newest_version_that_is_whole_stays(
    shop: Path, files: Callable[[Path], Any]
) -> None:
    before = files(shop)
    result = lakekit.restore(GOLD, shop, 1, tables=TABLES)
    assert (result.committed, result.derived) == (None, ()) and files(shop) == before


def test_version_that_lacks_files_is_refused_by_their_names(
    shop: Path, files: Callable[[Path], Any]
) -> None:
    for rows in (4, 3):
        overwrite(shop, rows)
    lost, before = lose(shop, 2), files(shop)
    with pytest.raises(UnrestorableVersionError) as refused:
        lakekit.restore(GOLD, shop, 2, tables=TABLES)
    assert (
        f"version 2 has missing or damaged files: {lost.name};"
        " undamaged versions: 1, 0." in str(refused.value)
    )
    assert refused.value.next_step == f"lakekit restore {GOLD} --version 1"
    assert files(shop) == before


@pytest.mark.parametrize("version", [7, -1])
def test_version_that_is_not_there_is_refused(version: int, shop: Path) -> None:
    with pytest.raises(
        UnrestorableVersionError,
        match=f"no version {version}; the log has versions 0 to 1;",
    ):
        lakekit.restore(GOLD, shop, version, tables=TABLES)


def test_table_without_a_whole_version_can_be_made_again(shop: Path) -> None:
    rows = rows_of(shop)
    lose(shop, 1)
    log = shop / "gold/sales_by_day/_delta_log"
    DeltaTable(str(log.parent)).create_checkpoint()
    (log / f"{0:020}.json").unlink()
    with pytest.raises(
        UnrestorableVersionError, match="no older version is undamaged"
    ) as refused:
        lakekit.restore(GOLD, shop, 1, tables=TABLES)
    assert f"move {log.parent} away, then: lakekit run" in refused.value.next_step
    shutil.rmtree(log.parent)
    lakekit.run(TEMPLATE / "data", shop, tables=TABLES)
    assert rows_of(shop) == rows


def test_damaged_commit_is_named_with_a_way_out(shop: Path) -> None:
    rows = rows_of(shop)
    overwrite(shop, 2)
    commit = shop / "gold/sales_by_day/_delta_log" / f"{2:020}.json"
    commit.write_text(commit.read_text()[:-9])
    with pytest.raises(
        DamagedLogError, match=f"gold.sales_by_day is damaged: {commit} has a fault in"
    ) as damaged:
        lakekit.restore(GOLD, shop, 1, tables=TABLES)
    assert "version 1 is then the newest" in damaged.value.next_step
    commit.unlink()
    assert rows_of(shop) == rows


def test_unknown_and_missing_tables_are_refused(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownTableError):
        lakekit.restore("gold.sales", shop, tables=TABLES)
    with pytest.raises(InvalidLakeError, match="holds no table"):
        lakekit.restore(GOLD, tmp_path / "none", tables=TABLES)


def test_writer_that_is_first_is_met_by_a_conflict(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conflict must be reported as a conflict even if delta-rs cannot open the newest
    version.
    """

    def taken(self: FolderLogFiles, name: str, content: bytes) -> None:
        raise FileExistsError(name)

    def unreadable(*_: object, **__: object) -> None:
        raise ValueError("a null where none may be")

    overwrite(shop, 2)
    monkeypatch.setattr(FolderLogFiles, "create", taken)
    monkeypatch.setattr("lakekit.engines.duckdb.delta_tables.DeltaTable", unreadable)
    with pytest.raises(ConflictError):
        lakekit.restore(GOLD, shop, 1, tables=TABLES)


@pytest.mark.parametrize(
    ("table", "derived"),
    [
        ("bronze.orders", ("silver.orders", "quarantine.orders", GOLD)),
        ("silver.orders", ("silver.orders", GOLD)),
    ],
)
def test_tables_that_the_next_run_derives_again_are_named(
    table: str, derived: Any, shop: Path
) -> None:
    result = lakekit.restore(table, shop, 0, tables=TABLES, dry_run=True)
    assert result.derived == derived


@pytest.mark.parametrize(
    "table", ["bronze.orders", "silver.orders", "quarantine.orders", GOLD]
)
def test_next_run_makes_the_lake_what_it_was(table: str, shop: Path) -> None:
    folders = [table.folder for table in TABLES]
    leave = {"_ingested_at"}

    def contents() -> List[Any]:
        tables = [
            DeltaTable(str(shop / folder)).to_pyarrow_table() for folder in folders
        ]
        return [
            sorted(
                map(
                    repr,
                    found.drop_columns(
                        [*leave.intersection(found.column_names)]
                    ).to_pylist(),
                )
            )
            for found in tables
        ]

    before = contents()
    lakekit.restore(table, shop, 0, tables=TABLES)
    assert contents() != before
    assert lakekit.run(TEMPLATE / "data", shop, tables=TABLES).changed
    assert contents() == before
    assert not lakekit.run(TEMPLATE / "data", shop, tables=TABLES).changed


class TestCommand:
    """Tests the command `lakekit restore`."""

    flags = ["--tables", "lakekit.template.tables"]

    def call(self, *arguments: object) -> int:
        return call(["restore", *map(str, arguments), *self.flags])

    def test_lists_versions(
        self, shop: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        overwrite(shop, 2)
        lose(shop, 2)
        assert self.call(GOLD, "--lake", shop) == 0
        lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
        found = [(line[-3].strip(), line[-1].strip()) for line in lines[2:]]
        assert [condition for _, condition in found] == [
            "data files missing or damaged: 1",
            "undamaged",
            "undamaged",
        ]

    def test_restores_and_names_the_next_command(
        self, shop: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        overwrite(shop, 2)
        assert self.call(GOLD, "--version", 1, "--lake", shop, "--dry-run") == 0
        assert (
            "to version 1; data files added: 1, removed: 1" in capsys.readouterr().out
        )
        assert self.call(GOLD, "--version", 1, "--lake", shop) == 0
        out = capsys.readouterr().out
        assert f"Restored {GOLD} to version 1, as version 3" in out
        assert out.endswith(
            f"Next: lakekit run --source DIR --lake {shop} --tables"
            " lakekit.template.tables\n"
        )
        assert self.call(GOLD, "--version", 3, "--lake", shop) == 0
        assert (
            "is already at version 3, which is not damaged" in capsys.readouterr().out
        )

    def test_lists_versions_where_one_is_refused(
        self, shop: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.call(GOLD, "--version", 9, "--lake", shop) == 2
        err = capsys.readouterr().err
        assert "CREATE TABLE" in err and "Traceback" not in err
        assert err.endswith(
            f"Next: lakekit restore {GOLD} --version 0 --lake {shop} "
            "--tables lakekit.template.tables\n"
        )

    def test_prints_json(self, shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
        overwrite(shop, 2)
        lose(shop, 2)
        assert self.call(GOLD, "--lake", shop, "--version", 1, "--json") == 0
        result = json.loads(capsys.readouterr().out)
        assert (result["newest"], result["restored"], result["committed"]) == (2, 1, 3)
        assert (result["whole"], result["derived"]) == ([1, 0], [GOLD])
        assert result["versions"][1]["operation"] == "WRITE"

    def test_long_history_is_cut_off(
        self,
        shop: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("lakekit.cli.subcommands.LISTED", 1)
        assert self.call(GOLD, "--lake", shop) == 0
        assert capsys.readouterr().out.endswith("\n1 older versions: add --json\n")
