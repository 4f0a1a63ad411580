"""What was accepted beforehand, in security/exceptions.toml, and what the scanners of a
run found beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import nox.project

from lake_ci.checks.security.sarif import SEVERITIES, Weakness, merged
from lake_ci.errors import UsageError
from lake_ci.model.results import Finding, Outcome, Status, count
from lake_ci.runner.check import Tool, Workbench
from lake_ci.system.pyproject import settings

FILE = "security/exceptions.toml"
KEYS = {"id": str, "reason": str, "owner": str, "expires": date}
# Whoever accepts a weakness looks at it again within a year.
LONGEST_DAYS = 366


@dataclass(frozen=True)
class Accepted:
    """One exception: a weakness by its id, in one file or in all, until a date."""

    id: str
    reason: str
    owner: str
    expires: date
    line: int
    file: str | None = None

    @property
    def tool(self) -> str:
        return self.id.partition("/")[0]

    def covers(self, weakness: Weakness) -> bool:
        """Whether the weakness is the one that was accepted."""
        return self.id == weakness.id and self.file in (None, weakness.file)


class Register:
    """What the scanners of one run found, settled by the project's failing level and
    its exceptions.

    Args:
        root: the repository.
        today: the day that the exceptions' expiry is held against.

    Raises:
        UsageError: pyproject.toml has no failing level, or one that is none.
    """

    def __init__(self, root: Path, today: date) -> None:
        self.settings = settings(root, "security")
        self.fail_on: str = self.settings.get("fail_on", "")
        if self.fail_on not in SEVERITIES:
            levels = ", ".join(SEVERITIES)
            raise UsageError(
                f"pyproject.toml: [tool.lake_ci.security] fail_on is {self.fail_on!r},"
                f" not one of {levels}"
            )
        self.accepted, self.problems = read(root, today)
        self._found: dict[str, list[Weakness]] = {}
        self._used: set[Accepted] = set()

    def settle(self, tool: str, found: Iterable[Weakness], clean: str) -> Outcome:
        """Take in all that a scanner found, and say how its row ends; `clean` is what
        it looked at.
        """
        left = []
        excused = 0
        for weakness in merged(found):
            covering = [each for each in self.accepted if each.covers(weakness)]
            self._used.update(covering)
            excused += bool(covering)
            if not covering:
                left.append(weakness)
        self._found[tool] = left
        detail = clean + (f", {excused} accepted" if excused else "")
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
        """Which of these scanners have not said all they had to say."""
        return [tool for tool in tools if tool not in self._found]

    def weaknesses(self) -> list[Weakness]:
        """The one list of what all scanners found, without what was accepted."""
        return merged(weakness for found in self._found.values() for weakness in found)

    def unused(self) -> list[Accepted]:
        """The exceptions that cover nothing, of scanners that looked."""
        return [
            each
            for each in self.accepted
            if each.tool in self._found and each not in self._used
        ]


def read(root: Path, today: date) -> tuple[list[Accepted], list[Finding]]:
    """The exceptions that hold, and what is wrong with the others; one that has expired
    holds no more.
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
        _problem("unknown", f"{key!r} is not known here", 1)
        for key in sorted(set(body) - {"exception"})
    ]
    if len(heads) != len(rows):
        return [], [
            _problem(
                "unreadable",
                "each exception stands under a line [[exception]] of its own",
                1,
            )
        ]
    accepted = []
    for row, line in zip(rows, heads):
        wrong = objection(row, today)
        if wrong is None:
            accepted.append(Accepted(line=line, **row))
        else:
            problems.append(_problem(*wrong, line))
    return accepted, problems


def objection(row: Mapping[str, Any], today: date) -> tuple[str, str] | None:
    """What is wrong with an exception, as rule and message; None where it holds."""
    name = str(row.get("id", "an exception"))
    for key, kind in KEYS.items():
        if type(row.get(key)) is not kind or not str(row[key]).strip():
            return (
                "incomplete",
                (
                    f"{name} has no {key}:"
                    " id, reason, owner and expires (a date) are asked of each"
                ),
            )
    unknown = sorted(set(row) - {*KEYS, "file"})
    if unknown:
        return "incomplete", f"{name}: {unknown[0]!r} is not known here"
    if row["expires"] < today:
        hint = f"mend it, or have the owner ({row['owner']}) decide again"
        return (
            "expired",
            f"the exception for {name} expired on {row['expires']}; {hint}",
        )
    if (row["expires"] - today).days > LONGEST_DAYS:
        return (
            "too-long",
            (
                f"the exception for {name} lasts until {row['expires']};"
                " a year is the most"
            ),
        )
    return None


def _problem(rule: str, message: str, line: int) -> Finding:
    return Finding(Exceptions.name, rule, message, FILE, line)


class Exceptions(Tool):
    """Each exception has its reason, owner and date, none has expired, and each is
    still needed.
    """

    name = "exceptions"
    # After the scanners: which exception is used is known only then.
    alone = True

    def __init__(self, register: Register) -> None:
        self.register = register

    def run(self, bench: Workbench) -> Outcome:
        found = list(self.register.problems)
        for each in self.register.unused():
            place = f" in {each.file}" if each.file else ""
            message = (
                f"the exception for {each.id}{place} covers nothing any more; delete it"
            )
            found.append(_problem("unused", message, each.line))
        return Outcome.of(
            sorted(found, key=lambda each: each.line or 0),
            clean=count(len(self.register.accepted), "exception"),
        )
