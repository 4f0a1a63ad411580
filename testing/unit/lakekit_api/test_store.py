from __future__ import annotations

import asyncio
import dataclasses
import shutil
import threading
from pathlib import Path
from typing import Any, Awaitable, Callable, Iterator, List

import pytest
from deltalake import DeltaTable

from lakekit.errors import StorageError
from lakekit.storage.lake import find_lake
from lakekit_api import Settings
from lakekit_api.errors import ProblemError
from lakekit_api.metrics import Metrics
from lakekit_api.snapshots import Reader
from lakekit_api.store import PATIENCE, Store
from testing.unit.lakekit_api.trips import OTHER, TRIPS, trip, write

SLOW = (
    "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range %"
    " 7 = ?"
)
Make = Callable[..., Store]


class Clock:
    """A clock that only the test advances."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(settings: Settings, lake: Path, clock: Clock) -> Iterator[Make]:
    """Yield a function that creates a store for the lake. Keyword arguments change
    settings.
    """
    made: List[Store] = []

    def make_store(**changed: Any) -> Store:
        reader = Reader(find_lake(lake), "1GB")
        store = Store(
            reader,
            (TRIPS, OTHER),
            dataclasses.replace(settings, **changed),
            Metrics(),
            clock,
        )
        made.append(store)
        return store

    yield make_store
    for store in made:
        store.close()


def run(awaited: Awaitable[Any]) -> Any:
    async def main() -> Any:
        return await awaited

    return asyncio.run(main())


def refused(awaited: Awaitable[Any]) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        run(awaited)
    return caught.value


def test_log_is_looked_at_once_a_while(make: Make, clock: Clock, lake: Path) -> None:
    store = make(refresh=1.0)

    async def main() -> List[int]:
        seen = [(await store.newest(TRIPS)).version]
        write(lake, TRIPS, [trip(9, "z")])
        clock.now = 0.9
        seen.append((await store.newest(TRIPS)).version)
        clock.now = PATIENCE + 1.0
        seen.append((await store.newest(TRIPS)).version)
        return seen

    assert run(main()) == [0, 0, 1]


def test_requests_go_on_with_the_version_at_hand_while_a_new_one_loads(
    make: Make, clock: Clock, lake: Path
) -> None:
    store = make(refresh=1.0)

    async def main() -> List[int]:
        await store.newest(TRIPS)
        write(lake, TRIPS, [trip(9, "z")])
        clock.now = 2.0
        seen = [(await store.newest(TRIPS)).version]
        look = store._followed[TRIPS.name].look
        assert look is not None
        await look
        return [*seen, (await store.newest(TRIPS)).version]

    assert run(main()) == [0, 1]


def test_many_requests_share_one_look(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, looks, head = make(), [], Reader.head

    def count(self: Reader, table: Any) -> Any:
        looks.append(table.name)
        return head(self, table)

    monkeypatch.setattr(Reader, "head", count)

    async def main() -> Any:
        return await asyncio.gather(*(store.newest(TRIPS) for _ in range(20)))

    assert len(set(run(main()))) == 1 and looks == ["gold.trips"]


def test_old_versions_are_kept_up_to_a_number(make: Make, lake: Path) -> None:
    for day in (7, 8, 9):
        write(lake, TRIPS, [trip(day, "z")])
    store = make(versions=2)

    async def main() -> List[Any]:
        found = [await store.at(TRIPS, version) for version in (0, 1, 0, 2, 3)]
        assert found[0] is found[2] is await store.at(TRIPS, 0)
        return [snapshot.version for snapshot in found]

    assert run(main()) == [0, 1, 0, 2, 3]
    assert [version for _, version in store._old._loaded] == [2, 0]


def test_version_that_never_was_and_one_that_is_gone(make: Make, lake: Path) -> None:
    assert refused(make().at(TRIPS, 1)).status == 404
    write(lake, TRIPS, [trip(9, "z")])
    DeltaTable(str(lake / TRIPS.folder)).vacuum(
        0, dry_run=False, enforce_retention_duration=False
    )
    gone = refused(make().at(TRIPS, 0))
    assert (gone.status, gone.detail) == (
        410,
        "Version 0 of gold.trips has been removed.",
    )


def test_table_that_is_not_made_yet_appears_when_it_is(make: Make, lake: Path) -> None:
    shutil.rmtree(lake / TRIPS.folder)
    store = make()

    async def main() -> int:
        with pytest.raises(ProblemError, match="does not have gold.trips yet"):
            await store.newest(TRIPS)
        write(lake, TRIPS, [trip(9, "z")])
        return (await store.newest(TRIPS)).rows

    assert run(main()) == 1


def test_rebuilt_table_is_another_table(make: Make, lake: Path) -> None:
    store = make()

    async def main() -> List[Any]:
        first = await store.newest(TRIPS)
        shutil.rmtree(lake / TRIPS.folder)
        write(lake, TRIPS, [trip(9, "z")])
        return [first, await store.newest(TRIPS)]

    first, second = run(main())
    assert (first.version, second.version, second.rows) == (0, 0, 1)
    assert first.etag != second.etag


def test_lake_that_cannot_be_read_is_said_without_its_path(
    make: Make, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageError(lake, "permission denied")

    store = make()
    monkeypatch.setattr(Reader, "head", fail)
    problem = refused(store.newest(TRIPS))
    assert problem.status == 503 and str(lake) not in problem.detail


def test_old_version_that_cannot_be_read_is_said(
    make: Make, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(lake, TRIPS, [trip(9, "z")])
    store = make()

    async def main() -> None:
        await store.newest(TRIPS)
        monkeypatch.setattr(Reader, "load", fail)
        await store.at(TRIPS, 0)

    def fail(*_: object) -> None:
        raise StorageError(lake, "permission denied")

    assert refused(main()).status == 503


def test_query_that_takes_too_long_is_stopped(make: Make) -> None:
    patient, store = make(), make(timeout=0.2, threads=1)

    async def main() -> Any:
        snapshot = await patient.newest(TRIPS)
        with pytest.raises(ProblemError, match="longer than 0.2 s") as caught:
            await store.query(snapshot, SLOW, [1])
        assert caught.value.status == 504
        # The store has one query thread. So this call runs only because the previous
        # query was stopped.
        return await asyncio.get_running_loop().run_in_executor(
            store._queries, threading.active_count
        )

    assert run(asyncio.wait_for(main(), 600)) > 0
