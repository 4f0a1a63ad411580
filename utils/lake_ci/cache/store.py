"""Stores cached results.

Each entry is one folder, and an entry is written atomically. The name of the folder is
the fingerprint of the entry.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import hmac
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, BinaryIO

import msgspec

from lake_ci.cache.file_hashes import RESTORED_MODE
from lake_ci.cache.fingerprint import id_of
from lake_ci.errors import LakeCiError
from lake_ci.model import results
from lake_ci.model.results import Result

SCHEMA = 2
MANIFEST = "manifest.json"
INPUTS = "inputs"
# A scratch folder older than this age belongs to a killed process, and is removed.
ABANDONED_SECONDS = 3600
# The prefix of scratch folders. The folder LAKE_CI_STORE may also contain files that do
# not belong to the store.
SCRATCH = "lake-ci-"
CHUNK = 1 << 20
# The maximum size of a manifest, and of a list of inputs. Most manifests and lists are
# much smaller.
LARGEST = 1 << 26


class DamagedError(LakeCiError):
    """An entry is corrupt, so the job runs as if the entry did not exist."""


Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class CachedFile(msgspec.Struct, frozen=True, array_like=True):
    """A file of an entry: its path relative to the repository, and its digest."""

    path: str
    sha256: Sha256
    mode: Annotated[int, msgspec.Meta(ge=0, le=RESTORED_MODE)]
    size: Annotated[int, msgspec.Meta(ge=0)]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of an entry's manifest; `CacheEntry` describes the fields."""

    schema: int
    fingerprint: Sha256
    job: str
    kept: Annotated[float, msgspec.Meta(ge=0)]
    inputs: Sha256
    files: tuple[CachedFile, ...]
    result: dict[str, Any]


