"""Checks style, imports and types of the Python code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from lake_ci.checks.file_cache import FileCache
from lake_ci.checks.lint.diff import first_changes
from lake_ci.model.results import Finding, Outcome, Status, count
from lake_ci.runner.check import CheckContext, CommandCheck
from lake_ci.system import git
from lake_ci.system.processes import Completed
from lake_ci.system.pyproject import read_project

FORMAT_HINT = "run `nox -s format`"
LOCK = "requirements/lint.txt"


def python_files(ctx: CheckContext) -> list[str]:
    """Return the Python files to check: the paths after `--`, or all files."""
    return list(ctx.posargs) or list(git.files(ctx.root, "*.py"))


def _modules(folder: Path) -> Iterator[Path]:
    """Return the modules and packages that the file names in a folder define."""
    for path in folder.glob("*"):
        is_module = path.suffix == ".py" or (path.is_dir() and not path.suffix)
        if is_module and path.stem.isidentifier() and path.name != "__pycache__":
            yield path


class FileCheck(CommandCheck):
    """The base class of tools that check each file separately.

    The suite caches which files are clean. The tool gets only the files that are not in
    the cache of clean files. If all files are in the cache, the tool is not started:
    starting black takes 0.7 s.

    Attributes:
        settings: the files that may contain the tool's settings. The lock file is
            always an input, because it contains the versions of the tool and its
            plugins.
    """

    settings: Sequence[str] = ()

    def context(self, ctx: CheckContext) -> list[str]:
        """Return everything besides the file itself that a file's result depends on."""
        settings = [ctx.root / name for name in (*self.settings, LOCK)]
        return [
            *(
                path.read_text(encoding="utf-8") if path.exists() else ""
                for path in settings
            ),
            str(ctx.python.resolve()),
        ]

    def run(self, ctx: CheckContext) -> Outcome:
        files = python_files(ctx)
        cache = FileCache(
            ctx.root / ".cache" / f"{self.name}.json", ctx.root, self.context(ctx)
        )
        digests = cache.digests(files)
        uncached = cache.uncached(files, digests)
        if not uncached:
            return Outcome(Status.SUCCESS, f"{count(len(files), 'file')}, none changed")
        done = ctx.execute(self.command(replace(ctx, posargs=tuple(uncached))))
        outcome = self.outcome(done, ctx)
        # If the tool crashed, there is a finding without a file.
        is_complete = all(finding.file for finding in outcome.findings)
        if is_complete and not ctx.posargs:
            wrong = {finding.file for finding in outcome.findings}
            cache.save(
                {file: [] for file in files if ctx.relative(file) not in wrong},
                digests,
            )
        if outcome.status is Status.SUCCESS:
            return replace(
                outcome, detail=f"{count(len(files), 'file')}, {len(uncached)} changed"
            )
        return outcome


class Flake8(FileCheck):
    """Check with flake8 for errors, likely bugs, and functions that are too complex.

    flake8 runs pyflakes, pycodestyle, mccabe, bugbear and comprehensions.
    """

    name = "flake8"
    settings = ("pyproject.toml", "setup.cfg", "tox.ini", ".flake8")
    LINE = re.compile(r"^(?P<file>.+?)\t(?P<line>\d+)\t(?P<rule>\w+)\t(?P<message>.*)$")

    def command(self, ctx: CheckContext) -> list[str]:
        format_ = "%(path)s\t%(row)d\t%(code)s\t%(text)s"
        # Use one process: other tools use the other cores, and for flake8, starting a
        # pool of processes takes more time than the pool saves.
        return [
            ctx.bin("flake8"),
            "--jobs=1",
            f"--format={format_}",
            *python_files(ctx),
        ]

    def findings(self, done: Completed, ctx: CheckContext) -> Iterator[Finding]:
        for line in done.stdout.splitlines():
            match = self.LINE.match(line)
            if match is None:
                raise ValueError(line)
            file = ctx.relative(match["file"])
            yield Finding(
                self.name, match["rule"], match["message"], file, int(match["line"])
            )


