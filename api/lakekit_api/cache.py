"""A cache of response pages. A version of a table never changes, so its cached pages
stay valid.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from dataclasses import dataclass
from typing import Optional, Tuple

Key = Tuple[str, bytes]
"""The key of a page: the name of the snapshot's relation, and the query string."""
OVERHEAD = 512
"""The number of bytes that an entry needs in addition to its texts. The dictionary's
slot, the tuple and the objects need these bytes.
"""


@dataclass(frozen=True)
class Body:
    """The body of a page, and the URL of the next page."""

    json: bytes
    next: Optional[str] = None


class PageCache:
    """An LRU cache of pages. The cache uses at most `most` bytes of memory."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.bytes = 0
        self._pages: OrderedDict[Key, Body] = OrderedDict()

    def get(self, key: Key) -> Optional[Body]:
        """Return the page, or None if it is not cached."""
        body = self._pages.get(key)
        if body is not None:
            self._pages.move_to_end(key)
        return body

    def put(self, key: Key, body: Body) -> None:
        """Cache a page. If the cache is then too large, the least recently used pages
        are evicted.
        """
        size = weight(key, body)
        if key in self._pages or size > self._most:
            return
        self._pages[key] = body
        self.bytes += size
        while self.bytes > self._most:
            self.bytes -= weight(*self._pages.popitem(last=False))


def weight(key: Key, body: Body) -> int:
    """Return the number of bytes of memory that an entry uses."""
    texts = (*key, body.json, body.next or "")
    return OVERHEAD + sum(map(sys.getsizeof, texts))
