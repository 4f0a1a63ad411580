from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Iterator, List

import duckdb
import pytest
from deltalake import DeltaTable
from fastapi.testclient import TestClient

from lakekit.storage.lake import find_lake
from lakekit_api import Settings
from lakekit_api.errors import ProblemError
from lakekit_api.metrics import Metrics
from lakekit_api.snapshots import AbandonedError, Abandonment, Head, Reader
from lakekit_api.store import Store
from lakekit_api.versions import LOADERS, OldVersions
from testing.unit.lakekit_api.trips import OTHER, TRIPS, trip, write

NEWEST = 6
SLOW = (
    "SELECT count(*) FROM range(1000000) a, range(1000000) b"
    " WHERE a.range * b.range % 7 = 1"
)


class Gate:
    """Records each load of an old version, and blocks the load until the test opens the
    gate.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.loaded: List[int] = []
        load = Reader.load

        def held(reader: Reader, table: Any, head: Head, *more: Any) -> Any:
            if table is TRIPS and head.version < NEWEST:
                self.loaded.append(head.version)
                self.open.wait(60)
            return load(reader, table, head, *more)

        monkeypatch.setattr(Reader, "load", held)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch, lake: Path) -> Iterator[Gate]:
    for day in range(NEWEST):
        write(lake, TRIPS, [trip(day + 1, "z")])
    gate = Gate(monkeypatch)
    yield gate
    gate.open.set()


def test_loads_of_old_versions_delay_nobody_else(
    settings: Settings, lake: Path, gate: Gate
) -> None:
    reader = Reader(find_lake(lake), "1GB")
    limited = dataclasses.replace(settings, concurrency=12)
    store = Store(reader, (TRIPS, OTHER), limited, Metrics())

    async def main() -> List[int]:
        assert (await store.newest(TRIPS)).version == NEWEST
        loads = [asyncio.ensure_future(store.at(TRIPS, each)) for each in range(4)]
        while len(store._old._loading) < len(loads):
            await asyncio.sleep(0)
        with pytest.raises(ProblemError) as caught:
            await store.at(TRIPS, 5)
        assert (caught.value.status, caught.value.headers) == (
            429,
            {"Retry-After": "1"},
        )
        assert (await store.newest(TRIPS)).version == NEWEST
        assert (await store.newest(OTHER)).rows == 1
        gate.open.set()
        found = await asyncio.gather(*loads)
        assert (await store.at(TRIPS, 5)).version == 5
        return [snapshot.version for snapshot in found]

    assert asyncio.run(asyncio.wait_for(main(), 60)) == [0, 1, 2, 3]
    store.close()


def test_load_that_nobody_waits_for_leaves_the_queue(
    settings: Settings, lake: Path, gate: Gate
) -> None:
    reader = Reader(find_lake(lake), "1GB")
    old = OldVersions(reader, dataclasses.replace(settings, timeout=0.2), lambda: 0.0)

    async def main() -> List[int]:
        waiting = [old.get(TRIPS, version) for version in range(LOADERS + 2)]
        found = await asyncio.gather(*waiting, return_exceptions=True)
        gate.open.set()
        while True:
            with contextlib.suppress(ProblemError):  # loads may still be running
                assert (await old.get(TRIPS, 5)).version == 5
                break
        return [each.status for each in found if isinstance(each, ProblemError)]

    assert asyncio.run(main()) == [504] * (LOADERS + 2)
    assert set(gate.loaded) == {*range(LOADERS), 5}
    old.close()
    reader.close()


def test_abandoned_load_is_interrupted() -> None:
    abandoned, begun = Abandonment(), threading.Event()

    def run() -> None:
        with duckdb.connect() as cursor, abandoned.interrupts(cursor):
            begun.set()
            cursor.execute(SLOW).fetchall()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        assert begun.wait(60)
        while not running.done():  # DuckDB ignores an interrupt if no query is running
            abandoned.request()
        with pytest.raises(duckdb.InterruptException):
            running.result()
    with pytest.raises(AbandonedError):
        abandoned.check()


def test_abandoned_load_leaves_no_table(lake: Path) -> None:
    reader, abandoned = Reader(find_lake(lake), "1GB"), Abandonment()
    head = reader.head(TRIPS)
    assert head is not None
    abandoned.request()
    with pytest.raises(AbandonedError):
        reader.load(TRIPS, head, abandoned)
    tables = "SELECT count(*) FROM duckdb_tables()"
    assert reader.cursor().execute(tables).fetchone() == (0,)
    reader.close()


def test_removed_version_is_gone_although_it_was_loaded(
    client: TestClient, lake: Path
) -> None:
    write(lake, TRIPS, [trip(9, "z")])
    assert client.get("/gold/trips?version=0").status_code == 200
    log = lake / TRIPS.folder / "_delta_log"
    DeltaTable(str(lake / TRIPS.folder)).create_checkpoint()
    (log / f"{0:020}.json").unlink()
    assert client.get("/gold/trips?version=0").status_code == 410
    assert client.get("/gold/trips").status_code == 200
