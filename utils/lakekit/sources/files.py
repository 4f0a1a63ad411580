"""Opens the source files: each file is checked to be complete and to have the declared
columns before a run writes anything.
"""

from __future__ import annotations

import gzip
import re
import shutil
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import (
    IO,
    TYPE_CHECKING,
    Callable,
    Dict,
    List,
    Literal,
    Optional,
    Tuple,
    cast,
)

from lakekit.declarations.tables import DELTA_COLUMNS, Source, TableSet
from lakekit.errors import MissingExtraError, SourceError, StorageError
from lakekit.sources import csv
from lakekit.sources.csv import CHUNK

if TYPE_CHECKING:
    import pyarrow as pa  # optional; not needed for CSV files

SUFFIXES: Tuple[str, ...] = (".csv", ".csv.zip", ".csv.gz", ".parquet")
NOT_IN_NAMES = re.compile(r"[ ,;{}()=\x00-\x1f\x7f]")
"""Characters that no column name may have: Delta rejects the first eight, and NUL makes
a table unreadable.
"""


@dataclass(frozen=True)
class OpenedFile:
    """A checked source file.

    Attributes:
        path: the CSV or Parquet file, or the file in the scratch folder that was
            extracted from its archive.
        given: the file in the source folder.
        name: the file relative to the source folder, the same with and without
            compression.
        header: all its columns, in order.
        digest: SHA-256 of its uncompressed content.
        modified: time stamp and size of `given` when it was hashed.
        rows: number of rows; None for a CSV file with quotes, which must be parsed to
            count them.
        line_end: the line end of the header of a CSV file, and so of its rows: LF, CRLF
            or CR.
    """

    source: Source
    format: Literal["csv", "parquet"]
    path: Path
    given: Path
    name: str
    header: Tuple[str, ...]
    digest: str
    modified: Tuple[int, int]
    rows: Optional[int]
    line_end: str = ""

    @property
    def new_columns(self) -> Tuple[str, ...]:
        """Return the columns that the source does not declare."""
        declared = [column.name for column in self.source.columns]
        return tuple(name for name in self.header if name not in declared)

    def check_unchanged(self) -> None:
        """Raise SourceError if the given file changed after it was checked and
        hashed.
        """
        if _modified(self.given) != self.modified:
            raise SourceError(
                f"{self.given} changed while it was read",
                "Run again when the file is complete.",
            )

    def check_rows(self, read: int) -> None:
        """Raise SourceError if an engine read a different number of rows than the file
        has.
        """
        rows = self.rows if self.rows is not None else csv.count_rows(self.path, read)
        if rows != read:
            raise SourceError(
                f"{self.given} has {rows:,} rows, and {read:,} were read of it",
                "Write it with one kind of line break and with quotes around whole"
                " values only, then run again.",
            )


def open_sources(
    folder: Path, tables: TableSet, scratch: Path
) -> Dict[str, List[OpenedFile]]:
    """Open and check every file of every source that the tables declare; return the
    files by source, sorted by name.

    A source may have no files: only the caller, who knows what was ingested before, can
    decide whether they are required. Archives are extracted into `scratch`. Raises
    SourceError, naming the file and the column.
    """
    if not folder.is_dir():
        raise SourceError(
            (
                f"The source folder {folder} does not exist"
                if not folder.exists()
                else f"{folder} is no folder"
            ),
            "Name the folder that holds the source files with --source.",
        )
    sources = [table.source for table in tables if table.source]
    return {
        source.name: [_open(*f, source, scratch) for f in _files(folder, source)]
        for source in sources
    }


def _files(folder: Path, source: Source) -> List[Tuple[Path, str]]:
    """Return the files of a source, with their uncompressed names. Raises SourceError
    for two files with the same name.
    """
    found: Dict[str, Path] = {}
    for file in _candidates(folder, source.name):
        suffix = _suffix(file, source)
        kind = ".parquet" if suffix == ".parquet" else ".csv"
        unpacked = file.parent / (file.name[: -len(suffix)] + kind)
        name = unpacked.relative_to(folder).as_posix()
        if name in found:
            raise _two_of_one_name(found[name], file)
        found[name] = file
    last = {_stem(name): file for name, file in found.items()}
    for name, file in found.items():
        if file != last[_stem(name)]:
            raise _two_of_one_name(file, last[_stem(name)])
    return [(found[name], name) for name in sorted(found)]


def _candidates(folder: Path, name: str) -> List[Path]:
    """Return the files with that name and a known suffix, and all files in the folder
    of that name.
    """
    within = folder / name
    inside = within.iterdir() if within.is_dir() else ()
    beside = (folder / f"{name}{suffix}" for suffix in SUFFIXES)
    return [file for file in beside if file.exists()] + sorted(
        file for file in inside if not file.name.startswith(".")
    )


