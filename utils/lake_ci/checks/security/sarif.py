"""Merges the findings of all scanners, and writes SARIF for GitHub."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from lake_ci.model.results import Finding

# The severities in rising order, with SARIF's levels, and the scores by which GitHub
# sorts its alerts.
SEVERITIES = {
    "low": ("note", "3.0"),
    "medium": ("warning", "5.5"),
    "high": ("error", "8.0"),
}
# For a narrow class, the wider class that another scanner uses: a password in the code
# is also a secret in the code.
SAME_CLASS = {"CWE-259": "CWE-798"}


@dataclass(frozen=True)
class SecurityFinding:
    """A finding of a security scanner.

    Attributes:
        tool: the scanner.
        rule: the scanner's name for the rule (`B602`) or for the advisory
            (`PYSEC-2018-28`).
        message: the problem and how to fix it. The message never contains a secret.
        file: the path relative to the repository.
        line: the line number, counted from 1.
        severity: a key of `SEVERITIES`.
        cwe: the class of the weakness, such as `CWE-78`, or None. All scanners use the
            same classes.
    """

    tool: str
    rule: str
    message: str
    file: str
    line: int
    severity: str
    cwe: str | None = None

    @property
    def id(self) -> str:
        """The finding's id in exceptions and in SARIF, such as `bandit/B602`."""
        return f"{self.tool}/{self.rule}"

    def at_least(self, severity: str) -> bool:
        """Return whether the finding has at least this severity."""
        ranks = list(SEVERITIES)
        return ranks.index(self.severity) >= ranks.index(severity)

    def finding(self, *, fails: bool) -> Finding:
        """Convert this object to a finding in the scanner's row of the report."""
        message = f"{self.message} ({self.severity})"
        return Finding(
            self.tool,
            self.rule,
            message,
            self.file,
            self.line,
            "error" if fails else "warning",
        )


def merged(security_findings: Iterable[SecurityFinding]) -> list[SecurityFinding]:
    """Return the findings sorted by file and line, without duplicates.

    Findings of the same class, file and line are duplicates. If findings are
    duplicates, only the most severe one is returned. The message of the returned
    finding lists its duplicates.
    """
    ranks = list(SEVERITIES)
    unique: dict[tuple[str, int, str], SecurityFinding] = {}
    others: dict[tuple[str, int, str], list[str]] = {}
    for each in sorted(
        security_findings,
        key=lambda one: (one.file, one.line, -ranks.index(one.severity), one.id),
    ):
        kind = SAME_CLASS.get(each.cwe, each.cwe) if each.cwe else each.id
        place = (each.file, each.line, kind)
        first = unique.setdefault(place, each)
        if each.id not in (first.id, *others.get(place, ())):
            others.setdefault(place, []).append(each.id)
    return [
        (
            replace(each, message=f"{each.message} (also {', '.join(others[place])})")
            if place in others
            else each
        )
        for place, each in unique.items()
    ]


def document(security_findings: list[SecurityFinding]) -> dict[str, Any]:
    """Return the SARIF 2.1.0 log of one run, as a dictionary."""
    first = {each.id: each for each in reversed(security_findings)}
    ids = sorted(first)
    driver = {"name": "nox -s security", "rules": [_rule(first[id]) for id in ids]}
    results = [
        {
            "ruleId": each.id,
            "ruleIndex": ids.index(each.id),
            "level": SEVERITIES[each.severity][0],
            "message": {"text": each.message},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {
                            "uri": _uri(each.file),
                            "uriBaseId": "%SRCROOT%",
                        },
                        "region": {"startLine": each.line},
                    }
                }
            ],
        }
        for each in security_findings
    ]
    return {
        "$schema": (
            "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas"
            "/sarif-schema-2.1.0.json"
        ),
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "unicodeCodePoints",
                "results": results,
            }
        ],
    }


def text(security_findings: list[SecurityFinding]) -> str:
    """Return the SARIF log of one run as text."""
    return json.dumps(document(security_findings), indent=1) + "\n"


def _rule(each: SecurityFinding) -> dict[str, Any]:
    tags = ["security", *([f"external/cwe/{each.cwe.lower()}"] if each.cwe else [])]
    properties = {"tags": tags, "security-severity": SEVERITIES[each.severity][1]}
    summary = {"text": f"{each.tool}: {each.rule}"}
    return {
        "id": each.id,
        "name": each.rule,
        "shortDescription": summary,
        "properties": properties,
    }


def _uri(file: str) -> str:
    """Return a relative URI for a relative path, with special characters escaped."""
    return quote(file)
