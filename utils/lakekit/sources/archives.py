"""Unpacks source files from zip and gzip archives, within limits.

An archive of a few kilobytes can unpack to terabytes, and the size that the archive
declares may be false. So three limits are checked during unpacking. The limits apply to
the ratio of unpacked size to archive size, the total unpacked size of a run, and the
free space of the scratch folder.
"""

from __future__ import annotations

import gzip
import re
import shutil
import zipfile
import zlib
from pathlib import Path
from typing import IO, Mapping, cast

from lakekit.errors import (
    SettingsError,
    SourceError,
    StorageError,
    UnreadableSourceError,
)

CHUNK = 1 << 20
SIZES: Mapping[str, int] = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
DEFAULT_LIMIT = "100GB"
MAX_RATIO = 200
"""The maximum ratio of an unpacked file's size to its archive's size. Files that
contain tables reach a ratio of up to 50.
"""
RATIO_FROM = 100 * SIZES["MB"]
"""The ratio is only checked if the unpacked size is larger than this number of bytes.
"""
FREE_CHECK = 16 * CHUNK
"""The number of unpacked bytes between two checks of the free space."""
MIN_FREE = 256 * SIZES["MB"]
"""The free space in bytes that unpacking must leave to other programs."""


def bytes_of(size: str) -> int:
    """Return the number of bytes for a size such as `20GB`. Raises SettingsError if the
    size is invalid.
    """
    found = re.fullmatch(r"([0-9]+) ?([KMGT]B)", size.strip(), re.IGNORECASE)
    if found is None:
        raise SettingsError(
            f"The size {size!r} is not a number of {', '.join(SIZES)}",
            "Write a size such as 20GB.",
        )
    return int(found.group(1)) * SIZES[found.group(2).upper()]


class Unpacker:
    """Unpacks archives into the scratch folder. `limit` is the maximum size of all
    unpacked files together.
    """

    def __init__(self, scratch: Path, limit: str = DEFAULT_LIMIT) -> None:
        self._scratch, self.limit = scratch, limit
        self._left = bytes_of(limit)

    def unpack(self, archive: Path, name: str) -> Path:
        """Unpack an archive to the file `name` in the scratch folder, and return the
        file's path.

        The archive is read to its end, so that its checksum is checked, too. Raises
        SourceError if the archive is damaged, contains a file with a different name, or
        exceeds a limit; StorageError if the scratch folder has no space.
        """
        target = self._scratch / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._copy(archive, target)
        except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise SourceError(f"{archive} is truncated or corrupt ({error})") from error
        except RuntimeError as error:
            # zipfile raises these errors for an encrypted archive and for an unknown
            # compression.
            raise SourceError(f"{archive} cannot be unpacked ({error})") from error
        except OSError as error:
            # The error of an unreadable archive has a file name. The error of a full
            # disk has no file name.
            raise StorageError(
                Path(error.filename or target), error.strerror or str(error)
            ) from error
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        return target

    def _copy(self, archive: Path, target: Path) -> None:
        packed_size, size, next_check = archive.stat().st_size, 0, FREE_CHECK
        with _reader(archive, target.name) as packed, target.open("wb") as unpacked:
            for block in iter(lambda: _block(archive, packed), b""):
                size += len(block)
                if size > self._left:
                    raise SourceError(
                        f"{archive} and the files unpacked before it exceed the limit"
                        f" of {self.limit}",
                        "If the archives are correct, set a larger limit, such as"
                        " --unpacked 200GB.",
                    )
                if size > max(RATIO_FROM, MAX_RATIO * packed_size):
                    raise SourceError(
                        f"{archive} has {packed_size:,} bytes and unpacks to more than"
                        f" {size:,}, more than {MAX_RATIO} times its size",
                        "If the archive is correct, unpack it yourself.",
                    )
                if size > next_check:
                    _check_free(archive, target.parent)
                    next_check += FREE_CHECK
                unpacked.write(block)
        self._left -= size


def _block(archive: Path, packed: IO[bytes]) -> bytes:
    """Return the next unpacked bytes. Raises UnreadableSourceError if the archive
    cannot be read. If UnreadableSourceError were not raised, the failure would be
    reported as a failure of the scratch folder.
    """
    try:
        return packed.read(CHUNK)
    except gzip.BadGzipFile:
        raise
    except OSError as error:
        raise UnreadableSourceError(archive, error) from error


def _check_free(archive: Path, folder: Path) -> None:
    if shutil.disk_usage(folder).free < MIN_FREE:
        raise StorageError(
            folder,
            f"{archive} does not fit: unpacking it leaves less than"
            f" {MIN_FREE // SIZES['MB']} MB of free space",
        )


def _reader(archive: Path, name: str) -> IO[bytes]:
    """Open the only file in an archive. Raises SourceError if a zip archive does not
    contain exactly one file, or if the name of this file is not `name`.
    """
    if archive.suffix == ".gz":
        return cast(IO[bytes], gzip.open(archive))
    with zipfile.ZipFile(archive) as opened:
        members = [info for info in opened.infolist() if not info.is_dir()]
        if len(members) != 1 or Path(members[0].filename).name != name:
            held = ", ".join(info.filename for info in members) or "nothing"
            raise SourceError(
                f"{archive} should contain only {name}, but contains {held}"
            )
        # The archive stays open until the file in the archive is closed.
        return opened.open(members[0])
