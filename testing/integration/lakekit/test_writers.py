"""Tests concurrent writers on one lake. Each file must be ingested once, silver must be
correct, and a writer that loses a conflict must retry.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, List

import pytest
from deltalake import DeltaTable

import lakekit
from lakekit.engines.duckdb.engine import EmbeddedEngine
from lakekit.errors import ConflictError
from testing.integration.lakekit import shop

pytestmark = pytest.mark.long

# Before each run, the program waits for a line on standard input, so that all writers
# start at the same time. After the run, the program prints the result.
WRITER = """
import sys
from pathlib import Path
from lakekit import run
from lakekit.errors import LakekitError
from testing.integration.lakekit import shop
print("ready", flush=True)
for line in sys.stdin:
    try:
        run(Path(line.strip()), sys.argv[1], tables=shop.TABLES)
        print("done", flush=True)
    except LakekitError as error:
        print(type(error).__name__, error, flush=True)
"""
ROUNDS = 3


def rows_of_round(number: int, writer: int) -> List[shop.Values]:
    """Return the orders of a writer: its own version of an order that all writers
    correct, and an order that only this writer has.
    """
    own = (f"o{number}-{writer}", "c1", "2", "5", shop.at(10 * number + writer))
    return [own, ("o1", "c2", str(1 + writer), "7", shop.at(10 * number + writer))]


def write_round(folder: Path, number: int, writer: int) -> None:
    """Write the files of a writer for one round: a file that all writers have, and a
    file that only this writer has.
    """
    customer = (f"c{number}", "Bern", "false", shop.at(number))
    shop.write(folder, shop.CUSTOMERS, f"{number}", [customer])
    shop.write(folder, shop.ORDERS, f"{number}-{writer}", rows_of_round(number, writer))


def test_writers_at_once_take_each_file_once(tmp_path: Path) -> None:
    """In each round, every writer has two files: a file that all writers have, and a
    file that only this writer has. The first round creates the lake.
    """
    lake, everything = tmp_path / "lake", tmp_path / "everything"
    root = Path(__file__).parents[3]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(root / "utils"), str(root)]),
    }
    command = [sys.executable, "-c", WRITER, str(lake)]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    writers: List[Any] = [
        subprocess.Popen(command, text=True, env=environment, **pipes) for _ in range(2)
    ]
    try:
        assert [writer.stdout.readline() for writer in writers] == ["ready\n"] * 2
        for number in range(ROUNDS):
            for place in range(len(writers)):
                for folder in (tmp_path / f"source{place}", everything):
                    write_round(folder, number, place)
            for place, writer in enumerate(writers):
                writer.stdin.write(f"{tmp_path / f'source{place}'}\n")
                writer.stdin.flush()
            said = [writer.stdout.readline().strip() for writer in writers]
            assert all(
                text == "done" or text.startswith("ConflictError") for text in said
            ), said
            assert "done" in said
        for name in ("bronze.customers", "bronze.orders"):
            found = shop.rows_of(
                lake / shop.TABLES[name].folder, ["_source_file", "_source_row"]
            )
            assert len(found) == len(set(found)), name
        lakekit.run(everything, lake, tables=shop.TABLES)
        lakekit.run(everything, tmp_path / "alone", tables=shop.TABLES)
        assert shop.contents(lake) == shop.contents(tmp_path / "alone")
    finally:
        for writer in writers:
            writer.stdin.close()
            writer.stdout.close()
            writer.wait(timeout=600)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    shop.write(folder, shop.CUSTOMERS, "1", [("c1", "Bern", "false", shop.at(0))])
    shop.write(
        folder,
        shop.ORDERS,
        "1",
        [("o1", "c1", "1", "5", shop.at(0)), ("o2", "c2", "1", "6", shop.at(0))],
    )
    return folder


def overtaken(
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    table: str,
    rival: Callable[[], object],
) -> List[str]:
    """Patch the engine so that it calls `rival` just before the first call of `method`
    for `table`. Returns a list that gets an entry for each call of `method` for
    `table`.
    """
    real, calls = getattr(EmbeddedEngine, method), []

    def late(self: EmbeddedEngine, written: Any, *rest: Any, **named: Any) -> Any:
        if written.name == table:
            calls.append(method)
            if len(calls) == 1:
                with monkeypatch.context() as patched:
                    patched.setattr(EmbeddedEngine, method, real)
                    rival()
        return real(self, written, *rest, **named)

    monkeypatch.setattr(EmbeddedEngine, method, late)
    return calls


COMMITS = (
    "silver.customers",
    "quarantine.orders",
    "silver.orders",
    "gold.city_months",
    "gold.top_orders",
)
STEPS = [("append", "bronze.orders"), *(("commit", table) for table in COMMITS)]


@pytest.mark.parametrize(
    ("first", "method", "table"),
    [
        (True, "create", "bronze.customers"),
        (True, *STEPS[0]),
        (True, *STEPS[3]),
        *((False, *step) for step in STEPS),
    ],
)
def test_writer_that_was_overtaken_tries_again(
    first: bool,
    method: str,
    table: str,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two writers ingest the same files. The rival also ingests a file that the late
    writer does not have, and commits first.
    """
    lake, other = tmp_path / "lake", tmp_path / "other"
    if not first:
        lakekit.run(source, lake, tables=shop.TABLES)
        shop.write(source, shop.CUSTOMERS, "2", [("c2", "Bonn", "false", shop.at(1))])
        shop.write(
            source,
            shop.ORDERS,
            "2",
            [("o1", "c1", "2", "8", shop.at(1)), ("o5", "c3", "2", "8", shop.at(1))],
        )
    for kind in ("customers", "orders"):
        (other / kind).mkdir(parents=True)
        for file in (source / kind).iterdir():
            (other / kind / file.name).write_bytes(file.read_bytes())
    shop.write(
        other,
        shop.ORDERS,
        "9",
        [("o1", "c1", "3", "4", shop.at(9)), ("o9", "c9", "3", "4", shop.at(9))],
    )
    with monkeypatch.context() as patched:
        calls = overtaken(
            patched, method, table, lambda: lakekit.run(other, lake, tables=shop.TABLES)
        )
        lakekit.run(source, lake, tables=shop.TABLES)
    assert calls
    lakekit.run(other, lake, tables=shop.TABLES)
    lakekit.run(other, tmp_path / "alone", tables=shop.TABLES)
    assert shop.contents(lake) == shop.contents(tmp_path / "alone")
    assert not lakekit.run(other, lake, tables=shop.TABLES).changed


