"""Pages that were answered once. A version of a table never changes, so neither does a
page of it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Optional, Tuple

Key = Tuple[str, bytes]
"""A snapshot's relation, and the query string."""


class PageCache:
    """The pages asked for most recently, up to a number of bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        self._pages: OrderedDict[Key, bytes] = OrderedDict()

    def get(self, key: Key) -> Optional[bytes]:
        """The page, if it is kept."""
        body = self._pages.get(key)
        if body is not None:
            self._pages.move_to_end(key)
        return body

    def put(self, key: Key, body: bytes) -> None:
        """Keep a page, and let go of those not asked for the longest."""
        if key in self._pages or len(body) > self._most:
            return
        self._pages[key] = body
        self._bytes += len(body)
        while self._bytes > self._most:
            _, gone = self._pages.popitem(last=False)
            self._bytes -= len(gone)
