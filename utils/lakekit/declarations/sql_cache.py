"""A cache on disk for rewritten SQL.

Without the cache, importing sqlglot and rewriting a lake's SQL would take as long as an
update with the new files of one day. The key of an entry is a digest of the SQL, the
views, the code that decides which SQL is allowed, and sqlglot's version. Nothing else
determines the rewritten SQL, so an entry of the cache never becomes invalid. The files
of the cache may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import tempfile
from pathlib import Path
from typing import Callable, Mapping, Optional


class SqlCache:
    """Rewrites Databricks SQL to DuckDB SQL, and caches the results in a folder.

    If `folder` is None, nothing is cached. Only this user can write to the folder.
    """

    def __init__(self, folder: Optional[Path]) -> None:
        self._folder, self._rewriter = folder, _rewriter() if folder else None

    def predicate(self, table: str, sql: str) -> str:
        """Return a declared predicate in DuckDB SQL. Raises UnsupportedSqlError if the
        predicate is not allowed.
        """

        def rewrite() -> str:
            from lakekit.declarations import transpile

            return transpile.duckdb(transpile.parse_predicate(table, sql), table)

        return self._cached(["predicate", sql], rewrite)

    def query(self, table: str, sql: str, views: Mapping[str, str]) -> str:
        """Translate a table's SQL to DuckDB SQL, in which views replace the input
        tables.

        Raises UnsupportedSqlError if the SQL is not allowed; DeclarationError if the
        SQL does not read exactly the tables in `views`.
        """

        def rewrite() -> str:
            from lakekit.declarations import transpile

            query = transpile.parse_query(table, sql, views)
            return transpile.duckdb(transpile.with_views(query, views), table)

        return self._cached(["query", sql, dict(views)], rewrite)

    def once(self, what: object, check: Callable[[], None]) -> None:
        """Run a check, unless the check has already passed for the same value of
        `what`. The check raises an error if it fails.
        """

        def run() -> str:
            check()
            return "passed"

        self._cached(["once", what], run)

    def _cached(self, what: object, rewrite: Callable[[], str]) -> str:
        if self._folder is None or self._rewriter is None:
            return rewrite()
        key = hashlib.sha256(
            json.dumps([self._rewriter, what], sort_keys=True).encode()
        ).hexdigest()
        file = self._folder / f"{key}.sql"
        found = _read(file)
        if found is None:
            found = rewrite()
            _write(file, found)
        return found


def cache_folder(environment: Mapping[str, str]) -> Optional[Path]:
    """Return the folder `lakekit` in the user's cache folder, which the XDG convention
    defines; None if the user has no home directory.
    """
    folder = environment.get("XDG_CACHE_HOME", "")
    try:
        return (
            Path(folder) if os.path.isabs(folder) else Path.home() / ".cache"
        ) / "lakekit"
    except RuntimeError:
        return None


def _rewriter() -> Optional[str]:
    """For the cache keys, return the content of the files that determine how SQL is
    rewritten. These files are sqlglot's version file, and the modules that rewrite SQL;
    sqlglot is not imported. The result is None if the files cannot be read, for example
    because they are in a zip file.
    """
    found = importlib.util.find_spec("sqlglot")
    try:
        version = (
            Path(str(found.origin)).with_name("_version.py").read_text("utf-8")
            if found
            else ""
        )
        return version + "".join(
            Path(__file__).with_name(f"{name}.py").read_text("utf-8")
            for name in ("transpile", "sql_checks")
        )
    except OSError:
        return None


def _read(file: Path) -> Optional[str]:
    """Return the content of a cache file; None if the file is damaged. The result is
    also None if the file belongs to another user, who could otherwise inject SQL.
    """
    try:
        with file.open(encoding="utf-8") as opened:
            if (
                hasattr(os, "getuid")
                and os.fstat(opened.fileno()).st_uid != os.getuid()
            ):
                return None
            digest, _, text = opened.read().partition("\n")
    except (OSError, UnicodeDecodeError):
        return None
    return text if digest == _digest(text) else None


def _write(file: Path, text: str) -> None:
    """Write a cache file atomically. Errors are ignored, because a missing cache file
    only costs time.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=file.parent, suffix=".part")
        try:
            with open(handle, "w", encoding="utf-8") as opened:
                opened.write(f"{_digest(text)}\n{text}")
            os.replace(temporary, file)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError:
        pass


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
