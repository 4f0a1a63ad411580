"""Locks files between processes."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(
    path: Path, waiting: Callable[[str], None] = lambda holder: None
) -> Iterator[None]:
    """Wait until no other process holds the lock of a file, then hold the lock.

    The lock is held during a `with` block. If a process is killed, the system releases
    its lock.

    Args:
        path: the lock file; it is created if it is missing, and never deleted.
        waiting: a function that is called once if this process must wait. Its argument
            is the text that the holder passed to `sign`.
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
    """Write who holds the lock into the lock file; waiting processes read this text."""
    path.write_text(text + "\n", encoding="utf-8")
