"""What files hold, as digests that are computed again only for a file that may have changed.

git's own object ids are not used: they are of the text that its filters make, so that two files of other line ends have
one id, and its index believes `assume-unchanged`.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

HEAD = "lake-ci digests 1"
CHUNK = 1 << 20
# Where the file system's own clock cannot be asked, more than the coarsest time stamps (2 s) and a tick of the kernel.
UNKNOWN_CLOCK_NS = 3_000_000_000


class Digests:
    """The digests of files below a folder, kept between runs with the status that each file had when it was read.

    A digest is believed while the file's size, both times in nanoseconds, inode, device and mode are what they were, and
    only where both times were past when it was read: a file that is written to in the very tick in which it was read
    keeps its times. The clock of that rule is the file system's. When it went back, nothing is believed.

    Args:
        root: the folder that relative names start from.
        kept: the file between runs; one that is missing or damaged costs time and nothing else.
    """

    def __init__(self, root: Path, kept: Path) -> None:
        self._root = f"{root}{os.sep}"
        self._kept = kept
        self._now, self._device = _clock(kept.parent)
        self._known = _load(kept, self._now)
        self._fresh: dict[str, tuple[str, str]] = {}

    def of(self, names: Iterable[str]) -> dict[str, tuple[str, str]]:
        """For each file that exists: its status, and a digest of kind, mode and content.

        Absolute names are taken as they are. A name that is no file and no link has a digest that begins with `?`.

        Raises:
            OSError: a file is there and cannot be read.
        """
        found = {}
        known, root, lstat = self._known, self._root, os.lstat
        for name in names:
            path = name if name[:1] == os.sep else root + name
            try:
                said = lstat(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            status = f"{said.st_size} {said.st_mtime_ns} {said.st_ctime_ns} {said.st_ino} {said.st_dev} {said.st_mode}"
            kept = known.get(name)
            if kept is None or kept[0] != status:
                kept = self._read(name, path, said, status)
                if kept is None:
                    continue
            found[name] = kept
        return found

    def save(self) -> None:
        """Keep what was learned. Nothing is said where it cannot be written: the next run reads the files again."""
        if not self._fresh:
            return
        # What another process learned meanwhile is not taken over: it costs that process's work once more, and no more.
        merged = {**self._known, **self._fresh}
        body = "\0".join(part for name, (status, digest) in merged.items() for part in (name, status, digest))
        data = f"{self._now}\0{body}".encode("utf-8", "surrogateescape")
        try:
            _replace(self._kept, f"{HEAD} {hashlib.sha256(data).hexdigest()}\n".encode() + data)
        except OSError:
            return
        self._known, self._fresh = merged, {}

    def _read(self, name: str, path: str, said: os.stat_result, status: str) -> tuple[str, str] | None:
        """The status and the digest of one file; None where it was deleted meanwhile."""
        kind = stat.S_IFMT(said.st_mode)
        try:
            if kind == stat.S_IFLNK:
                digest = f"link {hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()}"
            elif kind == stat.S_IFREG:
                digest = f"{stat.S_IMODE(said.st_mode):o} {_content(path)}"
            else:
                return status, "? neither a file nor a link"
        except FileNotFoundError:
            return None
        limit = self._now if said.st_dev == self._device else self._now - UNKNOWN_CLOCK_NS
        again = os.lstat(path)
        settled = (again.st_mtime_ns, again.st_ctime_ns) == (said.st_mtime_ns, said.st_ctime_ns)
        if settled and said.st_ctime_ns < limit and said.st_mtime_ns < limit:
            self._known[name] = self._fresh[name] = status, digest
        return status, digest


def _content(path: str) -> str:
    """The sha256 of a file's content."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = hashlib.sha256()
        while data := os.read(handle, CHUNK):
            found.update(data)
    finally:
        os.close(handle)
    return found.hexdigest()


def _clock(folder: Path) -> tuple[int, int | None]:
    """The time of the folder's file system in nanoseconds, and its device; a careful guess where it is read-only."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            said = os.fstat(file.fileno())
            return said.st_mtime_ns, said.st_dev
    except OSError:
        return time.time_ns(), None


def _load(path: Path, now: int) -> dict[str, tuple[str, str]]:
    try:
        head, _, body = path.read_bytes().partition(b"\n")
    except OSError:
        return {}
    if head.decode("ascii", "replace") != f"{HEAD} {hashlib.sha256(body).hexdigest()}":
        return {}
    then, *parts = body.decode("utf-8", "surrogateescape").split("\0")
    if int(then) > now:
        # A clock that went back may come by the times of these files once more.
        return {}
    return dict(zip(parts[0::3], zip(parts[1::3], parts[2::3])))


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
