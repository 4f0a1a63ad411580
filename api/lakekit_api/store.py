"""Manages the loaded versions of tables, and the threads that query them.

A table's log is read when a request needs it and the last read is older than the
setting `refresh`. During a read, or while a new version is loaded, requests continue to
use the loaded version, for up to `PATIENCE` times `refresh`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import (
    Any,
    Awaitable,
    Callable,
    Dict,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
)

from lakekit.declarations.tables import Table
from lakekit.errors import LakekitError
from lakekit_api.errors import ProblemError
from lakekit_api.logs import log
from lakekit_api.metrics import Metrics
from lakekit_api.settings import Settings
from lakekit_api.snapshots import Head, Reader, Snapshot, VersionGoneError

PATIENCE = 10
LOADERS = 4
T = TypeVar("T")


class TableState:
    """A table, its newest loaded version, and when that version was last known to be
    the newest.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.snapshot: Optional[Snapshot] = None
        self.confirmed = float("-inf")
        self.look: Optional[asyncio.Future[None]] = None


class Store:
    """The readable tables. All methods except `close` are called on the event loop."""

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
        self._followed: Mapping[str, TableState] = {
            table.name: TableState(table) for table in tables
        }
        self._old: OrderedDict[Tuple[str, Head], Snapshot] = OrderedDict()
        self._loading: Dict[Tuple[str, Head], asyncio.Future[Snapshot]] = {}
        self._queries = ThreadPoolExecutor(settings.threads, "query")
        self._loaders = ThreadPoolExecutor(LOADERS, "load")

    def close(self) -> None:
        """Stop the threads and drop the tables."""
        self._queries.shutdown(wait=True, cancel_futures=True)
        self._loaders.shutdown(wait=True, cancel_futures=True)
        self._reader.close()

    async def newest(self, table: Table) -> Snapshot:
        """Return the newest version. Raises ProblemError 404 if the lake does not have
        the table yet, 503 if it cannot be read.
        """
        followed = self._followed[table.name]
        age, refresh = self._clock() - followed.confirmed, self._settings.refresh
        if followed.snapshot is not None and age < refresh:
            return followed.snapshot
        if followed.look is None:
            followed.look = asyncio.ensure_future(self._look(followed))
            followed.look.add_done_callback(lambda done: self._looked(followed, done))
        if followed.snapshot is None or age >= refresh * PATIENCE:
            try:
                await self._in_time(asyncio.shield(followed.look))
            except (LakekitError, VersionGoneError):
                raise ProblemError(
                    503, f"{table.name} cannot be read now; the log says why."
                ) from None
        if followed.snapshot is None:
            raise ProblemError(404, f"The lake holds no {table.name} yet.")
        return followed.snapshot

    async def at(self, table: Table, version: int) -> Snapshot:
        """Return a version, the newest or an older one. Raises ProblemError 404 for a
        version that never existed, 410 for a version that was removed.
        """
        newest = await self.newest(table)
        if version == newest.version:
            return newest
        if version > newest.version:
            raise ProblemError(
                404, f"The newest version of {table.name} is {newest.version}."
            )
        key = (table.name, Head(version, newest.head.table_id))
        if key not in self._old:
            if key not in self._loading:
                self._loading[key] = asyncio.ensure_future(
                    self._run(self._reader.load, table, key[1])
                )
                self._loading[key].add_done_callback(
                    lambda done: self._loaded(key, done)
                )
            try:
                return await self._in_time(asyncio.shield(self._loading[key]))
            except VersionGoneError:
                raise ProblemError(
                    410, f"Version {version} of {table.name} has been removed."
                ) from None
            except LakekitError:
                raise ProblemError(
                    503, f"{table.name} cannot be read now; the log says why."
                ) from None
        self._old.move_to_end(key)
        return self._old[key]

    async def query(
        self, snapshot: Snapshot, sql: str, bound: Sequence[Any]
    ) -> List[Tuple[Any, ...]]:
        """Return the rows of a query over a snapshot, which is retained until the query
        ends. Raises ProblemError 504.
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
            self._metrics.version.labels(table.name).set(head.version)
            self._metrics.rows.labels(table.name).set(followed.snapshot.rows)
            log(
                logging.INFO,
                "loaded",
                table=table.name,
                version=head.version,
                rows=followed.snapshot.rows,
            )
        followed.confirmed = started

    def _looked(self, followed: TableState, done: asyncio.Future[None]) -> None:
        followed.look = None
        if not done.cancelled() and done.exception() is not None:
            self._metrics.failed_looks.labels(followed.table.name).inc()
            log(
                logging.ERROR,
                "a table cannot be read",
                table=followed.table.name,
                reason=repr(done.exception()),
            )

    def _loaded(self, key: Tuple[str, Head], done: asyncio.Future[Snapshot]) -> None:
        del self._loading[key]
        if done.cancelled():
            return
        if done.exception() is not None:
            log(
                logging.WARNING,
                "an old version cannot be read",
                table=key[0],
                reason=repr(done.exception()),
            )
            return
        self._old[key] = done.result()
        while len(self._old) > self._settings.versions:
            self._old.popitem(last=False)

    async def _run(self, call: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self._loaders, call, *arguments
        )

    async def _in_time(self, awaited: Awaitable[T]) -> T:
        try:
            return await asyncio.wait_for(awaited, self._settings.timeout)
        except asyncio.TimeoutError:
            raise ProblemError(
                504,
                "The answer took longer than"
                f" {self._settings.timeout:g} s; ask for less.",
            ) from None
