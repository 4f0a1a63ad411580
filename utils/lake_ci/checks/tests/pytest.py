"""Runs tests with pytest, reads its JUnit XML, and checks the coverage."""

from __future__ import annotations

import json
import re
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from lake_ci.model.results import Finding, Outcome, Status
from lake_ci.runner.check import (
    Check,
    CheckContext,
    crashed,
    stopped,
    stopped_or_crashed,
)
from lake_ci.runner.options import Parser
from lake_ci.system.atomic_write import write_whole
from lake_ci.system.processes import Completed

NOTHING_SELECTED = 5
SLOWEST = 10
# The lock for junit.xml: sets of tests may run in parallel, and all append to this
# file.
_JUNIT_LOCK = threading.Lock()
# Options that change only pytest's output, not the selection of tests.
HARMLESS = re.compile(
    r"-v+|-q+|-s|-l|-r\w+|--verbose|--quiet|--showlocals|--capture=\w+|--color=\w+"
    r"|--tb=\w+|--durations(-min)?=\S+|--no-header"
)
DEBUGGERS = ("--pdb", "--trace")
# Options whose value is a separate argument. The value may look like a path, for
# example `api` in `-k api`.
TAKE_A_VALUE = ("-k", "-m", "-p", "-o", "-c", "-W", "--deselect", "--ignore")


def selects(arguments: Sequence[str]) -> bool:
    """Return whether the arguments for pytest may select tests.

    Every argument may select tests, except arguments that change only pytest's output.
    """
    return any(not HARMLESS.fullmatch(argument) for argument in arguments)


@dataclass(frozen=True)
class Arguments:
    """The arguments after `--`, which are passed to pytest."""

    words: Sequence[str]

    @property
    def partial(self) -> bool:
        """Whether the arguments select tests."""
        return selects(self.words)


def parser(session: str, *, affected: bool = False) -> Parser:
    """Return the parser that prints a test session's `--help`."""
    parser = Parser(f"nox -s {session} --", "Run tests with pytest.")
    if affected:
        parser.add_argument(
            "--affected",
            action="store_true",
            help="only tests affected by changes since the last run with --affected",
        )
    parser.add_argument(
        "arguments",
        nargs="*",
        help="arguments of pytest, such as -k, -x, --pdb, and paths",
    )
    return parser


