"""Restores the output of a cached result.

The output of a job is its reports, and dist/ if the job builds dist/.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cached_property
from pathlib import Path

from lake_ci.cache.file_hashes import Digests, restorable
from lake_ci.cache.fingerprint import below
from lake_ci.cache.store import CachedFile, CacheEntry, DamagedError
from lake_ci.model.job import Variant
from lake_ci.model.results import REPORTS


class OutputRestorer:
    """Restores the output of cached results in one checkout."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def restore(self, entry: CacheEntry, variant: Variant) -> None:
        """Restore the folders whose content differs from the entry.

        All files are copied to a scratch folder and verified. Then whole folders are
        replaced, dist/ first.

        Raises:
            DamagedError: the entry is corrupt; nothing was moved.
            OSError: a file could not be written.
        """
        reports = self.root / REPORTS
        reports.mkdir(parents=True, exist_ok=True)
        for old in reports.glob(f".back-{variant.id}-*"):
            shutil.rmtree(old, ignore_errors=True)
        todo = self._missing(entry, variant)
        if not todo:
            return
        with tempfile.TemporaryDirectory(
            dir=reports, prefix=f".back-{variant.id}-"
        ) as scratch:
            for folder in todo:
                made = Path(scratch) / folder.name
                made.mkdir()
                for file in self._in(folder, entry):
                    entry.copy(file, made / (self.root / file.path).relative_to(folder))
            for folder in todo:
                if os.path.lexists(folder):
                    folder.rename(Path(scratch) / f"old-{folder.name}")
                (Path(scratch) / folder.name).rename(folder)

    def check(self, entry: CacheEntry, variant: Variant) -> None:
        """Raise DamagedError if `restore` would raise it, but restore nothing.

        Only the files that `restore` would write are read.
        """
        for folder in self._missing(entry, variant):
            for file in self._in(folder, entry):
                for _ in entry.read(file):
                    pass

    @cached_property
    def _digests(self) -> Digests:
        # Do not use the cache file of `Machine.outside`: each `Digests` object
        # overwrites its whole cache file.
        return Digests(self.root, self.root / ".cache" / "digests-left")

    def _missing(self, entry: CacheEntry, variant: Variant) -> list[Path]:
        """Return the folders that differ from the entry, dist/ first.

        Raises DamagedError if the entry contains a file that the job does not write.
        """
        folders = [self.root / REPORTS / variant.id]
        if "dist/" in variant.job.reports:
            folders.insert(0, self.root / "dist")
        own = {file for folder in folders for file in self._in(folder, entry)}
        for file in entry.files:
            if file not in own:
                raise DamagedError(
                    f"{entry.folder} lists {file.path}, which is not a file of"
                    f" {variant.id}"
                )
        todo = [folder for folder in folders if not self._holds(folder, entry)]
        self._digests.save()
        return todo

    def _in(self, folder: Path, entry: CacheEntry) -> list[CachedFile]:
        return [
            file
            for file in entry.files
            if (self.root / file.path).is_relative_to(folder)
        ]

    def _holds(self, folder: Path, entry: CacheEntry) -> bool:
        """Return whether a folder contains exactly the files of the entry."""
        wanted = {
            file.path: f"{file.mode:o} {file.sha256}"
            for file in self._in(folder, entry)
        }
        names = {path.relative_to(self.root).as_posix() for path in below(folder)}
        if not folder.is_dir() or folder.is_symlink() or names != set(wanted):
            return False
        found = self._digests.of(sorted(names))
        return {name: restorable(digest) for name, digest in found.items()} == wanted
