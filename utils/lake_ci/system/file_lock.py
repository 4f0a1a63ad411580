"""Files that several processes share."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(
    path: Path, waiting: Callable[[str], None] = lambda holder: None
) -> Iterator[None]:
    """Hold the lock of a file, waiting for whoever holds it; a dead process holds
    nothing.

    Args:
        path: the lock's file, made where it is missing and left in place.
        waiting: called once, with what the holder wrote of itself, when there is
            someone to wait for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            waiting(file.read().strip())
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sign(path: Path, text: str) -> None:
    """Say in a lock's file who holds it, for whoever waits."""
    path.write_text(text + "\n", encoding="utf-8")
