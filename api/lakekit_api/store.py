"""Manages the newest loaded version of each table, and the threads that load and query
the tables.

A look at a table reads the table's log, and loads the newest version if this version is
not loaded yet. A look starts when a request needs the table and the last look ended
more than `refresh` seconds ago. During a look, requests continue to use the loaded
version until its age is `PATIENCE` times the setting `refresh`. If the table cannot be
read, requests continue to use the loaded version until its age is the setting
`max_stale`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import (
    Any,
    Awaitable,
    Callable,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
)

from lakekit.declarations.tables import Table
from lakekit_api.errors import ProblemError
from lakekit_api.limits import Slots
from lakekit_api.logs import log
from lakekit_api.metrics import Metrics
from lakekit_api.settings import Settings
from lakekit_api.snapshots import Reader, Snapshot, attempt
from lakekit_api.versions import OldVersions

PATIENCE = 10
NEVER = float("-inf")
T = TypeVar("T")


class TableState:
    """A table and its newest loaded version. `confirmed` is the time of the last check
    whose result was that this version is the newest.
    """

    def __init__(self, table: Table, slots: Slots) -> None:
        self.table = table
        self.slots = slots  # for requests that wait for a look
        self.snapshot: Optional[Snapshot] = None
        self.confirmed = NEVER
        self.look: Optional[asyncio.Future[None]] = None
        self.look_started = self.look_ended = NEVER
        self.failed = False  # whether the last look failed or took too long


class Store:
    """The tables of a lake. All methods except `close` are called on the event loop."""

    def __init__(
        self,
        reader: Reader,
        tables: Sequence[Table],
        settings: Settings,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader, self._settings, self._metrics, self._clock = (
            reader,
            settings,
            metrics,
            clock,
        )
        waiting = max(1, settings.concurrency // 2)
        self._followed: Mapping[str, TableState] = {
            table.name: TableState(table, Slots(waiting)) for table in tables
        }
        self._old = OldVersions(reader, settings, clock)
        self._queries = ThreadPoolExecutor(settings.threads, "query")
        # There is one thread per table, so a slow or unreadable table does not delay
        # the other tables.
        self._loaders = ThreadPoolExecutor(len(tables), "load")

    def close(self) -> None:
        """Stop the threads and drop the tables."""
        self._queries.shutdown(wait=True, cancel_futures=True)
        self._old.close()
        self._loaders.shutdown(wait=True, cancel_futures=True)
        self._reader.close()

    async def newest(self, table: Table, probe: bool = False) -> Snapshot:
        """Return the newest version, or the last loaded version if the table cannot be
        read now.

        With `probe`, the call waits only a short time, and takes no slot away from
        requests.

        Raises ProblemError: 404 if the lake does not have the table yet, 503 if the
        table cannot be read, 504 if the table is not loaded in time.
        """
        followed, refresh = self._followed[table.name], self._settings.refresh
        age = self._clock() - followed.confirmed
        if followed.snapshot is not None and age < refresh:
            return followed.snapshot
        look = self._looking(followed)
        if look is not None and (
            followed.snapshot is None or age >= refresh * PATIENCE
        ):
            await self._wait(followed, look, probe)
        return self._readable(followed)

    def _looking(self, followed: TableState) -> Optional[asyncio.Future[None]]:
        """Return the look in progress, or start a look. Returns None if the last look
        ended less than `refresh` seconds ago.
        """
        if followed.look is None:
            now = self._clock()
            if now - followed.look_ended < self._settings.refresh:
                return None
            followed.look_started = now
            followed.look = asyncio.ensure_future(self._look(followed))
            followed.look.add_done_callback(lambda done: self._looked(followed, done))
        return followed.look

    async def _wait(
        self, followed: TableState, look: asyncio.Future[None], probe: bool
    ) -> None:
        """Wait for a look. The wait is short if the request is a probe, or if a version
        of the table is already loaded.
        """
        limit = self._settings.timeout
        if probe or followed.snapshot is not None:
            limit /= PATIENCE
        if followed.failed and self._clock() - followed.look_started >= limit:
            return  # the look takes too long, so this request does not wait for it
        # `asyncio.wait` does not raise the look's error. `_looked` records the error.
        if probe:
            done, _ = await asyncio.wait({look}, timeout=limit)
        else:
            with followed.slots.take():
                done, _ = await asyncio.wait({look}, timeout=limit)
        followed.failed = followed.failed or not done

    def _readable(self, followed: TableState) -> Snapshot:
        """Return the version to serve. Raises ProblemError if none can be served."""
        name, look = followed.table.name, followed.look
        if followed.snapshot is None:
            if look is not None:
                raise ProblemError(504, f"{name} is not loaded yet; retry.")
            if not followed.failed:
                raise ProblemError(404, f"The lake does not have {name} yet.")
        elif not followed.failed or self._age(followed) <= self._settings.max_stale:
            return followed.snapshot
        raise ProblemError(503, f"{name} cannot be read now; the log has the reason.")

    def staleness(self, table: Table) -> Optional[int]:
        """If the table cannot be read now, return the age of the served version in
        seconds; otherwise None.
        """
        followed = self._followed[table.name]
        if followed.snapshot is None or not followed.failed:
            return None
        return math.ceil(self._age(followed))

    def measure(self) -> None:
        """Update the metric for the age of stale tables. The age grows with time."""
        for name, followed in self._followed.items():
            stale = self.staleness(followed.table) or 0
            self._metrics.stale.labels(name).set(stale)

    def _age(self, followed: TableState) -> float:
        return self._clock() - followed.confirmed

    async def at(self, table: Table, version: int) -> Snapshot:
        """Return a version of a table: the newest version or an older version.

        Raises ProblemError: 404 for a version that never existed, 410 for a version
        that was removed, 429 if too many versions are loading.
        """
        newest = await self.newest(table)
        if version == newest.version:
            return newest
        if version > newest.version:
            raise ProblemError(
                404, f"The newest version of {table.name} is {newest.version}."
            )
        return await self._old.get(table, version)

    async def query(
        self, snapshot: Snapshot, sql: str, bound: Sequence[Any]
    ) -> List[Tuple[Any, ...]]:
        """Return the rows of a query over a snapshot. The snapshot stays in memory
        until the query ends. Raises ProblemError 504 if the query takes too long.
        """
        cursor = self._reader.cursor()

        def run(_: Snapshot) -> List[Tuple[Any, ...]]:
            with cursor:
                rows: List[Tuple[Any, ...]] = cursor.execute(sql, bound).fetchall()
                return rows

        try:
            running = asyncio.get_running_loop().run_in_executor(
                self._queries, run, snapshot
            )
            return await self._in_time(running)
        except ProblemError:
            cursor.interrupt()
            raise

    async def _look(self, followed: TableState) -> None:
        started, table = self._clock(), followed.table
        head = await self._run(self._reader.head, table)
        if head is None:
            followed.snapshot = None
        elif followed.snapshot is None or followed.snapshot.head != head:
            followed.snapshot = await self._run(self._reader.load, table, head)
            self._metrics.version.labels(table.name).set(followed.snapshot.version)
            self._metrics.rows.labels(table.name).set(followed.snapshot.rows)
            log(
                logging.INFO,
                "loaded",
                table=table.name,
                version=followed.snapshot.version,
                rows=followed.snapshot.rows,
            )
        followed.confirmed = started

    def _looked(self, followed: TableState, done: asyncio.Future[None]) -> None:
        followed.look, followed.look_ended = None, self._clock()
        error = None if done.cancelled() else done.exception()
        followed.failed = done.cancelled() or error is not None
        if error is not None:
            self._metrics.failed_looks.labels(followed.table.name).inc()
            log(
                logging.ERROR,
                "a table cannot be read",
                table=followed.table.name,
                reason=str(error) or repr(error),
            )

    async def _run(self, call: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self._loaders, attempt, call, *arguments
        )

    async def _in_time(self, awaited: Awaitable[T]) -> T:
        try:
            return await asyncio.wait_for(awaited, self._settings.timeout)
        except asyncio.TimeoutError:
            raise ProblemError(
                504,
                "The query took longer than"
                f" {self._settings.timeout:g} s; request less data.",
            ) from None
