"""What a scanner is that judges each file by itself: it is asked only about files that
it has not seen as they are.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from lake_ci.checks.file_cache import KnownFiles, Said
from lake_ci.checks.security.sarif import Weakness
from lake_ci.checks.security.scanner import UNREADABLE, Scanner, shown
from lake_ci.model.results import Outcome, count
from lake_ci.runner.check import Workbench, crashed
from lake_ci.system import git

LOCK = "requirements/security.txt"


@dataclass
class Told:
    """What one run of the scanner told.

    Attributes:
        rows: what it found, by file, of the files that it was asked about; None: it
            does not look at such a file.
        stray: what it found elsewhere.
        errors: what it could not read.
        weaknesses: all of this as weaknesses.
    """

    rows: dict[str, Said] = field(default_factory=dict)
    stray: list[Any] = field(default_factory=list)
    errors: list[Any] = field(default_factory=list)
    weaknesses: list[Weakness] = field(default_factory=list)


class FileScanner(Scanner):
    """A scanner of files. Its document, once cleaned, has two lists of rows: `results`,
    and `errors` for the unread.

    Attributes:
        settings: git patterns of the files that its answers depend on, beside the file
            itself and its own version.
    """

    settings: Sequence[str] = ()

    def files(self, bench: Workbench) -> Sequence[str]:
        """The files to look at."""
        raise NotImplementedError

    def scan(self, bench: Workbench, files: Sequence[str]) -> list[str]:
        """The command line for these files, run at the root of the repository; it may
        look at others, too.
        """
        raise NotImplementedError

    def seen(
        self, document: Any, files: Sequence[str], bench: Workbench
    ) -> Iterable[str]:
        """Which files it looked at, of those it was asked about. Raises ValueError
        where it cannot have been these.
        """
        raise NotImplementedError

    def file(self, row: Any, bench: Workbench) -> str:
        """The file that a row of the cleaned document is of."""
        raise NotImplementedError

    def run(self, bench: Workbench) -> Outcome:
        files = self.files(bench)
        memory = KnownFiles(
            bench.root / ".cache" / f"{self.name}.json",
            bench.root,
            self._context(bench),
        )
        digests = memory.digests(files)
        said, unknown = memory.said(files, digests), memory.unknown(files, digests)
        told = self._ask(unknown, said, bench) if unknown else Told()
        if isinstance(told, Outcome):
            return told
        rows = {**said, **told.rows}
        looked_at = _seen(rows)
        if not looked_at:
            return Outcome.failure(self.name, "nothing", "it looked at no file")
        found = [
            *self.weaknesses({"results": _sorted(said), "errors": []}, bench),
            *told.weaknesses,
        ]
        results = [*_sorted(rows), *told.stray]
        self.write(
            {"files": looked_at, "results": results, "errors": told.errors}, bench
        )
        if unknown:
            memory.keep(self._sure(said, told, bench), digests)
        changed = _seen(told.rows)
        return self.register.settle(
            self.name, found, f"{count(looked_at, 'file')}, {changed or 'none'} changed"
        )

    def _ask(
        self, files: Sequence[str], said: Mapping[str, Said], bench: Workbench
    ) -> Told | Outcome:
        """What the scanner tells of files, or why it tells nothing to rely on."""
        done = bench.execute(self.scan(bench, files), env=self.environment(bench))
        ended = self.ended_badly(done)
        if ended is not None:
            return ended
        try:
            told = self._told(self.document(done, bench), files, said, bench)
        except UNREADABLE as error:
            return self.unreadable(done, error)
        if done.code != 0 and not told.weaknesses:
            return crashed(self.name, shown(done))
        return told

    def _context(self, bench: Workbench) -> list[str]:
        """All that its answers depend on beside the file: settings, versions, and how
        it is asked and read.
        """
        names = git.files(bench.root, LOCK, *self.settings)
        texts = [
            (bench.root / name).read_text(encoding="utf-8", errors="surrogateescape")
            for name in names
        ]
        code = [
            Path(inspect.getfile(each)).read_text(encoding="utf-8")
            for each in (type(self), FileScanner)
        ]
        return [*names, *texts, *code, str(bench.python.resolve())]

    def _told(
        self,
        document: Any,
        asked: Sequence[str],
        said: Mapping[str, Said],
        bench: Workbench,
    ) -> Told:
        """What the document tells of the files asked about, and of none that is known.
        Raises one of UNREADABLE.
        """
        seen = set(self.seen(document, asked, bench))
        cleaned = self.clean(document)
        results = [
            row for row in cleaned["results"] if self.file(row, bench) not in said
        ]
        found: dict[str, list[Any]] = {}
        for row in results:
            found.setdefault(self.file(row, bench), []).append(row)
        rows: dict[str, Said] = {
            file: found.pop(file, []) if file in seen or file in found else None
            for file in asked
        }
        weaknesses = list(
            self.weaknesses({"results": results, "errors": cleaned["errors"]}, bench)
        )
        return Told(
            rows,
            [row for each in found.values() for row in each],
            cleaned["errors"],
            weaknesses,
        )

    def _sure(
        self, said: Mapping[str, Said], told: Told, bench: Workbench
    ) -> dict[str, Said]:
        """What may be believed the next time."""
        unread = {self.file(row, bench) for row in told.errors}
        if told.stray or not unread <= {*said, *told.rows}:
            # Of which file that was is not known, and it must be told again.
            return {}
        unsure = unread | _passed_over(said, told)
        return {
            file: rows
            for file, rows in {**said, **told.rows}.items()
            if file not in unsure
        }


def _passed_over(said: Mapping[str, Said], told: Told) -> set[str]:
    """The files that the scanner may have skipped by mistake: it looked at others of
    the same suffix before.
    """
    suffixes = {
        PurePath(file).suffix for file, rows in said.items() if rows is not None
    }
    return {
        file
        for file, rows in told.rows.items()
        if rows is None and PurePath(file).suffix in suffixes
    }


def _seen(rows: Mapping[str, Said]) -> int:
    """The number of files that the scanner looked at."""
    return sum(each is not None for each in rows.values())


def _sorted(rows: Mapping[str, Said]) -> list[Any]:
    """The rows of all files, by the path of the file."""
    return [row for file in sorted(rows) for row in rows[file] or ()]