@dataclass(frozen=True)
class CacheEntry:
    """A cached result.

    Attributes:
        folder: the entry's folder in the store.
        fingerprint: the fingerprint of the inputs.
        job: the name of the job's folder under `reports/`.
        result: the content of the job's result.json.
        stored_at: the time when the entry was stored, in seconds since 1970.
        files: the output of the job.
    """

    folder: Path
    fingerprint: str
    job: str
    result: Result
    stored_at: float
    files: tuple[CachedFile, ...]
    inputs_sha256: str

    @property
    def size(self) -> int:
        """The total size of the job's output in bytes.

        The list of inputs, which is about as large as the output, is not included.
        """
        return sum(file.size for file in self.files)

    def inputs(self) -> bytes:
        """Read the inputs of the result, as `fingerprint.listing` wrote them.

        Raises DamagedError if the list of inputs is corrupt.
        """
        data = _read(self.folder / INPUTS)
        if hashlib.sha256(data).hexdigest() != self.inputs_sha256:
            raise DamagedError(f"{self.folder / INPUTS} is corrupt")
        return data

    def copy(self, file: CachedFile, target: Path) -> None:
        """Copy a file of the entry to a path, and verify its digest.

        Raises DamagedError if the file is corrupt, and OSError if the copy fails.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as copy:
            for data in self.read(file):
                copy.write(data)
        target.chmod(file.mode)

    def read(self, file: CachedFile) -> Iterator[bytes]:
        """Yield the content of a file of the entry in chunks.

        Raises DamagedError after the last chunk if the file's digest is wrong.
        """
        source = self.folder / f"{self.files.index(file)}"
        found = hashlib.sha256()
        try:
            with _open(source, file.size) as opened:
                while data := opened.read(CHUNK):
                    found.update(data)
                    yield data
        except OSError as error:
            raise DamagedError(f"{source}: {error.strerror}") from None
        if found.hexdigest() != file.sha256:
            raise DamagedError(f"{source} is corrupt")


class Store:
    """A folder of entries; all worktrees of a clone share this folder.

    Several processes may use the store at the same time without locks. One rename
    creates or removes a whole entry, and the digest of a file is verified whenever the
    file is read.

    Args:
        folder: the store's folder. This folder is created with the first entry.
        limit: the maximum size of the store in bytes; the least recently used entries
            are evicted.
        key: the key that signs the entries. An entry with a wrong signature is corrupt.
    """

    def __init__(self, folder: Path, limit: int, key: bytes) -> None:
        self.folder = folder
        self.limit = limit
        self._key = key
        self._entries = folder / f"v{SCHEMA}"

    def find(self, fingerprint: str) -> CacheEntry | None:
        """Return the entry of a fingerprint; None if the fingerprint has no entry.

        Raises:
            DamagedError: the entry is corrupt, or the inputs in the entry have a
                different fingerprint.
        """
        folder = self._entries / fingerprint
        if not folder.is_dir():
            return None
        entry = _load(folder, self._key)
        if not fingerprint == entry.fingerprint == id_of(entry.inputs()):
            raise DamagedError(f"{folder} belongs to another result")
        # Record the time of this use, except in a read-only store.
        with contextlib.suppress(OSError):
            os.utime(folder)
        return entry

    def of(self, job: str) -> list[CacheEntry]:
        """Return the entries of a session, newest first, except corrupt entries."""
        found = []
        for folder in self._folders():
            with contextlib.suppress(DamagedError):
                entry = _load(folder, self._key)
                if entry.job == job:
                    found.append(entry)
        return sorted(found, key=lambda entry: entry.stored_at, reverse=True)

    def keep(
        self,
        fingerprint: str,
        inputs: bytes,
        result: Result,
        root: Path,
        files: Iterable[Path],
    ) -> None:
        """Store a result with its output, and evict entries if the limit is exceeded.

        An older entry of the same fingerprint is replaced.

        Raises:
            OSError: the store is read-only, or the disk is full; the store did not
                change.
        """
        self._entries.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=self.folder, prefix=SCRATCH))
        try:
            copies = [
                _take(path, path.relative_to(root).as_posix(), scratch / f"{number}")
                for number, path in enumerate(sorted(files))
            ]
            (scratch / INPUTS).write_bytes(inputs)
            body = {
                "schema": SCHEMA,
                "fingerprint": fingerprint,
                "job": result.job,
                "kept": time.time(),
                "inputs": hashlib.sha256(inputs).hexdigest(),
                "files": [msgspec.structs.astuple(file) for file in copies],
                "result": results.to_json(result),
            }
            text = json.dumps(body, ensure_ascii=True)
            signature = _signature(self._key, text.encode())
            (scratch / MANIFEST).write_text(f"{signature}\n{text}\n", encoding="ascii")
            folder = self._entries / fingerprint
            self.drop(fingerprint)
            # If another process has just stored an entry of this fingerprint, keep it.
            if not folder.is_dir():
                with contextlib.suppress(FileExistsError):
                    _rename(scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        self.prune(spare=fingerprint)

    def drop(self, fingerprint: str) -> bool:
        """Remove an entry, and return whether it existed.

        Raises OSError if the entry cannot be removed.
        """
        return self._remove(self._entries / fingerprint)

    def prune(self, *, spare: str | None = None) -> tuple[int, int]:
        """Evict the least recently used entries until the store is within its limit.

        Also removes the leftovers of killed processes.

        Args:
            spare: the fingerprint of an entry that must not be evicted.

        Returns the number of evicted entries, and their total size in bytes. Raises
        OSError if an entry cannot be removed.
        """
        self._remove_leftovers()
        entries = sorted(self._sizes(), key=lambda each: each[0])
        total = sum(size for _, size, _ in entries)
        gone = freed = 0
        for _, size, folder in entries:
            if total <= self.limit:
                break
            if folder.name != spare and self._remove(folder):
                total, gone, freed = total - size, gone + 1, freed + size
        return gone, freed

    def _remove_leftovers(self) -> None:
        """Remove folders of killed processes, and entries of other schema versions."""
        now = time.time()
        for path in self.folder.glob(f"{SCRATCH}*"):
            with contextlib.suppress(FileNotFoundError):
                if now - path.stat().st_mtime > ABANDONED_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)
        for path in self.folder.glob("v*"):
            if re.fullmatch(r"v\d+", path.name) and path != self._entries:
                self._remove(path)

    def clear(self) -> tuple[int, int]:
        """Remove all entries; return their number and their total size in bytes.

        Raises OSError if an entry cannot be removed.
        """
        sizes = [
            size for _, size, folder in list(self._sizes()) if self._remove(folder)
        ]
        return len(sizes), sum(sizes)

    def status(self) -> tuple[int, int]:
        """Return the number of entries, and their total size in bytes."""
        sizes = [size for _, size, _ in self._sizes()]
        return len(sizes), sum(sizes)

    def _folders(self) -> Iterator[Path]:
        try:
            yield from sorted(self._entries.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return

    def _sizes(self) -> Iterator[tuple[float, int, Path]]:
        """Yield the time of the last use, the size and the folder of each entry."""
        for folder in self._folders():
            # Skip an entry that another process has removed in the meantime.
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                size = sum(file.stat().st_size for file in folder.iterdir())
                yield folder.stat().st_mtime, size, folder

    def _remove(self, folder: Path) -> bool:
        if not folder.exists():
            return False
        trash = Path(tempfile.mkdtemp(dir=self.folder, prefix=SCRATCH))
        try:
            folder.rename(trash / folder.name)
        except FileNotFoundError:
            return False
        finally:
            shutil.rmtree(trash, ignore_errors=True)
        return True


def _signature(key: bytes, text: bytes) -> str:
    return hmac.new(key, text, hashlib.sha256).hexdigest()


def _load(folder: Path, key: bytes) -> CacheEntry:
    """Return the entry in a folder. Raises DamagedError if the entry is corrupt."""
    if folder.is_symlink():
        raise DamagedError(f"{folder} is a link")
    path = folder / MANIFEST
    signature, _, text = _read(path).partition(b"\n")
    text = text.removesuffix(b"\n")
    expected = _signature(key, text).encode()
    if not hmac.compare_digest(signature, expected):
        raise DamagedError(f"{path} is corrupt, or another account wrote it")
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
        if manifest.schema != SCHEMA:
            raise ValueError(f"schema {manifest.schema}")
        result = results.from_json(manifest.result)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError(f"{path} has an unexpected format: {error}") from None
    if result.job != manifest.job:
        raise DamagedError(f"{path}: the result belongs to {result.job}")
    for file in manifest.files:
        _belongs(file, manifest.job, folder)
    if len({file.path for file in manifest.files}) < len(manifest.files):
        raise DamagedError(f"{folder} lists a file twice")
    return CacheEntry(
        folder,
        manifest.fingerprint,
        manifest.job,
        result,
        manifest.kept,
        manifest.files,
        manifest.inputs,
    )


def _belongs(file: CachedFile, job: str, folder: Path) -> None:
    """Raise DamagedError if a job does not write this file, or if the mode is wrong."""
    path = PurePosixPath(file.path)
    if (
        ".." in path.parts
        or not (path.parts[:2] == (results.REPORTS, job) or path.parts[:1] == ("dist",))
        or len(path.parts) < 2
        or str(path) != file.path
        or "\0" in file.path
    ):
        name = repr(file.path)
        raise DamagedError(f"{folder} lists {name}, which is not a file of {job}")
    if file.mode & ~RESTORED_MODE:
        raise DamagedError(f"{folder} lists {file.path} with the mode {file.mode:o}")


def _take(source: Path, name: str, target: Path) -> CachedFile:
    found, size = hashlib.sha256(), 0
    with source.open("rb") as file, target.open("wb") as copy:
        while data := file.read(CHUNK):
            found.update(data)
            copy.write(data)
            size += len(data)
    return CachedFile(
        name, found.hexdigest(), source.stat().st_mode & RESTORED_MODE, size
    )


def _read(path: Path) -> bytes:
    try:
        with _open(path) as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise DamagedError(f"{path}: {error.strerror}") from None
    if len(data) > LARGEST:
        raise DamagedError(f"{path} is larger than {LARGEST} bytes")
    return data


def _open(path: Path, size: int | None = None) -> BinaryIO:
    """Open a file of an entry; do not follow a link or wait for a pipe.

    Raises OSError if the file cannot be opened, and DamagedError if it is not a regular
    file or does not have this size.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    file = open(os.open(path, flags), "rb")
    info = os.fstat(file.fileno())
    if not stat.S_ISREG(info.st_mode) or size not in (None, info.st_size):
        file.close()
        raise DamagedError(f"{path} is corrupt")
    return file


def _rename(scratch: Path, folder: Path) -> None:
    try:
        scratch.rename(folder)
    except OSError as error:
        # Another process has created the folder, and may have removed the folder again.
        # So do not check whether the folder exists.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise FileExistsError(folder) from None
