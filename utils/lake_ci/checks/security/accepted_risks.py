"""Reads accepted risks from security/exceptions.toml, and applies them to findings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import nox.project

from lake_ci.checks.security.sarif import SecurityFinding, merged
from lake_ci.model.results import Finding, Outcome, Status, count
from lake_ci.model.settings import read_settings
from lake_ci.runner.check import Check, CheckContext

FILE = "security/exceptions.toml"
KEYS = {"id": str, "reason": str, "owner": str, "expires": date}
# The maximum number of days until an exception expires: one year.
LONGEST_DAYS = 366


@dataclass(frozen=True)
class AcceptedRisk:
    """An exception; until it expires, all findings with this id are accepted."""

    id: str
    reason: str
    owner: str
    expires: date
    line: int
    file: str | None = None

    @property
    def tool(self) -> str:
        return self.id.partition("/")[0]

    def covers(self, finding: SecurityFinding) -> bool:
        """Return whether this accepted risk applies to a finding."""
        return self.id == finding.id and self.file in (None, finding.file)


class Register:
    """Collects the findings of one run, and decides which findings fail the run.

    Args:
        root: the repository.
        today: the date of the run; exceptions that expired before this date are
            invalid.

    Raises:
        UsageError: a setting in pyproject.toml is wrong.
    """

    def __init__(self, root: Path, today: date) -> None:
        self.settings = read_settings(root).security
        self.fail_on = self.settings.fail_on
        self.accepted, self.problems = read_exceptions(root, today)
        self._found: dict[str, list[SecurityFinding]] = {}
        self._used: set[AcceptedRisk] = set()

    def record(
        self, tool: str, found: Iterable[SecurityFinding], clean: str
    ) -> Outcome:
        """Record a scanner's findings, and return the outcome of the scanner's row.

        Args:
            clean: a text about what was scanned, such as `12 files`.
        """
        left = []
        accepted = 0
        for finding in merged(found):
            covering = [each for each in self.accepted if each.covers(finding)]
            self._used.update(covering)
            accepted += bool(covering)
            if not covering:
                left.append(finding)
        self._found[tool] = left
        detail = clean + (f", {accepted} accepted" if accepted else "")
        if not left:
            return Outcome(Status.SUCCESS, detail)
        failing = sum(each.at_least(self.fail_on) for each in left)
        findings = tuple(
            each.finding(fails=each.at_least(self.fail_on)) for each in left
        )
        if failing:
            return Outcome(
                Status.FAILURE, f"{count(len(left), 'finding')} in {detail}", findings
            )
        return Outcome(
            Status.WARNING,
            f"{count(len(left), 'finding')} below {self.fail_on} in {detail}",
            findings,
        )

    def unfinished(self, tools: Iterable[str]) -> list[str]:
        """Return the names of the scanners that have not completed yet."""
        return [tool for tool in tools if tool not in self._found]

    def security_findings(self) -> list[SecurityFinding]:
        """Return the merged findings of all scanners, except accepted findings."""
        return merged(finding for found in self._found.values() for finding in found)

    def unused(self) -> list[AcceptedRisk]:
        """Return the unused exceptions, but only for scanners that have completed."""
        return [
            each
            for each in self.accepted
            if each.tool in self._found and each not in self._used
        ]


def read_exceptions(
    root: Path, today: date
) -> tuple[list[AcceptedRisk], list[Finding]]:
    """Return the valid exceptions, and a finding for each invalid exception.

    The exceptions are read from security/exceptions.toml.
    """
    path = root / FILE
    try:
        body = nox.project.load_toml(path)
    except FileNotFoundError:
        return [], []
    except (OSError, ValueError) as error:
        where = re.search(r"line (\d+)", str(error))
        return [], [
            _problem("unreadable", f"{FILE}: {error}", int(where[1]) if where else 1)
        ]
    lines = path.read_text(encoding="utf-8").splitlines()
    heads = [
        number
        for number, line in enumerate(lines, 1)
        if line.strip() == "[[exception]]"
    ]
    rows = body.get("exception", [])
    problems = [
        _problem("unknown", f"unknown key {key!r}", 1)
        for key in sorted(set(body) - {"exception"})
    ]
    if len(heads) != len(rows):
        return [], [
            _problem(
                "unreadable",
                "write each exception under its own line [[exception]]",
                1,
            )
        ]
    accepted = []
    for row, line in zip(rows, heads):
        wrong = exception_problem(row, today)
        if wrong is None:
            accepted.append(AcceptedRisk(line=line, **row))
        else:
            problems.append(_problem(*wrong, line))
    return accepted, problems


def exception_problem(row: Mapping[str, Any], today: date) -> tuple[str, str] | None:
    """Return the rule and message of an invalid exception; None for a valid one."""
    name = str(row.get("id", "an exception"))
    for key, kind in KEYS.items():
        if type(row.get(key)) is not kind or not str(row[key]).strip():
            return (
                "incomplete",
                (
                    f"{name} has no {key}:"
                    " id, reason, owner and expires (a date) are required"
                ),
            )
    unknown = sorted(set(row) - {*KEYS, "file"})
    if unknown:
        return "incomplete", f"{name}: unknown key {unknown[0]!r}"
    if row["expires"] < today:
        hint = f"fix the finding, or ask {row['owner']} for a new decision"
        return (
            "expired",
            f"the exception for {name} expired on {row['expires']}; {hint}",
        )
    if (row["expires"] - today).days > LONGEST_DAYS:
        return (
            "too-long",
            (
                f"the exception for {name} expires on {row['expires']}; at most one"
                " year is allowed"
            ),
        )
    return None


def _problem(rule: str, message: str, line: int) -> Finding:
    return Finding(AcceptedRisksCheck.name, rule, message, FILE, line)


class AcceptedRisksCheck(Check):
    """Check that each exception is complete and current, and applies to a finding."""

    name = "exceptions"
    # Run after the scanners, because this check must know which exceptions applied.
    exclusive = True

    def __init__(self, register: Register) -> None:
        self.register = register

    def run(self, ctx: CheckContext) -> Outcome:
        found = list(self.register.problems)
        for each in self.register.unused():
            place = f" in {each.file}" if each.file else ""
            message = (
                f"the exception for {each.id}{place} matches no finding; delete it"
            )
            found.append(_problem("unused", message, each.line))
        return Outcome.of(
            sorted(found, key=lambda each: each.line or 0),
            clean=count(len(self.register.accepted), "exception"),
        )
