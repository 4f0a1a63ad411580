"""Fixtures for tests that do not need the flights: small tables of people."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Dict, Iterator

import pytest

import lakekit
from lakekit.commands.init import TEMPLATE
from lakekit.declarations.tables import (
    ORIGIN,
    Column,
    Constraint,
    Expectation,
    Source,
    Table,
    TableSet,
    bronze,
)
from lakekit.storage.lake import find_lake
from lakekit.template.tables import TABLES as ORDERS

if TYPE_CHECKING:
    from lakekit.engines.duckdb.engine import EmbeddedEngine

PEOPLE = Source(
    "people",
    (
        Column("name", required=True),
        Column("age", "int"),
        Column("seen", "timestamp"),
        Column("weight", "double"),
    ),
    misfits=0.5,
)
SILVER = Table(
    "silver.people",
    (
        Column("name", required=True),
        Column("age", "int"),
        Column("seen", "timestamp"),
        *ORIGIN,
    ),
    reads=("bronze.people",),
    sql="people.sql",
    key=("name",),
    constraints=(Constraint("age_positive", "age IS NULL OR age > 0"),),
    expectations=(
        Expectation("age is a person's", "age is null or age < 150", "drop"),
    ),
    update="merge",
)
GOLD = Table(
    "gold.ages",
    (Column("age", "int"), Column("people", "bigint", required=True)),
    reads=("silver.people",),
    sql="ages.sql",
)
SQL = {
    "people.sql": (
        """
        select name, cast(nullif(age, 'NA') as int) as age,
          cast(nullif(seen, 'NA') as timestamp) as seen,
          _source_file, _source_sha256, _source_row, _ingested_at
        from bronze.people
    """
    ),
    "ages.sql": (
        "select age, count(*) as people from silver.people group by age order by age"
    ),
}
CSV = """\
name,age,seen,weight
Ada,36,2013-01-01T10:00:00Z,60.5
Bob,NA,NA,NA
Cy,36,2013-07-01T10:00:00Z,1e2
"""


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Use a temporary folder as lakekit's cache folder instead of the user's."""
    with pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("cache")
        patched.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture
def sql(tmp_path: Path) -> Path:
    """Return a folder with the SQL files of the tables."""
    folder = tmp_path / "sql"
    folder.mkdir()
    for name, text in SQL.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def tables(sql: Path) -> TableSet:
    """Return tables of people in bronze, silver and gold."""
    return TableSet((bronze(PEOPLE), SILVER, GOLD), sql)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a source folder with three people."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "people.csv").write_text(CSV)
    return folder


@pytest.fixture
def engine(tables: TableSet, tmp_path: Path) -> Iterator[EmbeddedEngine]:
    """Yield an embedded engine with a new lake."""
    # Import here, because the import of DuckDB and delta-rs is slow, and many tests do
    # not need it.
    from lakekit.engines.duckdb.engine import EmbeddedEngine

    (tmp_path / "scratch").mkdir()
    with EmbeddedEngine(
        find_lake(tmp_path / "lake"), tables, tmp_path / "scratch"
    ) as opened:
        yield opened


@pytest.fixture
def files() -> Callable[[Path], Dict[str, bytes]]:
    """Return a function that returns the content of all files in a folder, by path."""

    def read(folder: Path) -> Dict[str, bytes]:
        return {
            str(file.relative_to(folder)): file.read_bytes()
            for file in folder.rglob("*")
            if file.is_file()
        }

    return read


@pytest.fixture(scope="session")
def shop_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a lake with `lakekit init`'s orders. Tests must not change the lake."""
    lake = tmp_path_factory.mktemp("shop") / "lake"
    lakekit.run(TEMPLATE / "data", lake, tables=ORDERS)
    return lake


@pytest.fixture
def shop(shop_made: Path, tmp_path: Path) -> Path:
    """Copy the lake with the orders. Return the copy, which the test may change."""
    shutil.copytree(shop_made, tmp_path / "shop")
    return tmp_path / "shop"
