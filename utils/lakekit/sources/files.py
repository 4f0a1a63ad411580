"""Opens the source files, and checks that each file is complete and has the declared
columns. A run opens and checks all source files before it writes anything.
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import (
    Callable,
    ContextManager,
    Dict,
    List,
    Literal,
    Optional,
    Tuple,
)

from lakekit.declarations.tables import DELTA_COLUMNS, Source, TableSet
from lakekit.errors import SourceError, UnreadableSourceError
from lakekit.sources import csv, parquet
from lakekit.sources.archives import DEFAULT_LIMIT, Unpacker

SUFFIXES: Tuple[str, ...] = (".csv", ".csv.zip", ".csv.gz", ".parquet")
NOT_IN_NAMES = re.compile(r"[ ,;{}()=\x00-\x1f\x7f]")
"""Characters that no column name may contain. Delta rejects the first eight of these
characters; NUL makes a table unreadable.
"""

OWN_NAMES = ("_ingested_at", "_rule", "_sign")
RENAME = "Rename the column in the file, then run again."

Refuse = Callable[[str, SourceError, bool], None]
"""A callback for a refused file. Its arguments are the name of the source, the error,
and whether the whole source is refused.
"""

Opening = Callable[[str, str, int], ContextManager[None]]
"""A callback that is called before a file is opened. Its arguments are the table, the
name of the file, and the number of all source files. The callback returns a context,
which ends after the check of the file.
"""


@dataclass(frozen=True)
class OpenedFile:
    """A checked source file.

    Attributes:
        path: the CSV or Parquet file. If `given` is an archive, `path` is the unpacked
            file in the scratch folder.
        given: the file in the source folder.
        name: the path of the file in the source folder. The name is the same whether or
            not the file is compressed.
        header: the names of all columns of the file, in order.
        digest: SHA-256 of the uncompressed content.
        modified: modification time and size of `given` when it was hashed.
        rows: number of rows.
        line_end: how all lines of a CSV file end: LF, CRLF or CR.
        largest_row: an upper bound of the size of the rows of a CSV file, in bytes.
        kinds: for each column of a Parquet file, how its values are written as text.
    """

    source: Source
    format: Literal["csv", "parquet"]
    path: Path
    given: Path
    name: str
    header: Tuple[str, ...]
    digest: str
    modified: Tuple[int, int]
    rows: int
    line_end: str = ""
    largest_row: int = 0
    kinds: Tuple[parquet.Kind, ...] = ()

    @property
    def new_columns(self) -> Tuple[str, ...]:
        """Return the file's columns that the source does not declare."""
        declared = [column.name for column in self.source.columns]
        return tuple(name for name in self.header if name not in declared)

    def check_unchanged(self) -> None:
        """Raise SourceError if the file `given` has changed after it was checked and
        hashed.
        """
        try:
            modified = _modified(self.given)
        except OSError as error:
            raise UnreadableSourceError(self.given, error) from error
        if modified != self.modified:
            raise SourceError(
                f"{self.given} changed while it was read",
                "Run again when the file is complete.",
            )

    def find_fault(self) -> Optional[str]:
        """Return where and why the file cannot be read; None if no fault is found. In
        messages, the text follows the file's name.
        """
        if self.format == "csv":
            try:
                return csv.find_fault(self.path)
            except OSError as error:
                return f" cannot be read: {error.strerror or error}"
        return parquet.find_fault(self.path)

    def check_rows(self, read: int) -> None:
        """Raise SourceError if the number of rows that an engine read (`read`) differs
        from the number of rows in the file.
        """
        if self.rows != read:
            raise SourceError(
                f"{self.given} has {self.rows:,} rows, but {read:,} were read from it",
                "Write the file with one kind of line break, and with quotes only"
                " around whole values, then run again.",
            )