class Black(FileCheck):
    """Check the formatting with black.

    With `--diff`, black does not use its own cache. So `--diff` is used only for the
    files that `--check` has rejected.
    """

    name = "black"
    settings = ("pyproject.toml",)
    finding_codes = (1, 123)
    # black prints `error: cannot parse for target version Python 3.9: FILE:ROW:COLUMN`,
    # and on the next line the line of the source code.
    PARSE = re.compile(
        r"^error: (?P<message>cannot parse[^:\n]*): (?P<file>.+):(?P<line>\d+):\d+$",
        re.MULTILINE,
    )
    REJECTED = re.compile(r"^would reformat (.+)$", re.MULTILINE)
    FORMAT = re.compile(
        r"^error: cannot format (?P<file>.+?): (?P<message>.+)$", re.MULTILINE
    )

    def command(self, ctx: CheckContext) -> list[str]:
        return [ctx.bin("black"), "--check", *python_files(ctx)]

    def findings(self, done: Completed, ctx: CheckContext) -> Iterator[Finding]:
        rejected = self.REJECTED.findall(done.stderr)
        if rejected:
            diff = ctx.execute([ctx.bin("black"), "--diff", "--quiet", *rejected])
            lines = {
                ctx.relative(file): line for file, line in first_changes(diff.stdout)
            }
            for file in map(ctx.relative, rejected):
                message = f"black would change this; {FORMAT_HINT}"
                yield Finding(self.name, "format", message, file, lines.get(file, 1))
        for match in self.PARSE.finditer(done.stderr):
            file = ctx.relative(match["file"])
            yield Finding(
                self.name, "parse", match["message"], file, int(match["line"])
            )
        for match in self.FORMAT.finditer(done.stderr):
            yield Finding(
                self.name, "error", match["message"], ctx.relative(match["file"]), 1
            )


class Isort(FileCheck):
    """Check the order of imports with isort."""

    name = "isort"
    settings = ("pyproject.toml", "setup.cfg", "tox.ini", ".isort.cfg", ".editorconfig")

    def context(self, ctx: CheckContext) -> list[str]:
        """Return the inputs, including the names of the modules in the source folders.

        isort treats an import as first-party if a source folder has a module of that
        name. So a new module can change the result of all files that import this
        module.
        """
        has_project = (ctx.root / "pyproject.toml").exists()
        tools = read_project(ctx.root).get("tool", {}) if has_project else {}
        folders = tools.get("isort", {}).get("src_paths", (".", "src"))
        modules = {path.name for each in folders for path in _modules(ctx.root / each)}
        return [*super().context(ctx), *sorted(modules)]

    def command(self, ctx: CheckContext) -> list[str]:
        return [ctx.bin("isort"), "--check-only", "--diff", *python_files(ctx)]

    def findings(self, done: Completed, ctx: CheckContext) -> Iterator[Finding]:
        for file, line in first_changes(done.stdout):
            place = ctx.relative(file.removesuffix(":before"))
            yield Finding(
                self.name,
                "order",
                f"isort would change this; {FORMAT_HINT}",
                place,
                line,
            )


class Mypy(CommandCheck):
    """Check the types with mypy, in strict mode."""

    name = "mypy"
    # mypy's exit code 2 has two meanings. If mypy cannot parse a file, it prints
    # findings, as with code 1. If an option is wrong, mypy prints no findings, and the
    # check reports a crash.
    finding_codes = (1, 2)

    def command(self, ctx: CheckContext) -> list[str]:
        return [
            ctx.bin("mypy"),
            "--output=json",
            "--no-error-summary",
            *ctx.posargs,
        ]

    def outcome(self, done: Completed, ctx: CheckContext) -> Outcome:
        # If mypy prints JSON, it exits with code 1 even if it prints only notes.
        lines = done.stdout.splitlines()
        if done.code == 1 and lines and all('"severity": "note"' in x for x in lines):
            done = replace(done, code=0)
        return super().outcome(done, ctx)

    def findings(self, done: Completed, ctx: CheckContext) -> Iterator[Finding]:
        for line in done.stdout.splitlines():
            row = json.loads(line)
            if row["severity"] == "error":
                message = (
                    f"{row['message']}\n{row['hint']}"
                    if row.get("hint")
                    else row["message"]
                )
                file = ctx.relative(row["file"])
                yield Finding(
                    self.name,
                    row["code"] or "error",
                    message,
                    file,
                    max(row["line"], 1),
                )
        # If a setting is unknown, mypy prints only a warning, and exits with code 0.
        for line in done.stderr.splitlines():
            if line.startswith("pyproject.toml: "):
                yield Finding(
                    self.name,
                    "setting",
                    line.removeprefix("pyproject.toml: "),
                    "pyproject.toml",
                )


class Formatter(CommandCheck):
    """Base class of the formatters, which rewrite files."""

    exclusive = True
    finding_codes = ()
    program = ""

    def command(self, ctx: CheckContext) -> list[str]:
        return [ctx.bin(self.program), "--quiet", *python_files(ctx)]

    def findings(self, done: Completed, ctx: CheckContext) -> Iterator[Finding]:
        return iter(())


class SortImports(Formatter):
    """Sort the imports with isort."""

    name = program = "isort"


class Format(Formatter):
    """Format the code with black."""

    name = program = "black"
