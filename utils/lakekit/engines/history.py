"""What the commits of a Delta table, as an engine reads them, say of its rows."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

from lakekit.engines.engine import MAINTENANCE, Note

Commit = Tuple[int, str, Optional[Note]]
"""Version, operation and note of a commit."""


def newest_note(history: Sequence[Commit]) -> Tuple[Optional[Note], bool]:
    """lakekit's newest note, and whether another writer changed rows after it.

    `history` is newest first. There is no note where the table was restored after it:
    what it says of the rows is no longer true.
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
    """The newest version that changed a row; None where these commits, newest first,
    changed none.
    """
    for version, operation, note in history:
        if operation not in MAINTENANCE and (note is None or note.data):
            return version
    return None