def open_sources(
    folder: Path,
    tables: TableSet,
    scratch: Path,
    limit: str = DEFAULT_LIMIT,
    refuse: Optional[Refuse] = None,
    opening: Optional[Opening] = None,
) -> Dict[str, List[OpenedFile]]:
    """Open and check all files of the sources that the tables declare. Return the files
    by source, sorted by name.

    If a source has no files, it is not refused, because only the caller knows whether
    the source was ingested before. Archives are unpacked into `scratch`; `limit` is the
    maximum size of all unpacked files together. If a file or a whole source is refused,
    `refuse` is called. If `refuse` is None, SourceError is raised, which names the file
    and the column.
    """
    if not folder.is_dir():
        raise SourceError(
            (
                f"The source folder {folder} does not exist"
                if not folder.exists()
                else f"{folder} is not a folder"
            ),
            "Use --source with the folder of the source files.",
        )
    unpacker = Unpacker(scratch, limit)
    sources = {table.name: table.source for table in tables if table.source}
    refuse = refuse or _raise
    listed = {name: _list(folder, source, refuse) for name, source in sources.items()}
    count = sum(map(len, listed.values()))
    found: Dict[str, List[OpenedFile]] = {}
    for table, source in sources.items():
        opened = found.setdefault(source.name, [])
        for given, name in listed[table]:
            with opening(table, name, count) if opening else nullcontext():
                try:
                    opened.append(_open(given, name, source, unpacker))
                except SourceError as error:
                    refuse(source.name, error, False)
                except OSError as error:
                    refuse(source.name, UnreadableSourceError(given, error), False)
    return found


def _raise(source: str, error: SourceError, whole: bool) -> None:
    raise error


def _list(folder: Path, source: Source, refuse: Refuse) -> List[Tuple[Path, str]]:
    """Return the result of `_files`; an empty list if the source is refused."""
    try:
        return _files(folder, source)
    except SourceError as error:
        refuse(source.name, error, True)
    except OSError as error:
        place = Path(error.filename or folder)
        refuse(source.name, UnreadableSourceError(place, error), True)
    return []


def _files(folder: Path, source: Source) -> List[Tuple[Path, str]]:
    """Return each file of a source, with its name without a suffix such as `.zip`.
    Raises SourceError if two files have the same name, or if a file is not a source
    file.
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
    """Return the files that have this name and a known suffix, and all files in the
    subfolder that has this name.
    """
    within = folder / name
    inside = within.iterdir() if within.is_dir() else ()
    beside = (folder / f"{name}{suffix}" for suffix in SUFFIXES)
    return [file for file in beside if file.exists()] + sorted(
        file for file in inside if not file.name.startswith(".")
    )


def _suffix(file: Path, source: Source) -> str:
    """Return the longest known suffix of a file. Raises SourceError if the path is not
    a file of a known format.
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
            f"{file} is not a source file", f"Files of {source.name} end in {kinds}."
        )
    return suffix


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _two_of_one_name(one: Path, other: Path) -> SourceError:
    return SourceError(f"Both {one} and {other} exist", "Remove one of them.")


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _open(given: Path, name: str, source: Source, unpacker: Unpacker) -> OpenedFile:
    modified = _modified(given)
    with given.open("rb"):  # other readers hide a missing permission
        pass
    packed = given.suffix in (".zip", ".gz")
    path = unpacker.unpack(given, name) if packed else given
    if path.suffix == ".parquet":
        names, kinds, rows = parquet.read(given, unpacker.limit)
        _check_header(given, names, source)
        digest = csv.hash_file(path)
        return OpenedFile(
            source,
            "parquet",
            path,
            given,
            name,
            names,
            digest,
            modified,
            rows,
            kinds=kinds,
        )
    file, digest = csv.read(given, path)
    _check_header(given, file.header, source)
    return OpenedFile(
        source,
        "csv",
        path,
        given,
        name,
        file.header,
        digest,
        modified,
        file.rows,
        file.line_end,
        file.largest_row,
    )


def _modified(path: Path) -> Tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def _check_header(given: Path, header: Tuple[str, ...], source: Source) -> None:
    for column in source.columns:
        if column.name not in header:
            raise SourceError(f"{given} has no column {column.name}")
    lower = [name.lower() for name in header]
    own = (*OWN_NAMES, *DELTA_COLUMNS)
    for index, name in enumerate(header, start=1):
        if not name:
            raise SourceError(f"{given} has no name for column {index}", RENAME)
        if lower.count(name.lower()) > 1:
            raise SourceError(f"{given} has the column {name} twice", RENAME)
        if name.lower().startswith("_source_") or name.lower() in own:
            raise SourceError(
                f"{given} has a column named {name!r}, which is reserved for lakekit",
                RENAME,
            )
        if NOT_IN_NAMES.search(name):
            raise SourceError(
                f"{given} has a column named {name!r}; names in a Delta table must"
                " not contain line breaks, other control characters,"
                " spaces, or any of ,;{}()=",
                RENAME,
            )
