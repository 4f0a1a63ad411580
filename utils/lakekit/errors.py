"""The errors that lakekit raises, with their exit codes and next steps.

Exit codes:

- 1: the run could not be completed.
- 2: the user's input is invalid (files, declarations, settings, arguments). No table
  that depends on this input was written.
- 3: the machine lacks space, a permission or a package.
- 4: a table is damaged.
- 130: the command was interrupted.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import ClassVar, Iterable, Mapping, Optional, Sequence, Tuple

SYNONYMS: Mapping[str, str] = {
    "str": "string",
    "text": "string",
    "varchar": "string",
    "bool": "boolean",
    "long": "bigint",
    "float": "double",
    "decimal": "double",
    "datetime": "timestamp",
    "error": "fail",
    "quarantine": "drop",
    "upsert": "merge",
    "overwrite": "whole",
}
"""For `nearest`: maps names that other systems use to the names in declarations."""


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the item of `names` that is most similar to `name`; empty if there are no
    items.
    """
    valid, wanted = list(names), name.strip().lower()
    wanted = SYNONYMS.get(wanted.partition("(")[0], wanted)
    return next(iter(difflib.get_close_matches(wanted, valid, n=1, cutoff=0.0)), "")


class LakekitError(Exception):
    """Base class of all errors. `str(error)` states what failed and where;
    `error.next_step` is the next command or action.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, next_step: str) -> None:
        super().__init__(what, next_step)
        self.next_step = next_step

    def __str__(self) -> str:
        return str(self.args[0])


class SourceError(LakekitError):
    """A source file is missing or damaged, or does not match its declaration. The error
    is raised before the first commit.
    """

    exit_code = 2

    def __init__(
        self, what: str, next_step: str = "Fix or replace the file, then run again."
    ) -> None:
        super().__init__(f"{what}. Nothing was written.", next_step)
        self.what = what


class UnreadableSourceError(SourceError):
    """A source file or its folder cannot be read, because a permission is missing or an
    I/O error occurred.
    """

    exit_code = 3

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(
            f"{path} cannot be read: {error.strerror or error}",
            "Give this user access, or check the disk, then run again.",
        )


class ConversionError(SourceError):
    """Too many values of a column do not convert to its type, so the whole file is
    refused. `Source.misfits` is the maximum share of a column's values that do not
    convert.
    """

    def __init__(  # noqa: B042  # never pickled
        self, file: str, column: str, misfits: int, rows: int, share: float, kind: str
    ) -> None:
        super().__init__(
            f"{file}, column {column}: {misfits:,} of {rows:,} values do not"
            f" convert to {kind}; at most {share:.0%} may fail",
            f"Correct the file, or the declaration of {column}, then run again.",
        )


class RefusedFilesError(LakekitError):
    """Source files are missing or damaged, or do not match their declarations. The
    tables that depend on these files are unchanged; all other tables are up to date.

    `files` has the reasons; each reason names the file. `tables` has the unchanged
    tables. `others` is true if there are tables that do not depend on these files.
    """

    exit_code = 2

    def __init__(  # noqa: B042  # never pickled
        self, files: Sequence[str], tables: Sequence[str], others: bool
    ) -> None:
        rest = "All other tables are up to date" if others else "Nothing was written"
        super().__init__(
            f"{'; '.join(files)}. Not updated: {', '.join(tables)}. {rest}.",
            "Fix or replace the files, then run again. Or leave them out with"
            " --refused skip.",
        )
        self.files, self.tables = tuple(files), tuple(tables)


class UnreadableFilesError(RefusedFilesError):
    """Like a RefusedFilesError, except that none of the refused files can be read."""

    exit_code = 3


class InvalidLakeError(LakekitError):
    """The location is not a valid lake, or the lake does not contain the table yet."""

    exit_code = 2


class UnknownTableError(LakekitError):
    """No declared table has the requested name."""

    exit_code = 2

    def __init__(self, name: str, nearest: str) -> None:
        super().__init__(
            f"There is no table {name}",
            f"Did you mean {nearest}?" if nearest else "Declare it in TABLES.",
        )


class DeclarationError(LakekitError):
    """A declaration is invalid, or contradicts its SQL or another declaration. The
    declared table was not written.
    """

    exit_code = 2

    def __init__(  # noqa: B042  # never pickled
        self, table: str, what: str, next_step: str = ""
    ) -> None:
        super().__init__(
            f"{table}: {what}",
            next_step or f"Make the declaration and the SQL of {table} agree.",
        )
        self.table, self.what = table, what


class UnsupportedSqlError(DeclarationError):
    """The SQL of a table does not parse, or may have different results on the two
    engines.
    """

    def __init__(  # noqa: B042  # never pickled
        self, table: str, what: str, next_step: str = ""
    ) -> None:
        super().__init__(
            table,
            what,
            next_step
            or "Use a construct that lakekit.declarations.transpile allows,"
            " or add the construct there with a parity test.",
        )


class ComputeError(LakekitError):
    """The SQL of a table failed on the source data. Nothing was written."""

    def __init__(self, table: str, reason: str) -> None:
        super().__init__(
            f"{table} could not be computed: {reason}. Nothing was written.",
            "Correct the source data that the message names, then run again.",
        )


class ConstraintViolationError(LakekitError):
    """Existing rows violate a constraint that was added to the declaration. Nothing was
    changed.
    """

    exit_code = 2

    def __init__(  # noqa: B042  # never pickled
        self, table: str, constraint: str, rows: int
    ) -> None:
        super().__init__(
            f"{table}: {rows:,} rows violate the new constraint {constraint}."
            " Nothing was changed.",
            "Correct these rows or the constraint, then run again."
            " A null result also violates the constraint.",
        )


class RebuildRequiredError(LakekitError):
    """A changed declaration requires a rebuild of its table, but rebuilds are not
    allowed. Nothing was changed.
    """

    exit_code = 2

    def __init__(  # noqa: B042  # never pickled
        self, table: str, what: str, possible: bool
    ) -> None:
        super().__init__(
            f"{table}: {what} needs a rebuild of the table. Nothing was changed.",
            (
                "See the changes with `lakekit plan`, then run again with"
                " --allow-rebuild."
                if possible
                else (
                    "A bronze table cannot be rebuilt: undo the change, or ingest into"
                    " a new lake."
                )
            ),
        )


class SettingsError(LakekitError):
    """A setting is unknown, missing or of the wrong type."""

    exit_code = 2


class FolderNotEmptyError(LakekitError):
    """The folder for `lakekit init` already has files."""

    exit_code = 2

    def __init__(self, folder: str) -> None:  # noqa: B042  # never pickled
        super().__init__(
            f"{folder} exists and is not an empty folder",
            "Use a new folder: lakekit init DIR",
        )


class RetentionTooShortError(LakekitError):
    """The retention period is shorter than Delta's minimum."""

    exit_code = 2

    def __init__(self, hours: int, least: int) -> None:  # noqa: B042  # never pickled
        super().__init__(
            f"A retention period of {hours} hours would delete files that a running"
            " reader or writer may need",
            f"Retain {least} hours or more.",
        )


