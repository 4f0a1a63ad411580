from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from lakekit.commands.init import TEMPLATE
from lakekit.engines.duckdb.delta_tables import DeltaTables
from lakekit.errors import ConflictError, StorageError
from lakekit.storage.lake import find_lake
from lakekit.template.tables import TABLES

ORDERS = TABLES["silver.orders"]
assert TEMPLATE.is_dir()


@pytest.fixture
def tables(shop: Path) -> DeltaTables:
    return DeltaTables(find_lake(shop))


def foreign(tables: DeltaTables) -> None:
    """Commit as another writer."""
    DeltaTable(tables.location(ORDERS)).delete("true")


def test_table_stays_as_it_was_seen_until_it_is_looked_at(tables: DeltaTables) -> None:
    head = tables.head(ORDERS)
    assert head is not None
    foreign(tables)
    assert (
        tables.now(ORDERS).version()
        == tables.at(ORDERS, head).version()
        == head.version
    )
    newer = tables.head(ORDERS)
    assert newer is not None and newer.version == head.version + 1 and newer.foreign
    with pytest.raises(ConflictError, match="silver.orders"):
        tables.at(ORDERS, head)
    assert tables.before(ORDERS, head.version).version() == head.version


def test_after_a_commit_the_table_moves_on(tables: DeltaTables) -> None:
    before = tables.now(ORDERS).version()
    foreign(tables)
    assert tables.move_on(ORDERS) == before + 1


def test_table_that_is_gone_is_told(tables: DeltaTables, tmp_path: Path) -> None:
    nowhere = DeltaTables(find_lake(tmp_path / "nowhere"))
    assert nowhere.head(ORDERS) is None and nowhere.open(ORDERS) is None
    with pytest.raises(StorageError, match="the table is gone"):
        nowhere.now(ORDERS)


@pytest.mark.parametrize(
    ("raised", "meant"),
    [(CommitFailedError("late"), ConflictError), (OSError("full"), StorageError)],
)
def test_what_delta_rs_raises_is_translated_and_the_table_forgotten(
    tables: DeltaTables, raised: Exception, meant: type[Exception]
) -> None:
    before = tables.now(ORDERS).version()
    foreign(tables)
    with pytest.raises(meant):
        with tables.changing(ORDERS):
            raise raised
    assert tables.now(ORDERS).version() == before + 1
