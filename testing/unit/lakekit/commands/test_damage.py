from __future__ import annotations

import shutil
from pathlib import Path
from typing import Callable, List, Optional

import pytest
from deltalake import DeltaTable, Field, write_deltalake
from deltalake.schema import PrimitiveType

import lakekit
from lakekit.cli.main import call
from lakekit.commands.damage import undamaged_head
from lakekit.commands.init import TEMPLATE
from lakekit.declarations.tables import Table
from lakekit.engines.duckdb.engine import EmbeddedEngine
from lakekit.engines.engine import Head
from lakekit.errors import DamagedTableError, ReaderTooOldError
from lakekit.storage.lake import find_lake
from lakekit.template.tables import TABLES

TABLES_FILE = ["--tables", str(TEMPLATE / "tables.py")]
COMMANDS = {
    "run": ["run", "--source", str(TEMPLATE / "data"), "--lake", "LAKE"],
    "show": ["show", "gold.sales_by_day", "--lake", "LAKE"],
    "plan": ["plan", "--lake", "LAKE"],
    "quality": ["quality", "--lake", "LAKE"],
    "maintain": ["maintain", "--lake", "LAKE"],
    "diff": ["diff", "LAKE", "LAKE"],
    "diff-second": ["diff", "OTHER", "LAKE"],
}


def data_file(lake: Path, table: str) -> Path:
    """Return the only data file in the newest version of a table."""
    (path,) = DeltaTable(str(lake / table)).file_uris()
    return Path(path)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(Path.unlink, "is missing"), (truncate, "has 100 bytes instead of ")],
)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_command_names_the_damaged_table_and_file_and_writes_nothing(
    command: List[str],
    damage: Callable[[Path], None],
    reason: str,
    shop: Path,
    shop_made: Path,
    files: Callable[[Path], object],
    capsys: pytest.CaptureFixture[str],
) -> None:
    lost = data_file(shop, "gold/sales_by_day")
    damage(lost)
    before = files(shop)
    places = {"LAKE": str(shop), "OTHER": str(shop_made)}
    code = call([places.get(part, part) for part in command] + TABLES_FILE)
    out, err = capsys.readouterr()
    assert code == 4 and "checks failed" not in out
    assert f"Error: gold.sales_by_day is damaged: {lost} {reason}" in err
    flags = f"--lake {shop} {' '.join(TABLES_FILE)}"
    restore = f"lakekit restore gold.sales_by_day --version 0 {flags}"
    assert err.endswith(f"Next: {restore}\n")
    assert files(shop) == before


@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_command_names_a_damaged_table_and_its_newest_whole_version(
    command: List[str],
    shop: Path,
    shop_made: Path,
    files: Callable[[Path], object],
    capsys: pytest.CaptureFixture[str],
) -> None:
    delta = DeltaTable(str(shop / "gold/sales_by_day"))
    delta.alter.add_columns([Field("a\0b", PrimitiveType("string"))])
    before = files(shop)
    places = {"LAKE": str(shop), "OTHER": str(shop_made)}
    assert call([places.get(part, part) for part in command] + TABLES_FILE) == 4
    err = capsys.readouterr().err
    assert (
        f"Error: gold.sales_by_day is damaged: {shop}/gold/sales_by_day cannot be"
        " read: " in err
    )
    flags = f"--lake {shop} {' '.join(TABLES_FILE)}"
    assert err.endswith(
        f"Next: lakekit restore gold.sales_by_day --version 1 {flags}\n"
    )
    assert files(shop) == before


def test_newest_version_without_a_damaged_file_is_named(
    shop: Path, tmp_path: Path
) -> None:
    gold = str(shop / "gold/sales_by_day")
    rows = DeltaTable(gold).to_pyarrow_dataset().to_table()
    first = DeltaTable(gold).version()
    write_deltalake(gold, rows.slice(0, 2), mode="overwrite")
    kept = set(DeltaTable(gold).file_uris())
    write_deltalake(gold, rows.slice(2, 2), mode="append")
    (lost,) = set(DeltaTable(gold).file_uris()) - kept
    write_deltalake(gold, rows.slice(4, 2), mode="append")
    Path(lost).unlink()
    with pytest.raises(DamagedTableError, match=Path(lost).name) as caught:
        lakekit.show("gold.sales_by_day", shop, tables=TABLES)
    assert (
        caught.value.next_step
        == f"lakekit restore gold.sales_by_day --version {first + 1}"
    )


def test_log_that_does_not_reach_back_leaves_the_version_open(shop: Path) -> None:
    data_file(shop, "gold/sales_by_day").unlink()
    table = DeltaTable(str(shop / "gold/sales_by_day"))
    table.create_checkpoint()
    for version in range(table.version()):
        (shop / f"gold/sales_by_day/_delta_log/{version:020}.json").unlink()
    with pytest.raises(DamagedTableError) as caught:
        lakekit.quality(shop, tables=TABLES)
    assert caught.value.next_step == "lakekit restore gold.sales_by_day"


def test_file_that_an_older_version_alone_names_is_no_damage(shop: Path) -> None:
    gold = str(shop / "gold/sales_by_day")
    old = data_file(shop, "gold/sales_by_day")
    write_deltalake(
        gold, DeltaTable(gold).to_pyarrow_dataset().to_table(), mode="overwrite"
    )
    old.unlink()
    assert lakekit.show("gold.sales_by_day", shop, tables=TABLES).rows
    assert not lakekit.run(TEMPLATE / "data", shop, tables=TABLES)[
        "silver.orders"
    ].changed


def test_missing_table_is_no_damage(shop: Path) -> None:
    shutil.rmtree(shop / "gold/sales_by_day")
    assert lakekit.quality(shop, tables=TABLES).missing == ("gold.sales_by_day",)


@pytest.mark.parametrize("position", [20, -20], ids=["page", "footer"])
def test_file_of_the_right_size_that_cannot_be_read_is_damage(
    position: int, shop: Path
) -> None:
    lost = data_file(shop, "gold/sales_by_day")
    content = bytearray(lost.read_bytes())
    start = position % len(content)
    content[start : start + 100] = bytes(
        byte ^ 0x5A for byte in content[start : start + 100]
    )
    lost.write_bytes(content)
    with pytest.raises(
        DamagedTableError,
        match=f"gold.sales_by_day is damaged: .*{lost.name} cannot be read",
    ):
        lakekit.show("gold.sales_by_day", shop, tables=TABLES)


def test_whole_table_that_the_engine_cannot_open_is_no_damage(
    shop: Path, tmp_path: Path
) -> None:
    class Old(EmbeddedEngine):
        def head(self, table: Table) -> Optional[Head]:
            raise DamagedTableError(
                table.name, "place", "cannot be read: no date", None
            )

    with Old(find_lake(shop), TABLES, tmp_path) as engine:
        with pytest.raises(
            ReaderTooOldError,
            match="gold.sales_by_day cannot be read: no date; the newest",
        ):
            undamaged_head(engine, TABLES["gold.sales_by_day"])