class ExpectationFailedError(LakekitError):
    """Rows do not meet an expectation of severity `fail`. The table is unchanged."""

    def __init__(  # noqa: B042  # never pickled
        self, table: str, expectation: str, rows: int
    ) -> None:
        super().__init__(
            f"{table}: {rows:,} rows do not meet the expectation {expectation!r}; the"
            " table is unchanged",
            "Correct the source data, or declare the expectation with severity drop or"
            " warn, then run again.",
        )


class ConflictError(LakekitError):
    """Another writer committed to a table after this run read it."""

    def __init__(self, table: str) -> None:  # noqa: B042  # never pickled
        super().__init__(
            f"{table} was changed by another writer during this run",
            "Run again: tables that are up to date already are skipped.",
        )


RESUMED = "then run again: the run resumes after the tables already written."
STORAGE_CAUSES: Sequence[Tuple[str, str]] = (
    ("no space left|quota|not enough space", "Free space on that disk"),
    (
        "permission denied|not permitted|forbidden|access ?denied",
        "Give this user access",
    ),
    ("read-only", "Make that file system writable"),
    ("file too large", "Raise the file size limit (ulimit -f) or use another disk"),
    ("too many open files", "Raise the limit of open files (ulimit -n)"),
    ("name too long", "Use a lake with a shorter path"),
    (
        "generic s3|credential|connect|network|timed out|time-?out|dns|endpoint",
        "Check the network, the endpoint and the AWS_* credentials",
    ),
    (
        "no such file|not a directory|is a directory|file exists|is gone",
        "Check what else changes that folder, and correct the path",
    ),
)
"""Patterns that match error messages of the storage in lower case, each with its next
step.
"""


