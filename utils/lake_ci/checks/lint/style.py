"""Style, imports and types of the Python code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace

from lake_ci.checks.file_cache import KnownFiles
from lake_ci.checks.lint.diff import first_changes
from lake_ci.model.results import Finding, Outcome, Status, count
from lake_ci.runner.check import CommandTool, Workbench
from lake_ci.system import git
from lake_ci.system.processes import Completed

MEND = "run `nox -s format`"


def python_files(bench: Workbench) -> list[str]:
    """The Python files to look at: those typed after `--`, else all that git tracks or
    would track.
    """
    return list(bench.posargs) or list(git.files(bench.root, "*.py"))


class Flake8(CommandTool):
    """Errors, likely bugs and complexity: pyflakes, pycodestyle, mccabe, bugbear,
    comprehensions.

    flake8 keeps no cache, and all its plugins here judge a file by itself: only files
    not known to be clean are given to it.
    """

    name = "flake8"
    # What it reads its settings from; its version and its plugins stand in the lock.
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
        known = self._known_files(bench)
        digests = known.digests(files)
        unknown = known.unknown(files, digests)
        if not unknown:
            return Outcome(Status.SUCCESS, f"{count(len(files), 'file')}, none changed")
        done = bench.execute(self.command(replace(bench, posargs=tuple(unknown))))
        outcome = self.outcome(done, bench)
        # A crash is a finding without a file.
        is_complete = all(finding.file for finding in outcome.findings)
        if is_complete and not bench.posargs:
            wrong = {finding.file for finding in outcome.findings}
            known.keep(
                {file: [] for file in files if bench.relative(file) not in wrong},
                digests,
            )
        if outcome.status is Status.SUCCESS:
            return replace(
                outcome, detail=f"{count(len(files), 'file')}, {len(unknown)} changed"
            )
        return outcome

    def _known_files(self, bench: Workbench) -> KnownFiles:
        """The files that are clean by these settings and this interpreter."""
        settings = [bench.root / name for name in self.SETTINGS]
        context = [
            path.read_text(encoding="utf-8") if path.exists() else ""
            for path in settings
        ]
        return KnownFiles(
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
    """Formatting, as black has it.

    `--diff` reads nothing from black's cache: it is asked for the files alone that
    `--check` objects to.
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
                message = f"black would change this; {MEND}"
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
    """The order of imports."""

    name = "isort"

    def command(self, bench: Workbench) -> list[str]:
        return [bench.bin("isort"), "--check-only", "--diff", *python_files(bench)]

    def findings(self, done: Completed, bench: Workbench) -> Iterator[Finding]:
        for file, line in first_changes(done.stdout):
            place = bench.relative(file.removesuffix(":before"))
            yield Finding(
                self.name, "order", f"isort would change this; {MEND}", place, line
            )


class Mypy(CommandTool):
    """Types, strictly."""

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
        # A setting that mypy does not know costs it a warning and an exit code of 0: it
        # goes on without it.
        for line in done.stderr.splitlines():
            if line.startswith("pyproject.toml: "):
                yield Finding(
                    self.name,
                    "setting",
                    line.removeprefix("pyproject.toml: "),
                    "pyproject.toml",
                )


class Mender(CommandTool):
    """A formatter that rewrites files; it fails only where it cannot."""

    alone = True
    finding_codes = ()
    program = ""

    def command(self, bench: Workbench) -> list[str]:
        return [bench.bin(self.program), "--quiet", *python_files(bench)]

    def findings(self, done: Completed, bench: Workbench) -> Iterator[Finding]:
        return iter(())


class SortImports(Mender):
    """Sort the imports."""

    name = program = "isort"


class Format(Mender):
    """Format the code."""

    name = program = "black"
