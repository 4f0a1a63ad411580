"""Limits the number of concurrent data requests and of idle connections."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import Dict, Iterator

from lakekit_api.errors import ProblemError

RETRY_AFTER = 1


class Slots:
    """A limit of concurrent requests. Further requests are rejected immediately; they
    do not wait.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Acquire one slot. Raises ProblemError 429.

        Called on the event loop only, so it needs no lock.
        """
        if self.taken >= self.limit:
            detail = (
                f"{self.limit} requests are in progress already; try again in"
                f" {RETRY_AFTER} s."
            )
            raise ProblemError(429, detail, {"Retry-After": str(RETRY_AFTER)})
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


class IdleConnections:
    """The connections without a pending request, ordered by the time when they became
    idle.
    """

    def __init__(self) -> None:
        self._transports: Dict[asyncio.Transport, None] = {}

    def add(self, transport: asyncio.Transport) -> None:
        """Add a connection. A connection that is already idle keeps its position."""
        self._transports[transport] = None

    def remove(self, transport: asyncio.Transport) -> None:
        """Remove a connection, if it is idle."""
        self._transports.pop(transport, None)

    def evict(self) -> bool:
        """Close the connection that has been idle longest. Returns False if no
        connection is idle.

        So clients that send nothing, or only the start of a request, lose their
        connections when other clients connect.
        """
        oldest = next(iter(self._transports), None)
        if oldest is None:
            return False
        self.remove(oldest)
        oldest.abort()
        return True
