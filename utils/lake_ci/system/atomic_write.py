"""Writes files atomically: a reader never sees a part of a file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file atomically, by renaming a temporary file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_whole(path: Path, text: str) -> None:
    """Write a text file atomically, by renaming a temporary file in the same folder.

    A lone surrogate, which comes from a file name that is not UTF-8, is written as an
    escape sequence of JSON.
    """
    write_atomically(path, text.encode("utf-8", "backslashreplace"))
