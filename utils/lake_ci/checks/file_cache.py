"""Caches the results of tools that check each file separately.

The cache key of a file is a digest of the file's path, mode and content, and of all
other inputs of the tool. So a cached result is used only if the file, the tool, the
tool's settings and the tool's Python have not changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Optional

from lake_ci.system.atomic_write import write_whole

# The rows that a tool has reported for a file; None if the tool does not check this
# file.
FileRows = Optional[list[Any]]


class FileCache:
    """The cached results of one tool; the key is the digest of the checked file.

    Args:
        path: the file that stores the cache; if the file is unreadable, the cache is
            empty.
        root: the repository.
        context: all inputs of the tool besides the checked file.
    """

    def __init__(self, path: Path, root: Path, context: Iterable[str]) -> None:
        self.path = path
        self.root = root
        self._context = hashlib.sha256(
            "\0".join(context).encode("utf-8", "surrogateescape")
        ).digest()
        try:
            stored = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            stored = {}
        self._rows: dict[str, FileRows] = {
            digest: rows
            for digest, rows in stored.items()
            if rows is None or isinstance(rows, list)
        }

    def digests(self, files: Iterable[str]) -> dict[str, str]:
        """Return the digest of each file.

        The result contains no unreadable files, because the tool itself reports
        unreadable files.
        """
        found = {}
        for file in files:
            path = self.root / file
            try:
                # For a link, use the mode of the link instead of the mode of the
                # target, because tools skip links.
                mode, content = path.lstat().st_mode, path.read_bytes()
            except OSError:
                continue
            name = file.encode("utf-8", "surrogateescape")
            parts = [self._context, name, b"%o" % mode, content]
            found[file] = hashlib.sha256(b"\0".join(parts)).hexdigest()
        return found

    def uncached(self, files: Iterable[str], digests: Mapping[str, str]) -> list[str]:
        """Return the files that have no cached result."""
        return [file for file in files if digests.get(file) not in self._rows]

    def cached(
        self, files: Iterable[str], digests: Mapping[str, str]
    ) -> dict[str, FileRows]:
        """Return the results of the files that have a cached result, by file."""
        hits = {
            file: digests[file] for file in files if digests.get(file) in self._rows
        }
        return {file: self._rows[digest] for file, digest in hits.items()}

    def save(self, results: Mapping[str, FileRows], digests: Mapping[str, str]) -> None:
        """Write the results of these files, and drop the results of all other files.

        Args:
            digests: the digests of the files before the tool ran. If a file's digest
                has changed since the tool ran, the file's result is dropped, because
                the tool may have read the old or the new content.
        """
        now = self.digests(results)
        current = {
            now[file]: results[file]
            for file in sorted(now)
            if now[file] == digests.get(file)
        }
        write_whole(self.path, json.dumps(current))
