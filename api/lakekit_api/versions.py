"""Manages older table versions, which requests read with `?version=` or through `next`
links.

Older versions have their own threads and limits, so that requests for many older
versions do not delay requests for the newest version.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Dict, Optional, Tuple

from lakekit.declarations.tables import Table
from lakekit_api.errors import ProblemError
from lakekit_api.limits import Slots
from lakekit_api.logs import log
from lakekit_api.settings import Settings
from lakekit_api.snapshots import (
    AbandonedError,
    Abandonment,
    Reader,
    Snapshot,
    UnreadableError,
    VersionGoneError,
    attempt,
)

LOADERS = 2
Key = Tuple[str, int]


class Load:
    """A load in progress, and the number of requests that wait for this load."""

    def __init__(self, done: asyncio.Future[Snapshot], abandoned: Abandonment) -> None:
        self.done = done
        self.abandoned = abandoned
        self.waiting = 0


class OldVersions:
    """The loaded older versions. All methods except `close` are called on the event
    loop.
    """

    def __init__(
        self, reader: Reader, settings: Settings, clock: Callable[[], float]
    ) -> None:
        self._reader, self._settings, self._clock = reader, settings, clock
        self._loaded: OrderedDict[Key, Tuple[Snapshot, float]] = OrderedDict()
        self._loading: Dict[Key, Load] = {}
        # The limit keeps slots of the service free for requests that read the newest
        # versions.
        self._slots = Slots(max(1, settings.concurrency // 3))
        self._threads = ThreadPoolExecutor(LOADERS, "old")

    def close(self) -> None:
        """Stop the threads and drop the tables."""
        for load in self._loading.values():
            load.abandoned.request()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._loaded.clear()

    async def get(self, table: Table, version: int) -> Snapshot:
        """Return a version. If the log was last read longer ago than the setting
        `refresh`, the log is read again, because a restore may have changed the content
        of this version.

        Raises ProblemError: 410 for a version that was removed, 429 if too many
        versions are loading, 503 for a version that cannot be read, 504 if the load
        takes too long.
        """
        key = (table.name, version)
        loaded = self._loaded.get(key)
        if loaded is not None and self._clock() - loaded[1] < self._settings.refresh:
            self._loaded.move_to_end(key)
            return loaded[0]
        with self._slots.take():
            return await self._wait(key, self._load(table, key))

    def _load(self, table: Table, key: Key) -> Load:
        """Return the load in progress for a version, or start a load."""
        if key not in self._loading:
            abandoned, started = Abandonment(), self._clock()
            last = self._loaded.get(key, (None, 0.0))[0]
            running = asyncio.get_running_loop().run_in_executor(
                self._threads, self._read, table, key[1], last, abandoned
            )
            load = Load(asyncio.ensure_future(running), abandoned)
            self._loading[key] = load
            load.done.add_done_callback(lambda _: self._ended(key, load, started))
        return self._loading[key]

    def _read(
        self,
        table: Table,
        version: int,
        last: Optional[Snapshot],
        abandoned: Abandonment,
    ) -> Snapshot:
        """Load a version. If its content equals that of `last`, return `last`."""
        abandoned.check()
        head = attempt(self._reader.head, table, version)
        assert head is not None, "only the newest version may be missing"
        if last is not None and last.head == head:
            return last
        return attempt(self._reader.load, table, head, abandoned)

    async def _wait(self, key: Key, load: Load) -> Snapshot:
        table, version = key
        load.waiting += 1
        try:
            return await asyncio.wait_for(
                asyncio.shield(load.done), self._settings.timeout
            )
        except asyncio.TimeoutError:
            raise ProblemError(
                504,
                f"Version {version} of {table} was not loaded within"
                f" {self._settings.timeout:g} s.",
            ) from None
        except VersionGoneError:
            raise ProblemError(
                410, f"Version {version} of {table} has been removed."
            ) from None
        except UnreadableError:
            loaded = self._loaded.get(key)
            age = float("inf") if loaded is None else self._clock() - loaded[1]
            if loaded is not None and age <= self._settings.max_stale:
                return loaded[0]
            raise ProblemError(
                503, f"{table} cannot be read now; the log has the reason."
            ) from None
        finally:
            load.waiting -= 1
            if not load.waiting and not load.done.done():
                self._abandon(key, load)

    def _abandon(self, key: Key, load: Load) -> None:
        """Stop a load that no request waits for. A load that has not started is removed
        from the queue; the query of a running load is interrupted.
        """
        self._loading.pop(key, None)
        load.abandoned.request()
        load.done.cancel()

    def _ended(self, key: Key, load: Load, started: float) -> None:
        if self._loading.get(key) is load:
            del self._loading[key]
        if load.done.cancelled():
            return
        error = load.done.exception()
        if error is None:
            self._loaded[key] = (load.done.result(), started)
            self._loaded.move_to_end(key)
            while len(self._loaded) > self._settings.versions:
                self._loaded.popitem(last=False)
            return
        if isinstance(error, VersionGoneError):
            self._loaded.pop(key, None)
        if not isinstance(error, AbandonedError):
            log(
                logging.WARNING,
                "an old version cannot be read",
                table=key[0],
                version=key[1],
                reason=str(error) or repr(error),
            )
