from __future__ import annotations

import shutil
from pathlib import Path
from typing import Callable, List

import pytest
from deltalake import DeltaTable, write_deltalake

import lakekit
from lakekit.cli import call
from lakekit.damage import LOOK_BACK, whole_head
from lakekit.embedded import EmbeddedEngine
from lakekit.errors import DamagedTable
from lakekit.lake import find_lake
from lakekit.project import TEMPLATE
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
    """The one data file of a table's newest version."""
    (path,) = DeltaTable(str(lake / table)).file_uris()
    return Path(path)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    ("damage", "reason"), [(Path.unlink, "is missing"), (truncate, "has 100 bytes instead of ")]
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
    assert err.endswith("Next: lakekit restore gold.sales_by_day --version 0\n")
    assert files(shop) == before


def test_newest_version_without_a_damaged_file_is_named(shop: Path, tmp_path: Path) -> None:
    gold = str(shop / "gold/sales_by_day")
    rows = DeltaTable(gold).to_pyarrow_dataset().to_table()
    first = DeltaTable(gold).version()
    write_deltalake(gold, rows.slice(0, 2), mode="overwrite")
    kept = set(DeltaTable(gold).file_uris())
    write_deltalake(gold, rows.slice(2, 2), mode="append")
    (lost,) = set(DeltaTable(gold).file_uris()) - kept
    write_deltalake(gold, rows.slice(4, 2), mode="append")
    Path(lost).unlink()
    with pytest.raises(DamagedTable, match=Path(lost).name) as caught:
        lakekit.show("gold.sales_by_day", shop, tables=TABLES)
    assert caught.value.next_step == f"lakekit restore gold.sales_by_day --version {first + 1}"


def test_log_that_does_not_reach_back_leaves_the_version_open(shop: Path) -> None:
    data_file(shop, "gold/sales_by_day").unlink()
    table = DeltaTable(str(shop / "gold/sales_by_day"))
    table.create_checkpoint()
    for version in range(table.version()):
        (shop / f"gold/sales_by_day/_delta_log/{version:020}.json").unlink()
    with pytest.raises(DamagedTable) as caught:
        lakekit.quality(shop, tables=TABLES)
    assert caught.value.next_step.endswith("then: lakekit restore gold.sales_by_day --version N")


def test_only_so_many_versions_are_looked_at(shop: Path, tmp_path: Path) -> None:
    class Damaged(EmbeddedEngine):
        def damaged_files(self, table: object, version: object = None) -> "dict[str, str]":
            looked.append(version)
            return {"part-1.parquet": "is missing"}

    looked: List[object] = []
    gold = TABLES["gold.sales_by_day"]
    place = str(shop / gold.folder)
    for _ in range(3):
        write_deltalake(place, DeltaTable(place).to_pyarrow_dataset().to_table(), mode="overwrite")
    newest = DeltaTable(place).version()
    with Damaged(find_lake(shop), TABLES, tmp_path) as engine:
        with pytest.MonkeyPatch.context() as patched, pytest.raises(DamagedTable):
            patched.setattr("lakekit.damage.LOOK_BACK", 2)
            whole_head(engine, gold)
    assert looked == [None, newest - 1, newest - 2] and LOOK_BACK > 2


def test_file_that_an_older_version_alone_names_is_no_damage(shop: Path) -> None:
    gold = str(shop / "gold/sales_by_day")
    old = data_file(shop, "gold/sales_by_day")
    write_deltalake(gold, DeltaTable(gold).to_pyarrow_dataset().to_table(), mode="overwrite")
    old.unlink()
    assert lakekit.show("gold.sales_by_day", shop, tables=TABLES).rows
    assert not lakekit.run(TEMPLATE / "data", shop, tables=TABLES)["silver.orders"].changed


def test_missing_table_is_no_damage(shop: Path) -> None:
    shutil.rmtree(shop / "gold/sales_by_day")
    assert lakekit.quality(shop, tables=TABLES).missing == ("gold.sales_by_day",)


@pytest.mark.parametrize("position", [20, -20], ids=["page", "footer"])
def test_file_of_the_right_size_that_cannot_be_read_is_damage(position: int, shop: Path) -> None:
    lost = data_file(shop, "gold/sales_by_day")
    content = bytearray(lost.read_bytes())
    start = position % len(content)
    content[start : start + 100] = bytes(byte ^ 0x5A for byte in content[start : start + 100])
    lost.write_bytes(content)
    with pytest.raises(DamagedTable, match=f"gold.sales_by_day is damaged: .*{lost.name} cannot be read"):
        lakekit.show("gold.sales_by_day", shop, tables=TABLES)