def _suffix(file: Path, source: Source) -> str:
    """Return the longest known suffix of a file. Raises SourceError for a path that is
    not a file of a known format.
    """
    if not _is_utf8(file.name):
        raise SourceError(
            f"{ascii(str(file))} has a name that is not UTF-8", "Rename it."
        )
    suffix = next(
        (each for each in reversed(SUFFIXES) if file.name.endswith(each)), None
    )
    if suffix is None or not file.is_file():
        kinds = ", ".join(SUFFIXES)
        raise SourceError(
            f"{file} is no source file", f"Files of {source.name} end in {kinds}."
        )
    return suffix


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _two_of_one_name(one: Path, other: Path) -> SourceError:
    return SourceError(f"Both {one} and {other} exist", "Keep the one that is meant.")


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _open(given: Path, name: str, source: Source, scratch: Path) -> OpenedFile:
    modified = _modified(given)
    path = given
    if given.suffix in (".zip", ".gz"):
        path = scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if given.suffix == ".zip":
            _unpack(given, path, lambda: _zip_member(given, path.name))
        else:
            _unpack(given, path, lambda: cast(IO[bytes], gzip.open(given)))
    digest, lines = csv.hash_and_count(path)
    if path.suffix == ".parquet":
        names, rows = _parquet_header(given)
        _check_header(given, names, source)
        return OpenedFile(
            source, "parquet", path, given, name, names, digest, modified, rows
        )
    names, line_end = csv.read_header(given, path)
    _check_header(given, names, source)
    count = None if lines is None else lines - 1
    return OpenedFile(
        source, "csv", path, given, name, names, digest, modified, count, line_end
    )


def _modified(path: Path) -> Tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def _zip_member(archive: Path, name: str) -> IO[bytes]:
    opened = zipfile.ZipFile(archive)
    members = [info for info in opened.infolist() if not info.is_dir()]
    if len(members) != 1 or Path(members[0].filename).name != name:
        opened.close()
        held = ", ".join(info.filename for info in members) or "nothing"
        raise SourceError(
            f"{archive} should hold {name} and nothing else; it holds {held}"
        )
    member = opened.open(members[0])
    opened.close()  # the file stays open until the member is closed
    return member


def _unpack(archive: Path, target: Path, reader: Callable[[], IO[bytes]]) -> None:
    """Extract the CSV file from an archive to its end, which also checks its
    checksum.
    """
    try:
        with reader() as packed, target.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked, CHUNK)
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise SourceError(f"{archive} is no whole archive ({error})") from error
    except RuntimeError as error:
        # zipfile raises this for an encrypted archive or an unknown compression method.
        raise SourceError(f"{archive} cannot be unpacked ({error})") from error
    except OSError as error:
        # The error of a full disk has no file name; that of an unreadable archive has
        # one.
        raise StorageError(
            Path(error.filename or target), error.strerror or str(error)
        ) from error


def _parquet_header(given: Path) -> Tuple[Tuple[str, ...], int]:
    """Return the column names and the number of rows in the footer. Raises SourceError
    for a damaged file or a file without rows.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise MissingExtraError("pyarrow", "embedded") from error
    try:
        footer = pq.ParquetFile(given)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"{given} is no whole Parquet file ({str(error).splitlines()[0]})"
        ) from error
    if not footer.metadata.num_rows:
        raise SourceError(f"{given} has no rows")
    _check_plain(given, footer.schema_arrow)
    return tuple(footer.schema_arrow.names), int(footer.metadata.num_rows)


def _check_plain(given: Path, schema: pa.Schema) -> None:
    """Raise SourceError for a column whose values cannot be written as plain text."""
    from pyarrow import types

    columns = list(zip(schema.names, schema.types))
    for name, kind in columns:
        if kind.num_fields:
            raise SourceError(f"{given} has a column {name} that is no plain value")
    binary = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    for name, kind in columns:
        if any(is_binary(kind) for is_binary in binary):
            raise SourceError(
                f"{given} has a column {name} of type {kind}, which has no plain text"
            )


def _check_header(given: Path, header: Tuple[str, ...], source: Source) -> None:
    for column in source.columns:
        if column.name not in header:
            raise SourceError(f"{given} has no column {column.name}")
    for name in header:
        if [each.lower() for each in header].count(name.lower()) > 1:
            raise SourceError(f"{given} has the column {name} twice")
        if (
            not name
            or name.lower().startswith("_source_")
            or name.lower() in ("_ingested_at", "_rule", "_sign", *DELTA_COLUMNS)
        ):
            raise SourceError(
                f"{given} has a column named {name!r}, which lakekit keeps for itself"
            )
        if NOT_IN_NAMES.search(name):
            raise SourceError(
                f"{given} has a column named {name!r}; a Delta table takes no line"
                " break or other control character,"
                " no space and none of ,;{}()= in a name",
                "Rename the column in the file, then run again.",
            )
