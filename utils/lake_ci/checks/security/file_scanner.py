"""Defines the base class of scanners that check each file separately.

The results of each file are cached.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from lake_ci.checks.file_cache import FileCache, FileRows
from lake_ci.checks.security.sarif import SecurityFinding
from lake_ci.checks.security.scanner import UNREADABLE, Scanner, shown
from lake_ci.model.results import Outcome, count
from lake_ci.runner.check import CheckContext, crashed
from lake_ci.system import git

LOCK = "requirements/security.txt"


@dataclass
class ScanResult:
    """The result of one run of a scanner.

    Attributes:
        rows: the rows of each requested file; None for a file that the scanner skipped.
        unrequested: the rows of files that were scanned, but not requested.
        errors: the rows about files that the scanner could not read.
        findings: all rows and errors, converted to findings.
    """

    rows: dict[str, FileRows] = field(default_factory=dict)
    unrequested: list[Any] = field(default_factory=list)
    errors: list[Any] = field(default_factory=list)
    findings: list[SecurityFinding] = field(default_factory=list)


class FileScanner(Scanner):
    """The base class of scanners of files; files with a cached result are not scanned.

    The document that `clean` returns has two lists of rows: the findings in `results`,
    and the unreadable files in `errors`.

    Attributes:
        settings: git patterns of the files that contain the scanner's settings and
            rules.
    """

    settings: Sequence[str] = ()

    def files(self, ctx: CheckContext) -> Sequence[str]:
        """Return the files to scan."""
        raise NotImplementedError

    def scan(self, ctx: CheckContext, files: Sequence[str]) -> list[str]:
        """Return the command that scans these files.

        The command runs at the root of the repository. The command may also scan files
        that were not requested.
        """
        raise NotImplementedError

    def seen(
        self, document: Any, files: Sequence[str], ctx: CheckContext
    ) -> Iterable[str]:
        """Return the requested files that the scanner has scanned.

        Raises:
            ValueError: the scanner did not scan the requested files.
        """
        raise NotImplementedError

    def file(self, row: Any, ctx: CheckContext) -> str:
        """Return the file of a row in the document that `clean` returns."""
        raise NotImplementedError

    def run(self, ctx: CheckContext) -> Outcome:
        files = self.files(ctx)
        cache = FileCache(
            ctx.root / ".cache" / f"{self.name}.json",
            ctx.root,
            self._context(ctx),
        )
        digests = cache.digests(files)
        cached, uncached = cache.cached(files, digests), cache.uncached(files, digests)
        result = self._scan_files(uncached, cached, ctx) if uncached else ScanResult()
        if isinstance(result, Outcome):
            return result
        rows = {**cached, **result.rows}
        looked_at = _scanned_count(rows)
        if not looked_at:
            return Outcome.failure(self.name, "nothing", "no file was scanned")
        found = [
            *self.security_findings({"results": _sorted(cached), "errors": []}, ctx),
            *result.findings,
        ]
        results = [*_sorted(rows), *result.unrequested]
        self.write(
            {"files": looked_at, "results": results, "errors": result.errors}, ctx
        )
        if uncached:
            cache.save(self._cacheable(cached, result, ctx), digests)
        changed = _scanned_count(result.rows)
        return self.register.record(
            self.name, found, f"{count(looked_at, 'file')}, {changed or 'none'} changed"
        )

    def _scan_files(
        self, files: Sequence[str], cached: Mapping[str, FileRows], ctx: CheckContext
    ) -> ScanResult | Outcome:
        """Scan files; return an outcome only if the scanner failed."""
        done = ctx.execute(self.scan(ctx, files), env=self.environment(ctx))
        ended = self.ended_badly(done)
        if ended is not None:
            return ended
        try:
            result = self._parsed(self.document(done, ctx), files, cached, ctx)
        except UNREADABLE as error:
            return self.unreadable(done, error)
        if done.code != 0 and not result.findings:
            return crashed(self.name, shown(done))
        return result

    def _context(self, ctx: CheckContext) -> list[str]:
        """Return all inputs of a file's result besides the file itself.

        The inputs of a scan are the scanner's settings, versions and code.
        """
        names = git.files(ctx.root, LOCK, *self.settings)
        texts = [
            (ctx.root / name).read_text(encoding="utf-8", errors="surrogateescape")
            for name in names
        ]
        code = [
            Path(inspect.getfile(each)).read_text(encoding="utf-8")
            for each in (type(self), FileScanner)
        ]
        return [*names, *texts, *code, str(ctx.python.resolve())]

    def _parsed(
        self,
        document: Any,
        files: Sequence[str],
        cached: Mapping[str, FileRows],
        ctx: CheckContext,
    ) -> ScanResult:
        """Return a document's errors, and the rows of files without cached results.

        Raises one of UNREADABLE.
        """
        seen = set(self.seen(document, files, ctx))
        cleaned = self.clean(document)
        results = [
            row for row in cleaned["results"] if self.file(row, ctx) not in cached
        ]
        found: dict[str, list[Any]] = {}
        for row in results:
            found.setdefault(self.file(row, ctx), []).append(row)
        rows: dict[str, FileRows] = {
            file: found.pop(file, []) if file in seen or file in found else None
            for file in files
        }
        findings = list(
            self.security_findings(
                {"results": results, "errors": cleaned["errors"]}, ctx
            )
        )
        return ScanResult(
            rows,
            [row for each in found.values() for row in each],
            cleaned["errors"],
            findings,
        )

    def _cacheable(
        self, cached: Mapping[str, FileRows], result: ScanResult, ctx: CheckContext
    ) -> dict[str, FileRows]:
        """Return, for each file, the results that may be cached."""
        unread = {self.file(row, ctx) for row in result.errors}
        if result.unrequested or not unread <= {*cached, *result.rows}:
            # The scanner reported a file that was not requested. Cache nothing, so that
            # the next run reports this file again.
            return {}
        unsure = unread | _skipped_by_mistake(cached, result)
        return {
            file: rows
            for file, rows in {**cached, **result.rows}.items()
            if file not in unsure
        }


def _skipped_by_mistake(cached: Mapping[str, FileRows], result: ScanResult) -> set[str]:
    """Return the files that the scanner has probably skipped by mistake.

    The scanner skipped these files, although in earlier runs it scanned files with the
    same suffix.
    """
    suffixes = {
        PurePath(file).suffix for file, rows in cached.items() if rows is not None
    }
    return {
        file
        for file, rows in result.rows.items()
        if rows is None and PurePath(file).suffix in suffixes
    }


def _scanned_count(rows: Mapping[str, FileRows]) -> int:
    """Return the number of files that the scanner did not skip."""
    return sum(each is not None for each in rows.values())


def _sorted(rows: Mapping[str, FileRows]) -> list[Any]:
    """Return the rows of all files, sorted by the path of the file."""
    return [row for file in sorted(rows) for row in rows[file] or ()]
