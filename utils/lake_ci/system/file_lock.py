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
    """Hold the lock of a file, and wait while another process holds it.

    The lock of a dead process is released.

    Args:
        path: the lock file; it is created if it is missing, and not deleted.
        waiting: called once with the holder's text if this process must wait.
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
    """Write the holder of a lock into the lock file, for processes that wait."""
    path.write_text(text + "\n", encoding="utf-8")
