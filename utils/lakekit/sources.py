"""Opening the source files: each is proved whole, with the declared columns, before a run writes anything."""

from __future__ import annotations

import csv
import hashlib
import shutil
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

from lakekit.errors import SourceError, StorageError
from lakekit.tables import Source, TableSet

CHUNK = 1 << 20


@dataclass(frozen=True)
class OpenedSource:
    """A checked source: `path` is the CSV file itself, or what was taken out of its archive into the scratch folder."""

    source: Source
    path: Path
    given: Path
    header: Tuple[str, ...]
    digest: str
    modified: Tuple[int, int]

    @property
    def file_name(self) -> str:
        """The CSV file's name, the same whether it came zipped or not."""
        return f"{self.source.name}.csv"

    def check_unchanged(self) -> None:
        """Raise SourceError when the given file is no longer the one that was checked and hashed."""
        if _modified(self.given) != self.modified:
            raise SourceError(
                f"{self.given} changed while it was read", "Run again when the file is complete."
            )

    def line_of(self, row: int) -> int:
        """The line of the file on which a row ends; rows count from 1, after the header. Lines and rows part ways
        where a quoted value holds a line break."""
        with self.path.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text)
            for index, _ in enumerate(reader):
                if index == row:
                    break
            return reader.line_num


def open_sources(folder: Path, tables: TableSet, scratch: Path) -> Tuple[OpenedSource, ...]:
    """Open and check every source that the tables declare, as NAME.csv or NAME.csv.zip in the folder.

    Archives are taken out into `scratch`. Raises SourceError, naming the file and the column.
    """
    if not folder.is_dir():
        raise SourceError(
            f"The source folder {folder} does not exist" if not folder.exists() else f"{folder} is no folder",
            "Name the folder that holds the CSV files with --source.",
        )
    return tuple(_open(folder, table.source, scratch) for table in tables if table.source)


def _open(folder: Path, source: Source, scratch: Path) -> OpenedSource:
    plain, zipped = folder / f"{source.name}.csv", folder / f"{source.name}.csv.zip"
    if plain.exists() and zipped.exists():
        raise SourceError(f"Both {plain} and {zipped} exist", "Keep the one that is meant.")
    if not plain.exists() and not zipped.exists():
        raise SourceError(f"{plain} is missing, and so is {zipped}", f"Put {source.name}.csv into {folder}.")
    given = plain if plain.exists() else zipped
    if not given.is_file():
        raise SourceError(f"{given} is no file", f"Put the file {source.name}.csv into {folder}.")
    modified = _modified(given)
    path = plain if given == plain else _unzip(given, scratch / plain.name)
    header = _header(given, path)
    _check_header(given, header, source)
    return OpenedSource(source, path, given, header, _sha256(path), modified)


def _modified(path: Path) -> Tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def _unzip(archive: Path, target: Path) -> Path:
    """Take the one CSV file out of an archive; reading it to its end checks its checksum too."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [info for info in opened.infolist() if not info.is_dir()]
            if len(members) != 1 or Path(members[0].filename).name != target.name:
                held = ", ".join(info.filename for info in members) or "nothing"
                raise SourceError(f"{archive} should hold {target.name} and nothing else; it holds {held}")
            with opened.open(members[0]) as packed, target.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, CHUNK)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise SourceError(f"{archive} is no whole zip archive ({error})") from error
    except RuntimeError as error:
        # zipfile's way to say: encrypted, or compressed by a method that it does not know
        raise SourceError(f"{archive} cannot be unpacked ({error})") from error
    except OSError as error:
        # A full disk does not say where; an archive that may not be read does.
        raise StorageError(Path(error.filename or target), error.strerror or str(error)) from error
    return target


def _header(given: Path, path: Path) -> Tuple[str, ...]:
    """The names in the first line. Raises SourceError for a file without a header or without a row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, strict=True)
            header = next(reader, [])
            if not header:
                raise SourceError(f"{given} is empty")
            if next(reader, None) is None:
                raise SourceError(f"{given} has a header and no rows")
    except UnicodeDecodeError as error:
        raise SourceError(f"{given} is not UTF-8 ({error.reason})") from error
    except csv.Error as error:
        raise SourceError(f"{given}, line 1 or 2: {error}") from error
    return tuple(header)


def _check_header(given: Path, header: Tuple[str, ...], source: Source) -> None:
    declared = [column.name for column in source.columns]
    for name in declared:
        if name not in header:
            raise SourceError(f"{given} has no column {name}")
    for name in header:
        if header.count(name) > 1:
            raise SourceError(f"{given} has the column {name} twice")
        if name not in declared:
            raise SourceError(
                f"{given} has a column {name} that is not declared",
                "Declare the column, or take it out of the file.",
            )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as content:
        for chunk in iter(lambda: content.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()
