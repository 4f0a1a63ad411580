"""Digests of files, computed again only for files that may have changed.

git's own object ids are not used: they are of the text that its filters make, so that
two files of other line ends have one id, and its index believes `assume-unchanged`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lake_ci.system.atomic_write import write_atomically

HEAD = "lake-ci digests 2"
CHUNK = 1 << 20
BELIEVED = "+"
# Of so many trees the digest is kept: those of the jobs, on a few branches.
TREES = 40
# Where the file system's own clock cannot be asked, more than the coarsest time stamps
# (2 s) and a tick of the kernel.
UNKNOWN_CLOCK_NS = 3_000_000_000


@dataclass(frozen=True)
class Tree:
    """Many files at one moment.

    Attributes:
        digest: of their names, kinds, modes and contents.
        moment: of their names and statuses: a file that was written to and got its old
            content back differs here alone.
        files: makes the digest of each, by name; looked at when it is asked for.
    """

    digest: str
    moment: str
    files: Callable[[], dict[str, str]]


class Digests:
    """The digests of files below a folder, cached between runs with the status that
    each file had when it was read.

    A digest is believed while the file's size, both times in nanoseconds, and inode are
    what they were (its mode and its owner cannot change without a time), and only where
    both times were past when it was read: a file that is written to in the very tick in
    which it was read keeps its times. The clock of that rule is the file system's. When
    it went back, nothing is believed.

    Args:
        root: the folder that relative names start from.
        cache_file: stores the digests between runs; if it is missing or corrupt, all
            files are read again.
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
        """For each file that exists: a digest of kind, mode and content.

        Absolute names are taken as they are. A name that is no file and no link has a
        digest that begins with `?`.

        Raises:
            OSError: a file is there and cannot be read.
        """
        wanted = list(names)
        return self._digests(wanted, self._statuses(wanted))

    def look_ahead(self) -> None:
        """Look at the files of the tree of last time, while git still lists those of
        this time.
        """
        names = self._last[1]
        self._ahead = names, self._statuses(names)

    def tree(self, names: Sequence[str]) -> Tree:
        """All these files as one. Raises OSError as `of` does, and for a folder: a
        submodule is one.
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
                raise OSError(errno.EINVAL, "git does not list what is in it", name)
        text = "\0".join(part for pair in found.items() for part in pair)
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
        if self._untrusted.keys().isdisjoint(names):
            self._trees[moment] = digest
        return Tree(digest, moment, lambda: found)

    def save(self) -> None:
        """Write the new digests to the cache file. Write errors are ignored: the next
        run reads the files again.
        """
        # What another process learned meanwhile is not taken over: it costs that
        # process's work once more, and no more.
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
        """The status and digest of each file that an earlier run looked at."""
        parts = self._read(self._cache_file)
        return dict(zip(parts[0::3], zip(parts[1::3], parts[2::3])))

    @cached_property
    def _last(self) -> tuple[dict[str, str], Sequence[str]]:
        """The moment and the digest of trees all of whose digests were believed, and
        the names of the largest.
        """
        parts = self._read(self._cache_file.with_suffix(".trees"))
        if not parts:
            return {}, []
        end = 1 + int(parts[0])
        return dict(zip(parts[1:end:2], parts[2:end:2])), parts[end:]

    def _statuses(self, names: Sequence[str]) -> list[str]:
        """The status of each file, which changes when it is written to; empty if it
        does not exist.
        """
        root = self._root
        return [_status(name if name[:1] == os.sep else root + name) for name in names]

    def _digests(self, names: Sequence[str], statuses: Sequence[str]) -> dict[str, str]:
        """The digests of files that have these statuses, without those that are not
        there, or no longer.
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
        """The digest that the file had when it had this status; None if unknown."""
        for recorded in (self._fresh, self._known):
            then, digest = recorded.get(name, ("", ""))
            if status and then == status:
                return digest
        return None

    def _read_all(self, files: Sequence[tuple[str, str]]) -> list[str]:
        """The digest of each file, empty where it was deleted, behind a sign for
        whether it may be believed later.
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
            # The status is of before and `said` of after the reading.
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
        """What `_write` wrote; nothing where it is missing, damaged, or of a time that
        has not come yet.
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
        # A clock that went back may come by the times of these files once more.
        return parts if int(then) <= self._now else []


def _status(path: str) -> str:
    try:
        return _stat_key(os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _stat_key(info: os.stat_result) -> str:
    return f"{info.st_size} {info.st_mtime_ns} {info.st_ctime_ns} {info.st_ino}"


def _read(path: str) -> tuple[str, os.stat_result]:
    """The digest of a file's kind, mode and content, and its status after the reading.
    Raises OSError.
    """
    try:
        # Neither a link's target nor the other end of a pipe is waited for.
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
    """The time of the folder's file system in nanoseconds, and its device; the system's
    time where it is read-only.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            info = os.fstat(file.fileno())
            return info.st_mtime_ns, info.st_dev
    except OSError:
        return time.time_ns(), None
