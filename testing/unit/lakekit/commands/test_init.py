from __future__ import annotations

import stat
from pathlib import Path

import pytest

import lakekit
from lakekit.cli.settings import read_settings
from lakekit.commands.init import TEMPLATE
from lakekit.errors import FolderNotEmptyError, StorageError

FILES = (
    "README.md",
    "data/orders.csv",
    "lakekit.toml",
    "sql/gold/sales_by_day.sql",
    "sql/silver/orders.sql",
    "tables.py",
)


@pytest.mark.parametrize("there", [True, False])
def test_project_is_made_in_a_new_or_an_empty_folder(
    there: bool, tmp_path: Path
) -> None:
    if there:
        (tmp_path / "shop").mkdir()
    result = lakekit.init(tmp_path / "shop")
    assert (result.folder, result.files) == (tmp_path / "shop", FILES)
    for name in FILES:
        assert (tmp_path / "shop" / name).read_bytes() == (TEMPLATE / name).read_bytes()
    assert [each.name for each in tmp_path.iterdir()] == ["shop"]
    assert stat.S_IMODE((tmp_path / "shop").stat().st_mode) == 0o755


def test_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FolderNotEmptyError, match="not an empty folder") as caught:
        lakekit.init(tmp_path)
    assert caught.value.exit_code == 2 and [
        each.name for each in tmp_path.iterdir()
    ] == ["mine.txt"]


def test_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="shop"):
        lakekit.init(tmp_path / "file" / "shop")


def test_project_runs_by_its_own_settings(tmp_path: Path) -> None:
    folder = lakekit.init(tmp_path / "shop").folder
    settings = read_settings({}, {}, folder)
    result = lakekit.run(
        settings.required("source"),
        settings.required("lake"),
        tables=settings.table_set(),
    )
    assert {each.table: each.rows for each in result.tables} == {
        "bronze.orders": 12,
        "silver.orders": 9,
        "quarantine.orders": 2,
        "gold.sales_by_day": 9,
    }
    assert result["silver.orders"].counts.superseded == 1
    assert not lakekit.quality(
        settings.required("lake"), tables=settings.table_set()
    ).failed
