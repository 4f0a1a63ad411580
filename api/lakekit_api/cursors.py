"""Cursors: the place in a table where a page ends.

A cursor names a row by its position in one version of the table, and holds no values.
So its length is fixed, and it is exact for every type, for missing values and for rows
that are equal.
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
"""Bytes of an edition, and of the digest of a sort order."""
LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Cursor:
    """The start of a page: after the row at `position` of a version, in a sort order.

    `edition` is the content of the version, as `Snapshot.edition` has it.
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
"""Characters of every cursor."""


def unpack(text: str) -> Cursor:
    """Return the cursor of a text. Raises ValueError for text that is not a cursor."""
    if len(text) != LENGTH:
        raise ValueError("is not a cursor")
    padded = text + "=" * (-len(text) % 4)
    packed = base64.b64decode(padded, altchars=b"-_", validate=True)
    version, position, edition, order = LAYOUT.unpack(packed)
    if max(version, position) > LARGEST:
        raise ValueError("is not a cursor")
    return Cursor(version, position, edition.hex(), order)


def order_digest(order: str) -> bytes:
    """Return the digest of a sort order, for comparison with a cursor's."""
    return hashlib.sha256(order.encode()).digest()[:DIGEST]


def position_column(columns: Sequence[Column]) -> str:
    """Return a name for the column with the number of a row.

    A loaded table gets this column, so no column of the table may have its name.
    """
    taken = {column.name.lower() for column in columns}
    name = "position"
    while name in taken:
        name += "_"
    return name