class StorageError(LakekitError):
    """The lake cannot be read or written, for example because of missing permission or
    space. Every table is complete, at its old or its new version.
    """

    exit_code = 3

    def __init__(self, path: Path, reason: str) -> None:
        remedies = (
            remedy
            for pattern, remedy in STORAGE_CAUSES
            if re.search(pattern, reason.lower())
        )
        remedy = next(remedies, "Remove the cause that the message names")
        super().__init__(f"{path}: {reason}", f"{remedy}, {RESUMED}")


class MemoryLimitError(LakekitError):
    """A query needs more memory than DuckDB's memory limit allows. Every table is
    complete.
    """

    exit_code = 3

    def __init__(self, reason: str) -> None:  # noqa: B042  # never pickled
        super().__init__(
            f"DuckDB ran out of memory: {reason}",
            f"Raise --memory, or free memory, {RESUMED}",
        )


class JavaError(LakekitError):
    """Spark cannot start because of a problem with Java or with the jars of Delta."""

    exit_code = 3


class DamagedTableError(LakekitError):
    """A table cannot be read: a data file is missing or was modified, or the table's
    log has an invalid entry. Nothing was changed.

    `file` is the data file or the table's location. `reason` describes the damage.
    `whole` is the newest undamaged version; None if no undamaged version is known.
    """

    exit_code = 4

    def __init__(  # noqa: B042  # never pickled
        self, table: str, file: str, reason: str, whole: Optional[int]
    ) -> None:
        version = "" if whole is None else f" --version {whole}"
        super().__init__(
            f"{table} is damaged: {file} {reason}", f"lakekit restore {table}{version}"
        )
        self.file, self.reason = file, reason


class ReaderTooOldError(LakekitError):
    """The installed deltalake cannot open a version, although the version is not
    damaged. Nothing was changed.

    Even after a restore, deltalake 1.2 also parses earlier commits, which may be
    damaged.
    """

    exit_code = 3

    def __init__(self, table: str, reason: str) -> None:
        super().__init__(
            f"{table} {reason}; the newest version is not damaged, but an older version"
            " has values that the installed deltalake cannot read",
            "Use Python 3.10 or newer, whose deltalake can read them. Or add --engine"
            " spark.",
        )


class DamagedLogError(LakekitError):
    """A file of a table's log is missing or damaged, so newer versions of the table
    cannot be read.
    """

    exit_code = 4

    def __init__(  # noqa: B042  # never pickled
        self, location: str, file: str, what: str, version: int
    ) -> None:
        table = ".".join(location.split("/")[-2:])
        super().__init__(
            f"{table} is damaged: {location}/_delta_log/{file} {what}:"
            f" version {version} and later cannot be read",
            "Restore the file from a copy of the lake. "
            + (
                "Or move this file and _last_checkpoint away:"
                " readers then use the commits before the checkpoint."
                if "checkpoint" in file
                else (
                    "Or move this file and all later log files away: "
                    + (
                        f"version {version - 1} is then the newest."
                        if version
                        else "the next `lakekit run` then creates the table again."
                    )
                )
            ),
        )


class MissingExtraError(LakekitError):
    """A package that belongs to an extra of lakekit is not installed."""

    exit_code = 3

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"The package {package} is not installed", f'pip install "lakekit[{extra}]"'
        )