class Pytest(Check):
    """Run a set of tests with pytest.

    The arguments after `--` are passed to pytest. A path is passed only to the set of
    tests whose folders contain this path.

    Args:
        name: the row's name.
        folders: the folders of the tests.
        cover: the folders of code whose coverage is measured.
        marks: an expression of pytest markers; only tests that match the expression are
            run.
    """

    exclusive = True

    def __init__(
        self,
        name: str,
        folders: Sequence[str],
        *,
        cover: Sequence[str] = (),
        marks: str = "",
    ) -> None:
        self.name = name
        self.folders = folders
        self.cover = cover
        self.marks = marks

    def run(self, ctx: CheckContext) -> Outcome:
        arguments = self.arguments(ctx)
        if arguments is None:
            return Outcome(Status.SKIPPED, "no tests selected")
        junit = ctx.reports / f".junit-{self.name}.xml"
        command = [
            str(ctx.python),
            "-m",
            "pytest",
            *arguments,
            f"--junit-xml={junit}",
        ]
        # Only the XML format `xunit1` contains the file and line of a test.
        command += [
            "--override-ini=junit_family=xunit1",
            "--override-ini=junit_log_passing_tests=false",
        ]
        command += self.plugins(ctx)
        command += ["--color=yes"] if sys.stdout.isatty() else []
        # If a module cannot be imported, run the tests of all other modules, as
        # pytest-xdist does.
        command += ["--continue-on-collection-errors", *self.distribution(ctx)]
        env = {**ctx.env, **self.variables(ctx)}
        attached = any(argument in DEBUGGERS for argument in ctx.posargs)
        done = ctx.execute(
            command, env=env, attached=attached, echo=None if attached else self.echo
        )
        outcome = stopped(self.name, done) or self.outcome(done, junit, ctx)
        if junit.exists():
            with _JUNIT_LOCK:
                _append(ctx.reports / "junit.xml", junit)
            junit.unlink()
        return outcome

    def echo(self, line: str) -> None:
        """Print a line of pytest's output without delay."""
        sys.stdout.write(line)
        sys.stdout.flush()

    def variables(self, ctx: CheckContext) -> dict[str, str]:
        """Return additional environment variables for pytest."""
        return {"COVERAGE_FILE": str(ctx.reports / f".coverage.{self.name}")}

    def plugins(self, ctx: CheckContext) -> list[str]:
        """Return the options for pytest-cov; no options if arguments select tests.

        Without these options, no coverage is measured, and the check `Coverage` is
        skipped.
        """
        if not self.cover or selects(ctx.posargs):
            return []
        # Set the minimum to 0, because the check `Coverage` applies the real minimum to
        # all sets together.
        return [f"--cov={path}" for path in self.cover] + [
            "--cov-report=",
            "--cov-fail-under=0",
        ]

    def distribution(self, ctx: CheckContext) -> list[str]:
        """Return the options for pytest-xdist; no options if arguments select tests.

        Without these options, a single process runs the tests.
        """
        if ctx.workers == 1 or selects(ctx.posargs):
            return []
        return [f"--numprocesses={ctx.workers}", "--dist=loadgroup"]

    def arguments(self, ctx: CheckContext) -> list[str] | None:
        """Return pytest's arguments: the options, and by default the set's folders.

        If there are paths after `--`, only the paths in the set's folders are used. The
        result is None if none of the paths after `--` is in the set's folders.
        """
        paths, options = _paths_and_options(ctx)
        inside = [path for path in paths if self._holds(ctx.relative(_file(path)))]
        if paths and not inside:
            return None
        marks = ["-m", self.marks] if self.marks else []
        return [*(inside or self.folders), *marks, *options]

    def _holds(self, path: str) -> bool:
        """Return whether a path in the repository is in one of the folders."""
        return any(Path(path).is_relative_to(folder) for folder in self.folders)

    def outcome(self, done: Completed, junit: Path, ctx: CheckContext) -> Outcome:
        """Return the outcome of pytest, which is read from the JUnit XML.

        If the JUnit XML is missing or unreadable, the outcome is a crash.
        """
        if done.code == NOTHING_SELECTED:
            return self._no_tests(ctx)
        if done.code not in (0, 1, 2):
            return crashed(self.name, done)
        try:
            suites = ET.parse(junit).getroot()
        except (OSError, ET.ParseError) as error:
            return crashed(self.name, done, f"wrote no readable JUnit XML: {error}")
        cases = list(suites.iter("testcase"))
        # Drop duplicates: each worker of pytest-xdist collects all modules, and may
        # report the same error.
        each = (self._findings(case, ctx) for case in cases)
        found = tuple(dict.fromkeys(chain.from_iterable(each)))
        if done.code != 0 and not found:
            return crashed(self.name, done)
        status = Status.FAILURE if done.code else Status.SUCCESS
        data = {"skipped": _skipped(cases), "slowest": _slowest(cases)}
        return Outcome(status, _counts(cases), found, data=data)

    def _no_tests(self, ctx: CheckContext) -> Outcome:
        if selects(ctx.posargs):
            return Outcome(Status.SKIPPED, "no tests selected")
        where = ", ".join(self.folders)
        return Outcome.failure(
            self.name,
            "no-tests",
            f"no tests in {where}",
            file=self.folders[0],
        )

    def _findings(self, case: ET.Element, ctx: CheckContext) -> Iterator[Finding]:
        for kind in ("failure", "error"):
            for element in case.findall(kind):
                text = element.text or ""
                file, line, rule = _raised_at(text, ctx)
                recorded = _recorded_place(case)
                if recorded is not None:
                    file, line = recorded
                elif file is None:
                    file = case.get("file") or case.get("classname", "").replace(
                        ".", "/"
                    ) + "/" + case.get("name", "")
                    line = int(case.get("line", "-1")) + 1 or None
                headline = (element.get("message") or text).strip().split("\n")[0]
                yield Finding(
                    "pytest",
                    rule or kind,
                    f"{_test_id(case)}: {headline}",
                    ctx.relative(file),
                    line,
                )


def _recorded_place(case: ET.Element) -> tuple[str, int] | None:
    """Return the file and line of a defect that a test has recorded, or None.

    If a defect is outside of Python code, the test records the defect's file and line
    with `record_property("place", "k8s/base/api.yaml:12")`.
    """
    for each in case.iterfind("properties/property[@name='place']"):
        file, _, line = each.get("value", "").rpartition(":")
        if file and line.isdigit():
            return file, int(line)
    return None


def _counts(cases: Sequence[ET.Element]) -> str:
    """Return the numbers of tests as text, such as `1 failed, 2 passed, 3 skipped`."""
    skipped = len(_skipped(cases))
    failed = sum(
        case.find("failure") is not None or case.find("error") is not None
        for case in cases
    )
    words = [f"{failed} failed"] if failed else []
    words.append(f"{len(cases) - failed - skipped} passed")
    words += [f"{skipped} skipped"] if skipped else []
    return ", ".join(words)


def _skipped(cases: Iterable[ET.Element]) -> list[str]:
    """Return the ids of the tests that were skipped."""
    return [_test_id(case) for case in cases if case.find("skipped") is not None]


def _slowest(cases: Iterable[ET.Element]) -> list[dict[str, Any]]:
    """Return the slowest tests and how many seconds each took, slowest first."""
    slowest = sorted(cases, key=lambda case: -float(case.get("time", 0)))[:SLOWEST]
    return [
        {"test": _test_id(case), "seconds": float(case.get("time", 0))}
        for case in slowest
    ]


