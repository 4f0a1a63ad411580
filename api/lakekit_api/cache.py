"""A cache of response pages. A version of a table is immutable, so its pages never
become invalid.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Optional, Tuple

Key = Tuple[str, bytes]
"""A snapshot's relation, and the query string."""


class PageCache:
    """An LRU cache of pages, limited to a number of bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        self._pages: OrderedDict[Key, bytes] = OrderedDict()

    def get(self, key: Key) -> Optional[bytes]:
        """Return the page, or None if it is not cached."""
        body = self._pages.get(key)
        if body is not None:
            self._pages.move_to_end(key)
        return body

    def put(self, key: Key, body: bytes) -> None:
        """Cache a page, and evict the least recently used pages."""
        if key in self._pages or len(body) > self._most:
            return
        self._pages[key] = body
        self._bytes += len(body)
        while self._bytes > self._most:
            _, gone = self._pages.popitem(last=False)
            self._bytes -= len(gone)
