"""A scanner's report is written only if it is complete, and contains no secrets.
Messages never contain the scanner's output.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lake_ci.checks.security.accepted_risks import Register
from lake_ci.checks.security.sarif import SecurityFinding
from lake_ci.checks.security.scanner import Scanner, masked, minimal_env
from lake_ci.model.results import Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed


class Sniffer(Scanner):
    """A scanner."""

    name = "sniffer"
    report = "sniffer.json"

    def looked_at(self, document: Any) -> str:
        return f"{document['files']} files"

    def security_findings(
        self, document: Any, ctx: CheckContext
    ) -> Iterator[SecurityFinding]:
        for row in document["found"]:
            yield SecurityFinding(
                self.name, "smell", "it smells", row["file"], row["line"], "high"
            )

    def clean(self, document: Any) -> Any:
        for row in document["found"]:
            del row["code"]
        return document


@pytest.fixture
def sniffer(root: Path) -> Sniffer:
    (root / "pyproject.toml").write_text('[tool.lake_ci.security]\nfail_on = "low"\n')
    return Sniffer(Register(root, date(2026, 3, 1)))


FOUND = json.dumps(
    {"files": 2, "found": [{"file": "a.py", "line": 3, "code": "hunter2"}]}
)


def test_findings_are_a_failure_and_the_report_is_clean(
    sniffer: Sniffer, ctx: CheckContext
) -> None:
    outcome = sniffer.outcome(Completed(("sniff",), 1, FOUND, "", 0.1), ctx)
    assert (outcome.status, outcome.detail) == (Status.FAILURE, "1 finding in 2 files")
    assert [each.place for each in outcome.findings] == ["a.py:3"]
    report = json.loads((ctx.reports / "sniffer.json").read_text())
    assert report == {"files": 2, "found": [{"file": "a.py", "line": 3}]}


@pytest.mark.parametrize(
    ("done", "rule", "words"),
    [
        (
            Completed(("sniff",), 7, "", "no nose", 0.1),
            "crash",
            "7\nno nose",
        ),
        (Completed(("sniff",), -9, FOUND, "", 0.1), "crash", " 9"),
        (
            Completed(("sniff",), 0, FOUND[:60], "broken pipe", 0.1),
            "crash",
            "broken pipe",
        ),
        (Completed(("sniff",), 0, FOUND[:60], "", 0.1), "crash", '"file": "…"'),
        (Completed(("sniff",), 0, "{}", "", 0.1), "crash", "'files'"),
        (
            Completed(("sniff",), 1, '{"files": 2, "found": []}', "", 0.1),
            "crash",
            " 1",
        ),
        (
            Completed(("sniff",), -15, FOUND[:60], "at file 9", 3.0, "timeout"),
            "timeout",
            "at file 9",
        ),
    ],
    ids=[
        "code",
        "signal",
        "half",
        "half-without-errors",
        "shape",
        "code-without-findings",
        "timeout",
    ],
)
def test_unreadable_document_fails_with_last_lines_and_no_report(
    sniffer: Sniffer, ctx: CheckContext, done: Completed, rule: str, words: str
) -> None:
    outcome = sniffer.outcome(done, ctx)
    assert outcome.status is Status.FAILURE
    [found] = outcome.findings
    assert found.rule == rule
    assert words in found.message
    assert "hunter2" not in found.message
    assert list(ctx.reports.iterdir()) == []
    assert sniffer.register.unfinished(["sniffer"]) == ["sniffer"]


def test_a_scanner_is_told_nothing_that_could_be_a_credential(
    ctx: CheckContext,
) -> None:
    ctx.env |= {
        "DATABRICKS_TOKEN": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "HTTPS_PROXY": "http://me:x@proxy",
        "LANG": "C",
    }
    env = minimal_env(ctx)
    assert set(env) == {"PATH", "LANG", "HOME"}
    assert Path(env["HOME"]).is_dir()


def test_values_are_masked_in_json_alone() -> None:
    assert (
        masked('{"code": "password = \\"x\\"", "lines": ["a", "b')
        == '{"code": "…", "lines": ["…", "…"'
    )
    assert masked("error: no such option") == "error: no such option"