def _paths_and_options(ctx: CheckContext) -> tuple[list[str], list[str]]:
    """Split the arguments after `--` into repository paths and other arguments."""
    paths: list[str] = []
    options: list[str] = []
    for before, argument in zip(["", *ctx.posargs], ctx.posargs):
        is_option = argument.startswith("-") or before in TAKE_A_VALUE
        is_path = not is_option and (ctx.root / _file(argument)).exists()
        (paths if is_path else options).append(argument)
    return paths, options


def _file(argument: str) -> str:
    """Return the file's path from a test id."""
    return argument.split("::")[0]


def _raised_at(
    text: str, ctx: CheckContext
) -> tuple[str | None, int | None, str | None]:
    """Return a traceback's exception, and its last line in a file of the repository."""
    place: tuple[str | None, int | None, str | None] = (None, None, None)
    for match in re.finditer(
        r"^(?:E\s+File \")?([^\s:\"][^:\"\n]*\.py)(?:\", line |:)(\d+)(?:: ?(\w+)?)?",
        text,
        re.MULTILINE,
    ):
        path = ctx.root / match[1]
        # Skip files of the job's environment, which is in the repository's folder .nox.
        if path.is_file() and not path.is_relative_to(ctx.python.parent.parent):
            place = (match[1], int(match[2]), match[3] or place[2])
    raised = re.findall(
        r"^E\s+([\w.]*(?:Error|Exception|Warning|Failed|Exit))\b", text, re.MULTILINE
    )
    return place[0], place[1], raised[-1].rpartition(".")[2] if raised else place[2]


def _test_id(case: ET.Element) -> str:
    return (
        f"{case.get('classname', '').rpartition('.')[2]}::{_name(case)}".removeprefix(
            "::"
        )
    )


def _name(case: ET.Element) -> str:
    """Remove the group that pytest-xdist has appended to the name of a test.

    In `test_a[1]@group`, this group is `@group`.
    """
    return re.sub(r"@[\w-]+$", "", case.get("name", ""))


def _append(junit: Path, suite: Path) -> None:
    """Add the JUnit XML of one set of tests to the job's junit.xml."""
    together = (
        ET.parse(junit).getroot()
        if junit.exists()
        else ET.Element("testsuites", name="pytest")
    )
    added = ET.parse(suite).getroot()
    for case in added.iter("testcase"):
        case.set("name", _name(case))
    together.extend(added.iter("testsuite"))
    write_whole(junit, ET.tostring(together, encoding="unicode"))


class Coverage(Check):
    """Check that all tests of the job together reach a minimum branch coverage."""

    name = "coverage"
    exclusive = True

    def __init__(self, minimum: float) -> None:
        self.minimum = minimum

    def run(self, ctx: CheckContext) -> Outcome:
        if selects(ctx.posargs):
            return Outcome(Status.SKIPPED, "skipped: only some tests were selected")
        for report in _coverage_reports(ctx.reports):
            done = ctx.execute([str(ctx.python), "-m", "coverage", *report])
            if done.code != 0:
                return stopped_or_crashed(self.name, done)
        measured = json.loads(
            (ctx.reports / "coverage.json").read_text(encoding="utf-8")
        )
        percent = measured["totals"]["percent_covered"]
        files = {ctx.relative(file): body for file, body in measured["files"].items()}
        figures = {
            "percent": round(percent, 2),
            "files": {name: _percent(body) for name, body in files.items()},
        }
        if percent >= self.minimum:
            return Outcome(
                Status.SUCCESS, f"{percent:.1f} % of branches and lines", data=figures
            )
        return Outcome(
            Status.FAILURE,
            f"{percent:.1f} %, at least {self.minimum:g} % required",
            tuple(self._below(files)),
            data=figures,
        )

    def _below(self, files: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
        """Yield a finding for each file whose coverage is too low, lowest first."""
        for name, body in sorted(files.items(), key=lambda item: _percent(item[1])):
            if _percent(body) < self.minimum:
                message = (
                    f"{_percent(body):.0f} % covered; not run:"
                    f" {_ranges(body['missing_lines']) or 'branches only'}"
                )
                line = min(body["missing_lines"], default=1)
                yield Finding(self.name, "minimum", message, name, line)


def _coverage_reports(folder: Path) -> Iterator[list[str]]:
    """Yield the arguments of each coverage command that creates the reports."""
    common = ["-q", f"--data-file={folder / '.coverage'}"]
    measured = map(str, sorted(folder.glob(".coverage.*")))
    yield ["combine", "--keep", *common, *measured]
    for report, option, name in (
        ("xml", "-o", "coverage.xml"),
        ("html", "-d", "htmlcov"),
        ("json", "-o", "coverage.json"),
    ):
        yield [report, *common, option, str(folder / name), "--fail-under=0"]


def _percent(body: Mapping[str, Any]) -> float:
    return round(float(body["summary"]["percent_covered"]), 2)


def _ranges(lines: Sequence[int]) -> str:
    """Return line numbers as text with ranges, such as `3-5, 9` for 3, 4, 5, 9."""
    runs: list[list[int]] = []
    for line in lines:
        if runs and line == runs[-1][-1] + 1:
            runs[-1].append(line)
        else:
            runs.append([line])
    return ", ".join(
        f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs
    )
