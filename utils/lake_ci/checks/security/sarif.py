"""What the scanners object to as one list, and that list as SARIF for GitHub's code
scanning.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from lake_ci.model.results import Finding

# Rising; the score is what GitHub sorts its alerts by.
SEVERITIES = {
    "low": ("note", "3.0"),
    "medium": ("warning", "5.5"),
    "high": ("error", "8.0"),
}
# Narrower classes that another scanner knows by the wider one's number: a password in
# the code is a secret in the code.
SAME_CLASS = {"CWE-259": "CWE-798"}


@dataclass(frozen=True)
class Weakness:
    """What a scanner objects to.

    Attributes:
        tool: the scanner.
        rule: its name for the kind of weakness, `B602`, or of the advisory,
            `PYSEC-2018-28`.
        message: what is wrong and what to do; it never holds the secret that was found.
        file: relative to the repository.
        line: from 1.
        severity: a key of `SEVERITIES`.
        cwe: the class of weakness, `CWE-78`, by which scanners agree; None where it has
            none.
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
        """The name that exceptions and SARIF know it by: `bandit/B602`."""
        return f"{self.tool}/{self.rule}"

    def at_least(self, severity: str) -> bool:
        """Whether it is as severe as that, or more."""
        ranks = list(SEVERITIES)
        return ranks.index(self.severity) >= ranks.index(severity)

    def finding(self, *, fails: bool) -> Finding:
        """The same as a row's finding."""
        message = f"{self.message} ({self.severity})"
        return Finding(
            self.tool,
            self.rule,
            message,
            self.file,
            self.line,
            "error" if fails else "warning",
        )


def merged(weaknesses: Iterable[Weakness]) -> list[Weakness]:
    """One list by file and line, in which no weakness of a line stands twice.

    Two scanners mean the same where class, file and line are the same: the more severe
    is kept, and names the other.
    """
    ranks = list(SEVERITIES)
    kept: dict[tuple[str, int, str], Weakness] = {}
    others: dict[tuple[str, int, str], list[str]] = {}
    for each in sorted(
        weaknesses,
        key=lambda one: (one.file, one.line, -ranks.index(one.severity), one.id),
    ):
        kind = SAME_CLASS.get(each.cwe, each.cwe) if each.cwe else each.id
        place = (each.file, each.line, kind)
        first = kept.setdefault(place, each)
        if each.id not in (first.id, *others.get(place, ())):
            others.setdefault(place, []).append(each.id)
    return [
        (
            replace(each, message=f"{each.message} (also {', '.join(others[place])})")
            if place in others
            else each
        )
        for place, each in kept.items()
    ]


def document(weaknesses: list[Weakness]) -> dict[str, Any]:
    """A SARIF 2.1.0 log of one run."""
    first = {each.id: each for each in reversed(weaknesses)}
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
        for each in weaknesses
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


def text(weaknesses: list[Weakness]) -> str:
    """The log as it is written."""
    return json.dumps(document(weaknesses), indent=1) + "\n"


def _rule(each: Weakness) -> dict[str, Any]:
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
    """A relative path as a relative reference: what is not plain in a URI, as its bytes
    in hexadecimal.
    """
    return quote(file)
