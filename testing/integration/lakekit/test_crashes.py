"""Kills runs, and tests that the next run repairs the lake. For each write of a first
load and of an increment, a run is killed just before this write.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import pytest
from deltalake import DeltaTable

import lakekit
from lakekit.engines.duckdb import commits, delta_log
from lakekit.engines.duckdb.commits import Commits
from lakekit.engines.duckdb.engine import EmbeddedEngine
from testing.integration.lakekit import shop

pytestmark = pytest.mark.long

WRITES: Tuple[Tuple[Any, str], ...] = (
    (delta_log, "create"),
    (commits, "write_deltalake"),
    (Commits, "_write"),
    (EmbeddedEngine, "add_columns"),
    (EmbeddedEngine, "add_constraint"),
)
"""All functions that create an entry in a Delta log. These functions write the data
files first, and then the entry that lists the files.
"""

# Each case is a forked process, because starting Python would take longer than the
# case. Only the forked processes use an engine.
CASES = """
import os, sys
from lakekit import run
from testing.integration.lakekit import shop, test_crashes

def forked(lake, die):
    child = os.fork()
    if not child:
        test_crashes.before_each_write(die)
        run(sys.argv[1], lake, tables=shop.TABLES)
        os._exit(0)
    return os.WEXITSTATUS(os.waitpid(child, 0)[1])

for lake in sys.argv[2:]:
    number = int(lake.rpartition("-")[2])
    killed = forked(lake, test_crashes.killer(number))
    print(lake, killed, forked(lake, lambda *_: None))
"""
KILLED = 99


def before_each_write(call: Callable[[str], None]) -> Callable[[], None]:
    """Patch all functions in WRITES, so that they first call `call` with their name.
    Returns a function that removes the patches.
    """
    kept = [(owner, name, getattr(owner, name)) for owner, name in WRITES]

    def wrapped(method: Callable[..., Any]) -> Callable[..., Any]:
        def write(*arguments: Any, **named: Any) -> Any:
            call(method.__name__)
            return method(*arguments, **named)

        return write

    for owner, name, method in kept:
        setattr(owner, name, wrapped(method))

    def back() -> None:
        for owner, name, method in kept:
            setattr(owner, name, method)

    return back


def killer(number: int) -> Callable[[str], None]:
    """Return a function for `before_each_write`. Before the write with this number, the
    returned function ends the process without cleanup, like SIGKILL.
    """
    left = iter(range(number))

    def kill(_: str) -> None:
        if next(left, None) is None:
            os._exit(KILLED)

    return kill


def writes(source: Path, lake: Path) -> List[str]:
    """Run lakekit without a crash. Returns the names of all writes in order."""
    names: List[str] = []
    back = before_each_write(names.append)
    try:
        lakekit.run(source, lake, tables=shop.TABLES)
    finally:
        back()
    return names


def shapes(lake: Path) -> Dict[str, Any]:
    """Return the columns, partition columns and properties of every table."""
    found = {}
    for table in shop.TABLES:
        delta = DeltaTable(str(lake / table.folder))
        metadata = delta.metadata()
        found[table.name] = (
            delta.schema().to_json(),
            metadata.partition_columns,
            metadata.configuration,
        )
    return found


def strays(lake: Path) -> List[str]:
    """Run VACUUM on all tables. Returns the files that remain although no table's
    newest version uses them, and the folders that belong to no table.
    """
    named = set()
    for table in shop.TABLES:
        delta = DeltaTable(str(lake / table.folder))
        delta.vacuum(
            retention_hours=0,
            enforce_retention_duration=False,
            dry_run=False,
            full=True,
        )
        named |= {Path(uri).name for uri in delta.file_uris()}
    files = [
        file
        for file in lake.rglob("*")
        if file.is_file() and "_delta_log" not in file.parts
    ]
    folders = {folder for layer in lake.iterdir() for folder in layer.iterdir()}
    strange = folders - {lake / table.folder for table in shop.TABLES}
    return [
        str(each)
        for each in (*(file for file in files if file.name not in named), *strange)
    ]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    shop.write(folder, shop.CUSTOMERS, "1", [("c1", "Bern", "false", shop.at(0))])
    rows = [
        ("o1", "c1", "1", "5", shop.at(0)),
        ("o2", "c2", "1", "6", shop.at(0)),
        ("o3", "c1", "13", "7", shop.at(0)),
    ]
    shop.write(folder, shop.ORDERS, "1", rows)
    return folder


def prove(
    source: Path, base: Path, folder: Path, record: Callable[[str, Any], None]
) -> None:
    """Check that a run does no damage if it is killed just before one of its writes.

    For each write, kill a run on a copy of the lake `base`, and then run lakekit again.
    The result must be the same as after a run without a crash. If several tables are
    created one after another, only the first and the last creation are tested.
    """
    shutil.copytree(base, folder / "whole")
    names = writes(source, folder / "whole")
    alike = [
        here == before == after == "create"
        for before, here, after in zip(["", *names], names, [*names[1:], ""])
    ]
    lakes = [
        folder / f"lake-{number}" for number, skipped in enumerate(alike) if not skipped
    ]
    for lake in lakes:
        shutil.copytree(base, lake)
    with shop.start(CASES, str(source), *map(str, lakes)) as cases:
        said, errors = cases.communicate(timeout=600)
    assert said.splitlines() == [f"{lake} {KILLED} 0" for lake in lakes], said + errors
    record(f"crashes in {base.name}", len(lakes))
    meant, shape = shop.contents(folder / "whole"), shapes(folder / "whole")
    for lake in lakes:
        assert shop.contents(lake) == meant, lake
        assert shapes(lake) == shape, lake
        assert not strays(lake), lake
    assert not lakekit.run(source, lakes[-1], tables=shop.TABLES).changed


def test_first_load_killed_at_each_write_is_resumed(
    source: Path, tmp_path: Path, record_testsuite_property: Callable[[str, Any], None]
) -> None:
    (tmp_path / "first load").mkdir()
    prove(source, tmp_path / "first load", tmp_path, record_testsuite_property)


def test_increment_killed_at_each_write_is_resumed(
    source: Path, tmp_path: Path, record_testsuite_property: Callable[[str, Any], None]
) -> None:
    """The increment removes a row from quarantine and adds a different row. The
    increment also moves a row to a new partition and group, and adds a column.
    """
    lakekit.run(source, tmp_path / "increment", tables=shop.TABLES)
    shop.write(
        source,
        shop.CUSTOMERS,
        "2",
        [("c2", "Bonn", "false", shop.at(1)), ("c1", "Bonn", "false", shop.at(1))],
    )
    rows = f"o1,c1,2,8,{shop.at(1)},x\no4,c3,1,1,{shop.at(1)},y\n"
    (source / "orders" / "2.csv").write_text(
        f"order_id,customer,month,amount,updated_at,note\n{rows}"
    )
    prove(source, tmp_path / "increment", tmp_path, record_testsuite_property)
