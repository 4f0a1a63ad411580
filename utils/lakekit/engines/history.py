"""Finds lakekit's newest note, and the newest change of rows, in the commits of a
table.
"""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

from lakekit.engines.engine import MAINTENANCE, Note

Commit = Tuple[int, str, Optional[Note]]
"""The version, the operation and the note of a commit."""


def newest_note(history: Sequence[Commit]) -> Tuple[Optional[Note], bool]:
    """Return lakekit's newest note, and whether another writer changed rows after it.

    `history` is newest first. The returned note is None if the table was restored after
    lakekit's newest note, because this note then no longer describes the rows.
    """
    foreign = False
    for _, operation, note in history:
        if operation in MAINTENANCE:
            continue
        if note is not None:
            return note, foreign
        foreign = True
        if operation == "RESTORE":
            break
    return None, foreign


def newest_change(history: Sequence[Commit]) -> Optional[int]:
    """Return the newest version that changed a row; None if no version changed rows.

    `history` is newest first.
    """
    for version, operation, note in history:
        if operation not in MAINTENANCE and (note is None or note.data):
            return version
    return None
