"""Defines results and their findings; reads and writes result.json."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import asdict, dataclass, field, fields as dataclass_fields
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from lake_ci.errors import BadResultError
from lake_ci.system.atomic_write import write_whole

SCHEMA = 2
REPORTS = "reports"
FILE_NAME = "result.json"
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


class Status(str, Enum):
    """How a check or a job ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    SKIPPED = "skipped"
    WARNING = "warning"

    @property
    def symbol(self) -> str:
        return {"success": "✅", "failure": "❌", "skipped": "⏸️", "warning": "⚠️"}[
            self.value
        ]

    @property
    def word(self) -> str:
        """The status as a word, for terminals that cannot print the symbol."""
        return {
            "success": "ok  ",
            "failure": "FAIL",
            "skipped": "skip",
            "warning": "warn",
        }[self.value]


@dataclass(frozen=True)
class Finding:
    """A problem that a tool found.

    `file` is relative to the repository. `line` counts from 1.
    """

    tool: str
    rule: str
    message: str
    file: str | None = None
    line: int | None = None
    severity: str = "error"

    @property
    def place(self) -> str:
        if self.file is None:
            return ""
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a check.

    Attributes:
        not_checked: why the check left a part unchecked, or None. If `not_checked` is
            set, the check is a warning, or in strict mode a failure.
        data: additional values for reports; all values must be valid in JSON.
        seconds: the duration, if another program measured it, or None.
    """

    status: Status
    detail: str = ""
    findings: tuple[Finding, ...] = ()
    not_checked: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None

    @classmethod
    def of(
        cls, findings: Iterable[Finding], *, clean: str = "", **data: Any
    ) -> Outcome:
        """Return a failure with the findings, or a success if there are none.

        If there are no findings, the detail is the argument `clean`.
        """
        found = tuple(findings)
        if not found:
            return cls(Status.SUCCESS, clean, data=data)
        return cls(Status.FAILURE, count(len(found), "finding"), found, data=data)

    @classmethod
    def failure(
        cls, tool: str, rule: str, message: str, *, file: str | None = None
    ) -> Outcome:
        """Return a failure with one finding."""
        return cls(
            Status.FAILURE,
            message.splitlines()[0],
            (Finding(tool, rule, message, file=file),),
        )


@dataclass(frozen=True)
class CheckResult:
    """The row of one check in a job's result. `seconds` is wall time.

    If a check sets `data["panel"]`, reports/index.html shows it as a table:
    `{"title": "Benchmarks", "columns": ["name", "median"], "rows": [["merge", 0.41],
    ...]}`.
    """

    name: str
    status: Status
    seconds: float = 0.0
    detail: str = ""
    findings: tuple[Finding, ...] = ()
    not_checked: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_outcome(
        cls, name: str, outcome: Outcome, seconds: float, *, strict: bool
    ) -> CheckResult:
        """Return the row that shows the outcome of a check.

        If something was not checked, the row is a warning, or in strict mode a failure.
        """
        status = outcome.status
        if outcome.not_checked is not None:
            status = Status.FAILURE if strict else Status.WARNING
        return cls(
            name,
            status,
            round(seconds if outcome.seconds is None else outcome.seconds, 3),
            outcome.detail or (outcome.not_checked or ""),
            outcome.findings,
            outcome.not_checked,
            outcome.data,
        )


@dataclass(frozen=True)
class Result:
    """The result of one variant of a job, with the fields of `result.json`.

    If the result comes from the cache, `reused` is set. `reused` contains `run`, the id
    of the earlier run that produced the result, and `since`, the time (UTC) when the
    job ended in the earlier run. The values of `started` and `seconds` are also from
    the earlier run.

    Attributes:
        seconds: the wall time of the session, without `waited_seconds`.
        processor_seconds: the user and system time of the session's processes.
            Processes of a container engine are not included. None if the processor time
            was not measured.
        waited_seconds: how long the session waited for a lock, or for the preparation
            of the machine. None if the wait was not measured.
    """

    run: str
    attempt: int
    event: str
    commit: str | None
    dirty: bool
    job: str
    session: str
    started: str
    seconds: float
    reproduce: str
    checks: tuple[CheckResult, ...] = ()
    cause: str | None = None
    partial: bool = False
    python: str | None = None
    java: str | None = None
    artifacts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    reused: Mapping[str, str] | None = None
    processor_seconds: float | None = None
    waited_seconds: float | None = None

    @property
    def status(self) -> Status:
        """The worst status of the checks; a failure if the job was interrupted."""
        if self.cause == "need-failed":
            return Status.SKIPPED
        if self.cause in {"timeout", "interrupted"}:
            return Status.FAILURE
        kinds = {check.status for check in self.checks}
        for status in (Status.FAILURE, Status.WARNING):
            if status in kinds:
                return status
        return Status.SUCCESS if Status.SUCCESS in kinds else Status.SKIPPED

    @property
    def as_of(self) -> str:
        """For a cached result, return when and in which run the result was produced.

        An example is `as of 2026-01-31 02:00 UTC, run 0123456789ab`. For a result of
        this run, the text is empty.
        """
        return as_of(self.reused["run"], self.reused["since"]) if self.reused else ""


def is_seconds(value: object) -> bool:
    """Return whether a value from a file is a finite number, and at least 0."""
    return isinstance(value, (int, float)) and math.isfinite(value) and value >= 0


def as_of(run: str, since: str) -> str:
    """Return as text when and in which run a cached result was produced."""
    return f"as of {since[:16].replace('T', ' ')} UTC, run {run}"


def count(number: int, noun: str) -> str:
    """Return a number with a noun, such as `1 finding` or `2 findings`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def to_json(result: Result) -> dict[str, Any]:
    """Convert a result to the JSON object in `result.json`."""
    body = asdict(result)
    body["status"] = result.status.value
    for check in body["checks"]:
        check["status"] = check["status"].value
    return {"schema": SCHEMA, **body}


