"""Remembers what a tool said of each file, for tools that judge each file by itself and
keep no cache.

A file is known by a digest over its path, its mode, its content, and all else that the
tool's answer depends on; so nothing is believed of a file that changed, and nothing
after a change of the tool, its settings or its Python.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Optional

from lake_ci.system.atomic_write import write_whole

# What a tool said of a file, a row each; None: it does not look at such files.
Said = Optional[list[Any]]


class KnownFiles:
    """What was said of the files, by their digests.

    Args:
        store: where it is kept; what cannot be read there is as good as nothing.
        root: the repository.
        context: all that the tool's answer depends on beside the file.
    """

    def __init__(self, store: Path, root: Path, context: Iterable[str]) -> None:
        self.store = store
        self.root = root
        self._context = hashlib.sha256(
            "\0".join(context).encode("utf-8", "surrogateescape")
        ).digest()
        try:
            stored = dict(json.loads(store.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            stored = {}
        self._said: dict[str, Said] = {
            digest: said
            for digest, said in stored.items()
            if said is None or isinstance(said, list)
        }

    def digests(self, files: Iterable[str]) -> dict[str, str]:
        """The digest of each file; none for one that cannot be read, which is the
        tool's to tell.
        """
        found = {}
        for file in files:
            path = self.root / file
            try:
                # Of a link its own mode, and what it leads to: tools pass over links.
                mode, content = path.lstat().st_mode, path.read_bytes()
            except OSError:
                continue
            name = file.encode("utf-8", "surrogateescape")
            parts = [self._context, name, b"%o" % mode, content]
            found[file] = hashlib.sha256(b"\0".join(parts)).hexdigest()
        return found

    def unknown(self, files: Iterable[str], digests: Mapping[str, str]) -> list[str]:
        """The files of which nothing is known."""
        return [file for file in files if digests.get(file) not in self._said]

    def said(self, files: Iterable[str], digests: Mapping[str, str]) -> dict[str, Said]:
        """What is known, of the files of which something is."""
        known = {
            file: digests[file] for file in files if digests.get(file) in self._said
        }
        return {file: self._said[digest] for file, digest in known.items()}

    def keep(self, said: Mapping[str, Said], digests: Mapping[str, str]) -> None:
        """Remember this of these files, and nothing of any other.

        The digests are those of before the tool ran. Of a file that has another one by
        now nobody knows which content the tool saw.
        """
        now = self.digests(said)
        kept = {
            now[file]: said[file]
            for file in sorted(now)
            if now[file] == digests.get(file)
        }
        write_whole(self.store, json.dumps(kept))
