"""Builds the page's JSON of findings and tests, which is safe to embed in HTML."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lake_ci.model.results import CheckResult, Finding, Status
from lake_ci.report.overview import Overview, Session, TestCase
from lake_ci.report.text import link, shorten, visible

FINDINGS_LIMIT = 50_000
TESTS_LIMIT = 5_000
MESSAGE_LIMIT = 4_000


@dataclass
class Table:
    """Stores each text only once; rows contain the number of a text, not the text."""

    rows: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)

    def number(self, text: str) -> int:
        """Return the number of a text in the table; add the text if it is new."""
        if text not in self.numbers:
            self.numbers[text] = len(self.rows)
            self.rows.append(visible(text))
        return self.numbers[text]


@dataclass(frozen=True)
class PageData:
    """The JSON, the number of its rows, and the number of rows that were left out."""

    json: str
    findings: int
    tests: int
    findings_left_out: int
    tests_left_out: int


def build(overview: Overview, base: str) -> PageData:
    """Build the page's data: the findings and the tests.

    Errors come first, in the order of the graph. All other findings follow, in the
    order of the graph, too. Tests are sorted by duration, slowest first. If there are
    too many tests, passed tests are left out before failed tests.

    Args:
        base: the base URL of the repository's files.
    """
    words, files = Table(), Table()
    found = sorted(
        overview.findings(), key=lambda entry: not _fails(entry[1], entry[2])
    )
    findings = _finding_rows(found[:FINDINGS_LIMIT], words, files)
    tests = [(session, test) for session in overview.sessions for test in session.tests]
    selected = sorted(
        tests, key=lambda entry: (entry[1].outcome != "failed", -entry[1].seconds)
    )[:TESTS_LIMIT]
    rows = [
        _test_row(session, test, words, files)
        for session, test in sorted(selected, key=lambda entry: -entry[1].seconds)
    ]
    body = {
        "words": words.rows,
        "files": [
            [shown, link(base, file)] for file, shown in zip(files.numbers, files.rows)
        ],
        "findings": findings,
        "tests": rows,
    }
    return PageData(
        to_script(body),
        len(findings),
        len(rows),
        len(found) - len(findings),
        len(tests) - len(rows),
    )


def _finding_rows(
    found: Iterable[tuple[Session, CheckResult, Finding]], words: Table, files: Table
) -> list[list[Any]]:
    """Return a row for each finding; add the findings' texts to the tables.

    The first value of a row is the finding's id.
    """
    seen: dict[str, int] = {}
    return [
        [
            finding_id(
                seen,
                session.id,
                check.name,
                each.tool,
                each.rule,
                each.place,
                each.message,
            ),
            words.number(session.id),
            words.number(check.name),
            words.number(each.tool),
            words.number(each.severity),
            words.number(each.rule),
            *_place(each, files),
            visible(shorten(each.message, MESSAGE_LIMIT)),
        ]
        for session, check, each in found
    ]


def _test_row(
    session: Session, test: TestCase, words: Table, files: Table
) -> list[Any]:
    """Return the row of a test; add the test's texts to the tables."""
    return [
        words.number(session.id),
        visible(test.name),
        round(test.seconds, 3),
        words.number(test.outcome),
        *_place(test, files),
        visible(test.output),
    ]


def _place(each: Finding | TestCase, files: Table) -> tuple[int, int]:
    """Return the number of the file's text, or -1; and the line, or 0."""
    return -1 if each.file is None else files.number(each.file), each.line or 0


def _fails(check: CheckResult, found: Finding) -> bool:
    return check.status is Status.FAILURE and found.severity == "error"


def finding_id(seen: dict[str, int], *parts: str) -> str:
    """Return the HTML id of a finding in the page.

    If the next run has the same finding, the finding has the same id.

    Args:
        seen: how often each id has been used. If an id was already used, a number is
            appended to the id.
    """
    text = "\0".join(parts).encode("utf-8", "replace")
    digest = hashlib.sha256(text).hexdigest()[:12]
    seen[digest] = seen.get(digest, 0) + 1
    return f"finding-{digest}" + (f"-{seen[digest]}" if seen[digest] > 1 else "")


def to_script(body: object) -> str:
    """Return JSON that cannot end a `<script>` element.

    The escaped JSON contains the same data for every JSON parser.
    """
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text