def from_json(body: Mapping[str, Any]) -> Result:
    """Convert the JSON object in `result.json` to a result.

    Raises:
        KeyError: a field is missing.
        TypeError: `body` is not a JSON object.
        ValueError: a field is unknown, has a wrong type, or has an impossible value.
    """
    # Import msgspec only here: the tests of manifests and images use this module in
    # environments without msgspec.
    import msgspec

    if body["schema"] != SCHEMA:
        raise ValueError(f"schema {body['schema']!r}, expected {SCHEMA}; rerun the job")
    _refuse_other_fields(body, Result, also={"schema", "status"})
    result = msgspec.convert(body, Result)
    for check in body["checks"]:
        _refuse_other_fields(check, CheckResult)
        for finding in check["findings"]:
            _refuse_other_fields(finding, Finding)
    if result.reused is not None and set(result.reused) != {"run", "since"}:
        raise ValueError("the fields of reused are not run and since")
    seconds = [result.seconds, *(check.seconds for check in result.checks)]
    seconds += filter(None, [result.processor_seconds, result.waited_seconds])
    if not all(map(is_seconds, seconds)):
        raise ValueError("a number of seconds is negative or not finite")
    try:
        datetime.strptime(result.started, TIME_FORMAT) + timedelta(0, result.seconds)
    except OverflowError:
        raise ValueError("the job ended after the year 9999") from None
    return result


def _refuse_other_fields(
    body: Mapping[str, Any], kind: type, also: Set[str] = frozenset()
) -> None:
    """Raise KeyError if a field is missing, and ValueError if a field is unknown."""
    fields = [each.name for each in dataclass_fields(kind)]
    for name in fields:
        if name not in body:
            raise KeyError(name)
    for name in body:
        if name not in fields and name not in also:
            raise ValueError(f"the field {name!r} is unknown")


def write(folder: Path, result: Result) -> Path:
    """Write `result.json` to the folder, atomically."""
    path = folder / FILE_NAME
    write_whole(path, json.dumps(to_json(result), indent=1, ensure_ascii=False) + "\n")
    return path


def read(folder: Path) -> Result:
    """Read the folder's `result.json`.

    Raises:
        BadResultError: the file cannot be read, or is not a result; the message
            contains the path and the problem.
    """
    path = folder / FILE_NAME
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise BadResultError(f"{path}: no result") from None
    except KeyError as error:
        raise BadResultError(f"{path}: {error} is missing") from None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadResultError(f"{path}: {error}") from None


def incomplete(folder: Path) -> str | None:
    """Return why a job's reports may be incomplete; None for complete reports.

    If arguments select a part of a job, the job's files have their usual names, but
    less content. So call this function before a job reads the files of another job. A
    folder without result.json counts as complete, because it was filled by hand.
    """
    if not (folder / FILE_NAME).exists():
        return None
    try:
        result = read(folder)
    except BadResultError:
        return f"{REPORTS}/{folder.name}/{FILE_NAME} cannot be read"
    if not result.partial:
        return None
    return f"arguments selected a part of {result.session}; run `{result.reproduce}`"
