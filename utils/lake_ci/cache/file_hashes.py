"""Computes digests of files, and caches each digest until its file may have changed.

This module does not use git's object ids, for two reasons. First, git applies its
filters before it hashes a file, so files with different line endings can have the same
id. Second, git does not read files that are marked `assume-unchanged`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lake_ci.system.atomic_write import write_atomically

HEAD = "lake-ci digests 2"
CHUNK = 1 << 20
BELIEVED = "+"
# The number of trees whose digests are stored: enough for all jobs on a few branches.
TREES = 40
# If the clock of a file system cannot be read, only digests of files older than this
# age are trusted. This age exceeds the coarsest resolution of time stamps (2 s) plus a
# kernel tick.
UNKNOWN_CLOCK_NS = 3_000_000_000

# The mode bits that a restored file may have. Only the owner may write a restored file.
# The setuid and setgid bits are removed.
RESTORED_MODE = 0o755


def restorable(digest: str) -> str:
    """Convert the digest of a file to the digest of a restored copy of this file."""
    mode, _, content = digest.partition(" ")
    return f"{int(mode, 8) & RESTORED_MODE:o} {content}" if mode.isdigit() else digest


@dataclass(frozen=True)
class Tree:
    """A set of files at one moment.

    Attributes:
        digest: a digest of the files' names, kinds, modes and contents.
        moment: a digest of the files' names and `stat` values. If a file was changed
            and then changed back, `moment` differs and `digest` does not.
        files: a function that returns a dictionary from the name of each file to its
            digest.
    """

    digest: str
    moment: str
    files: Callable[[], dict[str, str]]


class Digests:
    """The digests of files below a folder, cached between runs.

    Each digest is cached with the `stat` values of the file when the file was read: the
    size, the inode, and two times in nanoseconds. `mtime` is the time when the content
    last changed, and `ctime` is the time when the content, the mode or the owner last
    changed. A cached digest is valid while these values are unchanged.

    A digest is cached only if both times are earlier than the moment of reading,
    because a later write in the same clock tick would not change the times. The clock
    of the file system defines the moment of reading. If this clock was set back, no
    cached digest is valid.

    Args:
        root: the folder of the files; relative names are relative to this folder.
        cache_file: the file with the digests of earlier runs. If this file is missing
            or corrupt, all files are read again.
    """

    def __init__(self, root: Path, cache_file: Path) -> None:
        self._root = f"{root}{os.sep}"
        self._cache_file = cache_file
        self._now, self._device = _clock(cache_file.parent)
        self._fresh: dict[str, tuple[str, str]] = {}
        self._untrusted: dict[str, str] = {}
        self._ahead: tuple[Sequence[str], list[str]] = ((), [])
        self._trees: dict[str, str] = {}
        self._largest: Sequence[str] = ()

    def of(self, names: Iterable[str]) -> dict[str, str]:
        """Return a digest of the kind, mode and content of each file that exists.

        Absolute names are used unchanged. For a name that is neither a file nor a link,
        the digest begins with `?`.

        Raises:
            OSError: a file cannot be read.
        """
        wanted = list(names)
        return self._digests(wanted, self._statuses(wanted))

    def look_ahead(self) -> None:
        """Read the `stat` values of the last run's files, while git lists the files.

        `tree` uses these values if the list of files has not changed.
        """
        names = self._last[1]
        self._ahead = names, self._statuses(names)

    def tree(self, names: Sequence[str]) -> Tree:
        """Return the files with these names as one tree.

        Raises OSError if a file cannot be read, or if a name is a folder, such as a
        submodule.
        """
        known, statuses = self._ahead
        if names != known:
            statuses = self._statuses(names)
        text = "\0".join([*names, *statuses])
        moment = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
        self._largest = max(self._largest, names, key=len)
        if moment in self._last[0]:
            self._trees[moment] = self._last[0][moment]
            return Tree(self._last[0][moment], moment, lambda: self.of(names))
        found = self._digests(names, statuses)
        for name, digest in found.items():
            if digest[0] == "?":
                raise OSError(errno.EINVAL, "git does not list its files", name)
        digest = tree_digest(found)
        if self._untrusted.keys().isdisjoint(names):
            self._trees[moment] = digest
        return Tree(digest, moment, lambda: found)

    def save(self) -> None:
        """Write the new digests to the cache file.

        Write errors are ignored: the next run reads the files again.
        """
        # If another process has stored digests in the meantime, they are lost, and are
        # computed again when they are needed.
        if self._fresh:
            flat = [
                part
                for name, pair in {**self._known, **self._fresh}.items()
                for part in (name, *pair)
            ]
            self._write(self._cache_file, flat)
            self._known.update(self._fresh)
            self._fresh = {}
        trees = dict([*self._last[0].items(), *self._trees.items()][-TREES:])
        if trees != self._last[0]:
            flat = [part for pair in trees.items() for part in pair]
            self._write(
                self._cache_file.with_suffix(".trees"),
                [str(len(flat)), *flat, *self._largest],
            )
            self._last = trees, list(self._largest)

    @cached_property
    def _known(self) -> dict[str, tuple[str, str]]:
        """The cached `stat` values and digest of each file that an earlier run read."""
        parts = self._read(self._cache_file)
        return dict(zip(parts[0::3], zip(parts[1::3], parts[2::3])))

    @cached_property
    def _last(self) -> tuple[dict[str, str], Sequence[str]]:
        """The digests of cached trees by moment, and the names in the largest tree."""
        parts = self._read(self._cache_file.with_suffix(".trees"))
        if not parts:
            return {}, []
        end = 1 + int(parts[0])
        return dict(zip(parts[1:end:2], parts[2:end:2])), parts[end:]

    def _statuses(self, names: Sequence[str]) -> list[str]:
        """Return the `stat` values of each file as text; writing the file changes them.

        The text is empty if the file does not exist.
        """
        root = self._root
        return [_status(name if name[:1] == os.sep else root + name) for name in names]

    def _digests(self, names: Sequence[str], statuses: Sequence[str]) -> dict[str, str]:
        """Return the digest of each file; read only the new and the changed files.

        Missing files are not in the result.
        """
        unread = [
            (name, status)
            for name, status in zip(names, statuses)
            if status and self._recorded(name, status) is None
        ]
        for (name, status), entry in zip(unread, self._read_all(unread)):
            if entry[:1] == BELIEVED:
                self._fresh[name] = status, entry[1:]
            else:
                self._untrusted[name] = entry[1:]
        found = {}
        for name, status in zip(names, statuses):
            digest = self._recorded(name, status)
            if digest is None and status:
                digest = self._untrusted.get(name)
            if digest:
                found[name] = digest
        return found

    def _recorded(self, name: str, status: str) -> str | None:
        """Return the cached digest of a file, or None if its `stat` values differ."""
        for recorded in (self._fresh, self._known):
            then, digest = recorded.get(name, ("", ""))
            if status and then == status:
                return digest
        return None

    def _read_all(self, files: Sequence[tuple[str, str]]) -> list[str]:
        """Read files and return their digests; the digest of a deleted file is empty.

        Each digest has a prefix that states whether later runs may trust the digest.
        """
        found = []
        for name, status in files:
            try:
                digest, info = _read(name if name[:1] == os.sep else self._root + name)
            except (FileNotFoundError, NotADirectoryError):
                found.append(" ")
                continue
            limit = (
                self._now
                if info.st_dev == self._device
                else self._now - UNKNOWN_CLOCK_NS
            )
            # `status` has the `stat` values before the file was read, and `info` the
            # values afterwards.
            sure = (
                _stat_key(info) == status
                and info.st_ctime_ns < limit
                and info.st_mtime_ns < limit
            )
            found.append(f"{BELIEVED if sure else ' '}{digest}")
        return found

    def _write(self, path: Path, parts: Sequence[str]) -> None:
        data = "\0".join([str(self._now), *parts]).encode("utf-8", "surrogateescape")
        try:
            write_atomically(
                path, f"{HEAD} {hashlib.sha256(data).hexdigest()}\n".encode() + data
            )
        except OSError:
            return

    def _read(self, path: Path) -> list[str]:
        """Return the parts of the cache file.

        The result is empty if the file is missing or corrupt, or has a time in the
        future.
        """
        try:
            head, _, data = path.read_bytes().partition(b"\n")
        except OSError:
            return []
        if (
            head.decode("ascii", "replace")
            != f"{HEAD} {hashlib.sha256(data).hexdigest()}"
        ):
            return []
        then, *parts = data.decode("utf-8", "surrogateescape").split("\0")
        # If the clock was set back, a changed file may have the same times as before.
        return parts if int(then) <= self._now else []


def tree_digest(files: Mapping[str, str]) -> str:
    """Compute the digest of a tree from its files' digests, in the given order."""
    text = "\0".join(part for pair in files.items() for part in pair)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _status(path: str) -> str:
    try:
        return _stat_key(os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _stat_key(info: os.stat_result) -> str:
    return f"{info.st_size} {info.st_mtime_ns} {info.st_ctime_ns} {info.st_ino}"


def _read(path: str) -> tuple[str, os.stat_result]:
    """Return a digest of a file's kind, mode and content, and then its `stat` values.

    Raises OSError if the file cannot be read.
    """
    try:
        # Do not follow a link. If the file is a pipe, do not wait for its writer.
        handle = os.open(
            path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        )
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        target = os.fsencode(os.readlink(path))
        return f"link {hashlib.sha256(target).hexdigest()}", os.lstat(path)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return "? neither a file nor a link", os.fstat(handle)
        found = hashlib.sha256()
        while data := os.read(handle, CHUNK):
            found.update(data)
        info = os.fstat(handle)
    finally:
        os.close(handle)
    return f"{stat.S_IMODE(info.st_mode):o} {found.hexdigest()}", info


def _clock(folder: Path) -> tuple[int, int | None]:
    """Return the time in nanoseconds and the device of a folder's file system.

    If the file system is read-only, returns the time of the operating system and None.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            info = os.fstat(file.fileno())
            return info.st_mtime_ns, info.st_dev
    except OSError:
        return time.time_ns(), None
