"""Remembers which files a tool found nothing in, for tools that judge each file by itself and keep no cache.

A file is known by a digest over its path, its content, and all else that the tool's answer depends on; so nothing is
believed of a file that changed, and nothing after a change of the tool, its settings or its Python.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from lake_ci.results import write_whole


class CleanFiles:
    """The files that are known to be clean, in a file of their digests.

    Args:
        store: where the digests are kept; what cannot be read there is as good as nothing.
        root: the repository.
        context: all that the tool's answer depends on beside the file.
    """

    def __init__(self, store: Path, root: Path, context: Iterable[str]) -> None:
        self.store = store
        self.root = root
        self._context = hashlib.sha256("\0".join(context).encode("utf-8", "surrogateescape")).digest()
        try:
            self._clean = set(json.loads(store.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            self._clean = set()

    def digests(self, files: Iterable[str]) -> dict[str, str]:
        """The digest of each file; none for one that cannot be read, which is the tool's to tell."""
        found = {}
        for file in files:
            try:
                content = (self.root / file).read_bytes()
            except OSError:
                continue
            name = file.encode("utf-8", "surrogateescape")
            found[file] = hashlib.sha256(b"\0".join([self._context, name, content])).hexdigest()
        return found

    def unknown(self, files: Iterable[str], digests: Mapping[str, str]) -> list[str]:
        """The files that are not known to be clean."""
        return [file for file in files if digests.get(file) not in self._clean]

    def keep(self, clean: Iterable[str], digests: Mapping[str, str]) -> None:
        """Remember these files as clean, and nothing of any other. The digests are those of before the tool ran."""
        kept = sorted(digests[file] for file in clean if file in digests)
        write_whole(self.store, json.dumps(kept))
