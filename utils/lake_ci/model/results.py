"""Defines findings, checks and results; reads and writes result.json."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import asdict, dataclass, field
from dataclasses import fields as dataclass_fields
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
        """The status as a word, for a terminal that cannot print the symbol."""
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
        not_checked: the reason why a part of the work was not checked: a warning, or in
            strict mode a failure.
        data: other values as JSON, which reports may show.
        seconds: the duration, if another program measured it.
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
        """Return a failure with these findings; without findings, a success.

        The detail of the success is `clean`.
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
    """A named row of a job's result. `seconds` is wall time.

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
        """Return the row for an outcome.

        In strict mode an incomplete check is a failure.
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
    """The result of one variant of a job, as DESIGN defines `result.json`.

    `reused` is set if the result comes from the cache: `run` is the earlier run that
    had the result, and `since` the time of its end (UTC). `started` and `seconds` are
    then also of the earlier run.

    Attributes:
        seconds: wall time, without `waited_seconds`.
        processor_seconds: user and system time of the session's processes, without
            those of a container engine. None if this was not measured.
        waited_seconds: how long the session waited for a lock or until the machine was
            prepared. None if this was not measured.
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
        """The worst status of the checks; an interrupted job is a failure."""
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
        """Return `as of 2026-01-31 02:00 UTC, run 0123456789ab` for a reused result.

        For a result of this run, return an empty text.
        """
        return as_of(self.reused["run"], self.reused["since"]) if self.reused else ""


def is_seconds(value: object) -> bool:
    """Return whether a value read from a file is a finite number of at least 0."""
    return isinstance(value, (int, float)) and math.isfinite(value) and value >= 0


def as_of(run: str, since: str) -> str:
    """Return the origin of a cached result, `as of 2026-01-31 02:00 UTC, run 0123`."""
    return f"as of {since[:16].replace('T', ' ')} UTC, run {run}"


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 finding`, `2 findings`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def to_json(result: Result) -> dict[str, Any]:
    """Return the result as the object of `result.json`."""
    body = asdict(result)
    body["status"] = result.status.value
    for check in body["checks"]:
        check["status"] = check["status"].value
    return {"schema": SCHEMA, **body}


def from_json(body: Mapping[str, Any]) -> Result:
    """Return the result from an object of `result.json`.

    Raises:
        KeyError: a field is missing.
        TypeError: it is not an object.
        ValueError: a field has another type or an impossible value.
    """
    # Imported here, because the tests of manifests and images use this module in
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
        raise ValueError("reused has other fields than run and since")
    seconds = [result.seconds, *(check.seconds for check in result.checks)]
    seconds += filter(None, [result.processor_seconds, result.waited_seconds])
    if not all(map(is_seconds, seconds)):
        raise ValueError("a number of seconds is negative or not finite")
    try:
        datetime.strptime(result.started, TIME_FORMAT) + timedelta(0, result.seconds)
    except OverflowError:
        raise ValueError("it ended after the year 9999") from None
    return result


def _refuse_other_fields(
    body: Mapping[str, Any], kind: type, also: Set[str] = frozenset()
) -> None:
    """Raise KeyError for a missing field, and ValueError for an unknown one."""
    fields = [each.name for each in dataclass_fields(kind)]
    for name in fields:
        if name not in body:
            raise KeyError(name)
    for name in body:
        if name not in fields and name not in also:
            raise ValueError(f"the field {name!r} is unknown")


def write(folder: Path, result: Result) -> Path:
    """Write `result.json` into the folder atomically."""
    path = folder / FILE_NAME
    write_whole(path, json.dumps(to_json(result), indent=1, ensure_ascii=False) + "\n")
    return path


def read(folder: Path) -> Result:
    """Read the folder's `result.json`.

    Raises:
        BadResultError: the file cannot be read; the message contains its path and the
            problem.
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
    """Return why a job's folder may contain the files of a partial run, or None.

    A run with arguments that select a part of a job writes files with the usual names
    and less content. Call this function before a job reads files of another job. If a
    folder has no result, a person added its files, and they may be used.
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
