"""Cursors: a cursor marks the row of a table at which a page ends.

A cursor contains the position of a row in one version of the table, but no values of
the row. So all cursors have the same length. A cursor identifies exactly one row, even
if values are missing or several rows are equal.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from dataclasses import dataclass
from typing import Sequence

from lakekit.declarations.tables import Column

LAYOUT = struct.Struct(">QQ6s6s")
DIGEST = 6
"""The length in bytes of both an edition and the digest of a sort order."""
LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Cursor:
    """The start of a page. In this version and this sort order, the page starts after
    the row at `position`.

    `edition` identifies the content of the version; see `Snapshot.edition`. `order` is
    the digest of the sort order.
    """

    version: int
    position: int
    edition: str
    order: bytes

    def pack(self) -> str:
        """Return the cursor as text that needs no quoting in a URL."""
        edition = bytes.fromhex(self.edition)
        packed = LAYOUT.pack(self.version, self.position, edition, self.order)
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")


LENGTH = len(Cursor(0, 0, "00" * DIGEST, bytes(DIGEST)).pack())
"""The number of characters in every cursor."""


def unpack(text: str) -> Cursor:
    """Return the cursor that a text encodes. Raises ValueError if the text is not a
    cursor.
    """
    if len(text) != LENGTH:
        raise ValueError("is not a cursor")
    padded = text + "=" * (-len(text) % 4)
    packed = base64.b64decode(padded, altchars=b"-_", validate=True)
    version, position, edition, order = LAYOUT.unpack(packed)
    if max(version, position) > LARGEST:
        raise ValueError("is not a cursor")
    return Cursor(version, position, edition.hex(), order)


def order_digest(order: str) -> bytes:
    """Return the digest of a sort order; cursors contain this digest."""
    return hashlib.sha256(order.encode()).digest()[:DIGEST]


def position_column(columns: Sequence[Column]) -> str:
    """Return the name of the additional column that numbers the rows of a loaded table.

    No column of the table has this name.
    """
    taken = {column.name.lower() for column in columns}
    name = "position"
    while name in taken:
        name += "_"
    return name
