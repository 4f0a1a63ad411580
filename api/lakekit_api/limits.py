"""How many data requests are in hand at once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator

from lakekit_api.errors import Problem

RETRY_AFTER = 1


class Slots:
    """A bound on requests in hand: one more is refused at once, rather than made to wait behind all the others."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold one slot. Raises Problem 429. Called on the event loop only, so it needs no lock."""
        if self.taken >= self.limit:
            detail = f"{self.limit} requests are in hand already; try again in {RETRY_AFTER} s."
            raise Problem(429, detail, {"Retry-After": str(RETRY_AFTER)})
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