def test_writer_that_is_always_overtaken_gives_up_and_says_so(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = tmp_path / "lake"
    lakekit.run(source, lake, tables=shop.TABLES)
    shop.write(source, shop.ORDERS, "2", [("o1", "c1", "2", "8", shop.at(1))])
    real = EmbeddedEngine.commit

    def late(self: EmbeddedEngine, table: Any, *rest: Any, **named: Any) -> Any:
        if table.name == "gold.city_months":
            DeltaTable(str(lake / "gold/city_months")).delete("city = 'Bern'")
            DeltaTable(str(lake / "gold/city_months")).alter.set_table_properties(
                {"delta.logRetentionDuration": "interval 9 days"}
            )
        return real(self, table, *rest, **named)

    with monkeypatch.context() as patched:
        patched.setattr(EmbeddedEngine, "commit", late)
        patched.setattr("lakekit.engines.retries.TRIES", 2)
        with pytest.raises(
            ConflictError, match="gold.city_months was changed by another writer"
        ) as caught:
            lakekit.run(source, lake, tables=shop.TABLES)
    assert caught.value.exit_code == 1 and "Run again" in caught.value.next_step
    lakekit.run(source, lake, tables=shop.TABLES)
    lakekit.run(source, tmp_path / "alone", tables=shop.TABLES)
    assert shop.contents(lake) == shop.contents(tmp_path / "alone")
