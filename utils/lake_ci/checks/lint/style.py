"""Style, imports and types of the Python code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace

from lake_ci.checks.file_cache import FileCache
from lake_ci.checks.lint.diff import first_changes
from lake_ci.model.results import Finding, Outcome, Status, count
from lake_ci.runner.check import CommandTool, Workbench
from lake_ci.system import git
from lake_ci.system.processes import Completed

FORMAT_HINT = "run `nox -s format`"


def python_files(bench: Workbench) -> list[str]:
    """The Python files to check: those after `--`, else all of the repository."""
    return list(bench.posargs) or list(git.files(bench.root, "*.py"))


class Flake8(CommandTool):
    """Errors, likely bugs and complexity: pyflakes, pycodestyle, mccabe, bugbear,
    comprehensions.

    flake8 has no cache, and its plugins here check each file separately. So it gets
    only the files that are not in the suite's own cache of clean files.
    """

    name = "flake8"
    # Files with its settings; the lock has its version and its plugins.
    SETTINGS = (
        "pyproject.toml",
        "setup.cfg",
        "tox.ini",
        ".flake8",
        "requirements/lint.txt",
    )
    LINE = re.compile(r"^(?P<file>.+?)\t(?P<line>\d+)\t(?P<rule>\w+)\t(?P<message>.*)$")

    def command(self, bench: Workbench) -> list[str]:
        format_ = "%(path)s\t%(row)d\t%(code)s\t%(text)s"
        # One process: the other tools want the other cores, and starting flake8's pool
        # costs more than it saves.
        return [
            bench.bin("flake8"),
            "--jobs=1",
            f"--format={format_}",
            *python_files(bench),
        ]

    def run(self, bench: Workbench) -> Outcome:
        files = python_files(bench)
        cache = self._file_cache(bench)
        digests = cache.digests(files)
        uncached = cache.uncached(files, digests)
        if not uncached:
            return Outcome(Status.SUCCESS, f"{count(len(files), 'file')}, none changed")
        done = bench.execute(self.command(replace(bench, posargs=tuple(uncached))))
        outcome = self.outcome(done, bench)
        # A crash is a finding without a file.
        is_complete = all(finding.file for finding in outcome.findings)
        if is_complete and not bench.posargs:
            wrong = {finding.file for finding in outcome.findings}
            cache.save(
                {file: [] for file in files if bench.relative(file) not in wrong},
                digests,
            )
        if outcome.status is Status.SUCCESS:
            return replace(
                outcome, detail=f"{count(len(files), 'file')}, {len(uncached)} changed"
            )
        return outcome

    def _file_cache(self, bench: Workbench) -> FileCache:
        """The cache of clean files, for these settings and this interpreter."""
        settings = [bench.root / name for name in self.SETTINGS]
        context = [
            path.read_text(encoding="utf-8") if path.exists() else ""
            for path in settings
        ]
        return FileCache(
            bench.root / ".cache" / "flake8.json",
            bench.root,
            [*context, str(bench.python.resolve())],
        )

    def findings(self, done: Completed, bench: Workbench) -> Iterator[Finding]:
        for line in done.stdout.splitlines():
            match = self.LINE.match(line)
            if match is None:
                raise ValueError(line)
            file = bench.relative(match["file"])
            yield Finding(
                self.name, match["rule"], match["message"], file, int(match["line"])
            )


class Black(CommandTool):
    """Check the formatting with black.

    `--diff` does not use black's cache, so it gets only files that `--check` rejects.
    """

    name = "black"
    finding_codes = (1, 123)
    # `error: cannot parse for target version Python 3.9: FILE:ROW:COLUMN`, with the
    # source line below.
    PARSE = re.compile(
        r"^error: (?P<message>cannot parse[^:\n]*): (?P<file>.+):(?P<line>\d+):\d+$",
        re.MULTILINE,
    )
    REJECTED = re.compile(r"^would reformat (.+)$", re.MULTILINE)
    FORMAT = re.compile(
        r"^error: cannot format (?P<file>.+?): (?P<message>.+)$", re.MULTILINE
    )

    def command(self, bench: Workbench) -> list[str]:
        return [bench.bin("black"), "--check", *python_files(bench)]

    def findings(self, done: Completed, bench: Workbench) -> Iterator[Finding]:
        rejected = self.REJECTED.findall(done.stderr)
        if rejected:
            diff = bench.execute([bench.bin("black"), "--diff", "--quiet", *rejected])
            lines = {
                bench.relative(file): line for file, line in first_changes(diff.stdout)
            }
            for file in map(bench.relative, rejected):
                message = f"black would change this; {FORMAT_HINT}"
                yield Finding(self.name, "format", message, file, lines.get(file, 1))
        for match in self.PARSE.finditer(done.stderr):
            file = bench.relative(match["file"])
            yield Finding(
                self.name, "parse", match["message"], file, int(match["line"])
            )
        for match in self.FORMAT.finditer(done.stderr):
            yield Finding(
                self.name, "error", match["message"], bench.relative(match["file"]), 1
            )


class Isort(CommandTool):
    """Check the order of imports with isort."""

    name = "isort"

    def command(self, bench: Workbench) -> list[str]:
        return [bench.bin("isort"), "--check-only", "--diff", *python_files(bench)]

    def findings(self, done: Completed, bench: Workbench) -> Iterator[Finding]:
        for file, line in first_changes(done.stdout):
            place = bench.relative(file.removesuffix(":before"))
            yield Finding(
                self.name,
                "order",
                f"isort would change this; {FORMAT_HINT}",
                place,
                line,
            )


class Mypy(CommandTool):
    """Check the types with mypy, in strict mode."""

    name = "mypy"
    # 2 where a file cannot be parsed, with rows as for 1; a wrong option, also 2,
    # prints none and is a crash.
    finding_codes = (1, 2)

    def command(self, bench: Workbench) -> list[str]:
        return [
            bench.bin("mypy"),
            "--output=json",
            "--no-error-summary",
            *bench.posargs,
        ]

    def findings(self, done: Completed, bench: Workbench) -> Iterator[Finding]:
        for line in done.stdout.splitlines():
            row = json.loads(line)
            if row["severity"] == "error":
                message = (
                    f"{row['message']}\n{row['hint']}"
                    if row.get("hint")
                    else row["message"]
                )
                file = bench.relative(row["file"])
                yield Finding(
                    self.name,
                    row["code"] or "error",
                    message,
                    file,
                    max(row["line"], 1),
                )
        # For an unknown setting mypy prints a warning, and exits with 0.
        for line in done.stderr.splitlines():
            if line.startswith("pyproject.toml: "):
                yield Finding(
                    self.name,
                    "setting",
                    line.removeprefix("pyproject.toml: "),
                    "pyproject.toml",
                )


class Formatter(CommandTool):
    """Base class of the formatters, which rewrite files."""

    alone = True
    finding_codes = ()
    program = ""

    def command(self, bench: Workbench) -> list[str]:
        return [bench.bin(self.program), "--quiet", *python_files(bench)]

    def findings(self, done: Completed, bench: Workbench) -> Iterator[Finding]:
        return iter(())


class SortImports(Formatter):
    """Sort the imports with isort."""

    name = program = "isort"


class Format(Formatter):
    """Format the code with black."""

    name = program = "black"
