"""Verifies the contents of a wheel and an sdist; neither archive is unpacked.

The file names, RECORD, METADATA and PKG-INFO must agree with each other and with the
archives.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path, PurePosixPath

from lake_ci.deploy.errors import RefusedError
from lake_ci.system.pyproject import normalized_name

DIST = "dist"
BUILD = "run `nox -s build`"
CHUNK = 1 << 20
UNREADABLE = (OSError, EOFError, ValueError, RuntimeError, zlib.error)


@dataclass(frozen=True)
class Package:
    """The name and the version in the metadata of a distribution."""

    name: str
    version: str


def verify(wheel: Path, sdist: Path) -> Package:
    """Verify the wheel and the sdist, and return the package in both archives.

    Raises:
        RefusedError: an archive is damaged or contradicts its own metadata, or the two
            archives contain different packages.
    """
    package = _verify_wheel(wheel)
    other = _verify_sdist(sdist)
    if other != package:
        raise _refused(
            sdist,
            f": PKG-INFO is of {other.name} {other.version}, and the wheel of"
            f" {package.name} {package.version}",
        )
    return package


def _verify_wheel(wheel: Path) -> Package:
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            _refuse_unsafe(wheel, names)
            info = _info_folder(wheel, names)
            _verify_record(wheel, archive, f"{info}/RECORD")
            package = _metadata(wheel, archive.read(f"{info}/METADATA"), "METADATA")
    except (zipfile.BadZipFile, KeyError, *UNREADABLE) as error:
        raise _refused(wheel, f" is not an intact wheel: {error}") from None
    _verify_name(wheel, package, wheel.name, wheel.name.split("-"))
    _verify_name(wheel, package, info, info.removesuffix(".dist-info").split("-"))
    return package


def _info_folder(wheel: Path, names: Iterable[str]) -> str:
    """Return the name of a wheel's `*.dist-info` folder.

    Raises RefusedError if the wheel has no such folder, or several.
    """
    folders = {name.partition("/")[0] for name in names}
    found = sorted(name for name in folders if name.endswith(".dist-info"))
    if len(found) != 1:
        raise _refused(wheel, f" has {len(found)} folders *.dist-info, expected 1")
    return found[0]


def _verify_record(wheel: Path, archive: zipfile.ZipFile, record: str) -> None:
    """Compare the size and sha256 of each file in the wheel with RECORD."""
    lines = archive.read(record).decode("utf-8").splitlines()
    rows = [row for row in csv.reader(lines) if row]
    if any(len(row) != 3 for row in rows):
        raise _refused(wheel, ": RECORD is not a list of files")
    _refuse_duplicates(wheel, ": RECORD", [row[0] for row in rows])
    recorded = {name: (digest, size) for name, digest, size in rows}
    for name in sorted(recorded.keys() - set(archive.namelist())):
        raise _refused(wheel, f" lacks {name}, which RECORD names")
    for member in archive.infolist():
        name = member.filename
        if name not in recorded:
            raise _refused(wheel, f": {name} is not in RECORD")
        if name == record:
            continue
        digest, size = recorded[name]
        if size != str(member.file_size):
            raise _refused(
                wheel,
                f": {name} has {member.file_size} bytes, and {size or 'no size'} in"
                " RECORD",
            )
        if digest != _digest(archive, member):
            raise _refused(wheel, f": {name} has another sha256 than in RECORD")


def _digest(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    """Return the sha256 of an archive's member in the format of RECORD."""
    found = hashlib.sha256()
    with archive.open(member) as file:
        while data := file.read(CHUNK):
            found.update(data)
    return f"sha256={base64.urlsafe_b64encode(found.digest()).rstrip(b'=').decode()}"


def _verify_sdist(sdist: Path) -> Package:
    stem = sdist.name.removesuffix(".tar.gz")
    try:
        with tarfile.open(sdist, "r:gz") as archive:
            members = archive.getmembers()
            _refuse_unsafe(sdist, [member.name for member in members])
            for member in members:
                if not (member.isfile() or member.isdir()):
                    raise _refused(sdist, f": {member.name} is not a regular file")
                if PurePosixPath(member.name).parts[0] != stem:
                    raise _refused(sdist, f": {member.name} is not below {stem}/")
            file = archive.extractfile(f"{stem}/PKG-INFO")
            package = _metadata(sdist, file.read() if file else b"", "PKG-INFO")
    except (tarfile.TarError, KeyError, *UNREADABLE) as error:
        raise _refused(sdist, f" is not an intact sdist: {error}") from None
    _verify_name(sdist, package, sdist.name, stem.rsplit("-", 1))
    return package


def _refuse_unsafe(archive: Path, names: Sequence[str]) -> None:
    """Refuse an archive with duplicate members, or with paths outside its folder."""
    _refuse_duplicates(archive, "", names)
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name:
            raise _refused(archive, f": the path {name!r} is not allowed")


def _refuse_duplicates(archive: Path, where: str, names: Sequence[str]) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise _refused(archive, f"{where} has {name} {times} times")


def _metadata(archive: Path, text: bytes, file: str) -> Package:
    """Return the name and the version in METADATA or PKG-INFO."""
    found = Parser().parsestr(text.decode("utf-8"), headersonly=True)
    names, versions = found.get_all("Name", []), found.get_all("Version", [])
    if len(names) != 1 or len(versions) != 1:
        raise _refused(archive, f": {file} must have one Name and one Version")
    return Package(str(names[0]), str(versions[0]))


def _verify_name(
    archive: Path, package: Package, file: str, parts: Sequence[str]
) -> None:
    """Raise RefusedError if a file name and the metadata name different packages."""
    name, version = (*parts, "", "")[:2]
    if (normalized_name(name), version) != (
        normalized_name(package.name),
        package.version,
    ):
        raise _refused(
            archive,
            f": the metadata is of {package.name} {package.version}, which is not in"
            f" the name {file}",
        )


def _refused(archive: Path, problem: str) -> RefusedError:
    return refused(archive.name, problem)


def refused(name: str, problem: str) -> RefusedError:
    """Return the error for a file in `dist/`.

    The message is the file's path, followed by `problem`.
    """
    file = f"{DIST}/{name}"
    return RefusedError(f"{file}{problem}", BUILD, file=file)
