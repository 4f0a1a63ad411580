"""Limits the number of concurrent data requests and of idle connections."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import Dict, Iterator

from lakekit_api.errors import ProblemError

RETRY_AFTER = 1


class Slots:
    """Limits the number of concurrent requests. Requests beyond the limit do not wait;
    they are rejected immediately.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Acquire one slot. Raises ProblemError 429 if no slot is free.

        This method is called only on the event loop, so it needs no lock.
        """
        if self.taken >= self.limit:
            detail = (
                f"{self.limit} requests are already in progress; retry in"
                f" {RETRY_AFTER} s."
            )
            raise ProblemError(429, detail, {"Retry-After": str(RETRY_AFTER)})
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


class IdleConnections:
    """The connections that have no pending request, in the order in which they became
    idle.
    """

    def __init__(self) -> None:
        self._transports: Dict[asyncio.Transport, None] = {}

    def add(self, transport: asyncio.Transport) -> None:
        """Add a connection. A connection that is already idle keeps its position."""
        self._transports[transport] = None

    def remove(self, transport: asyncio.Transport) -> None:
        """Remove a connection if it is in the list of idle connections."""
        self._transports.pop(transport, None)

    def evict(self) -> bool:
        """Close the connection that has been idle for the longest time. Returns False
        if no connection is idle.

        A client that sends nothing, or only the start of a request, counts as idle.
        A client that counts as idle loses its connection if too many clients are
        connected.
        """
        oldest = next(iter(self._transports), None)
        if oldest is None:
            return False
        self.remove(oldest)
        oldest.abort()
        return True
