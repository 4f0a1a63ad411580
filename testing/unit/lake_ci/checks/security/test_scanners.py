"""Tests the parsers of the output that bandit, semgrep and kingfisher print for faulty
files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lake_ci.checks.security.accepted_risks import Register
from lake_ci.checks.security.sarif import SecurityFinding
from lake_ci.checks.security.scanners import Bandit, Rules, Sarif, Secrets, Semgrep
from lake_ci.model.results import Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed

Answering = Callable[..., list[list[str]]]
BANDIT = {
    "errors": [
        {
            "filename": "./utils/b.py",
            "reason": "syntax error while parsing AST from file",
        }
    ],
    "metrics": {"_totals": {}, "./utils/a.py": {}, "utils/b.py": {}},
    "results": [
        {
            "code": "3 password = 'hunter2'\n",
            "filename": "utils/a.py",
            "issue_cwe": {"id": 259, "link": ""},
            "issue_severity": "LOW",
            "issue_text": "Possible hardcoded password: 'hunter2'",
            "line_number": 3,
            "more_info": "https://bandit.example",
            "test_id": "B105",
        }
    ],
}
SEMGREP = {
    "errors": [
        {
            "type": ["PartialParsing", []],
            "path": "utils/b.py",
            "spans": [{"start": {"line": 4}}],
        }
    ],
    "paths": {"scanned": ["utils/a.py", "utils/b.py"]},
    "results": [
        {
            "check_id": "security.rules.sql-from-text",
            "path": "utils/a.py",
            "start": {"line": 7},
            "extra": {
                "message": "Give values as parameters.",
                "metadata": {"cwe": "CWE-89"},
                "severity": "ERROR",
                "lines": "hunter2",
                "metavars": {"$X": {"abstract_content": "hunter2"}},
            },
        }
    ],
}
KINGFISHER = {
    "findings": [
        {
            "rule": {"id": "betterleaks.github-pat", "name": "github-pat"},
            "finding": {
                "snippet": "hunter2",
                "fingerprint": "37",
                "confidence": "high",
                "line": 2,
                "path": "c.md",
            },
        }
    ],
    "audit": {
        "repository": "/home/me",
        "summary": {"discovered": 3, "scan_succeeded": 3},
    },
    "metadata": {"command_line_args": ["scan"], "summary": {"blobs_scanned": 3}},
}
PROJECT = '[tool.lake_ci.security]\nfail_on = "low"\nbandit = ["utils"]\n'
RULE = 'rules:\n  - id: shell\n    languages: [python]\n    message: ""\n'
TEST = "# ruleid: shell\nos.system(x)\n# ok: shell\nprint(x)\n"


@pytest.fixture
def register(root: Path) -> Register:
    (root / "pyproject.toml").write_text(PROJECT)
    (root / "utils").mkdir()
    for name in ("utils/a.py", "utils/b.py", "c.md"):
        (root / name).write_text(f"# {name}\n")
    return Register(root, date(2026, 3, 1))


def printed(document: Any, code: int = 1, more: str = "") -> Completed:
    return Completed(("scanner",), code, json.dumps(document) + more, "", 0.1)


def test_bandit_names_the_weakness_and_not_the_password(
    register: Register, ctx: CheckContext, answering: Answering
) -> None:
    calls = answering(printed(BANDIT))
    outcome = Bandit(register).run(ctx)
    assert "--ignore-nosec" in calls[0]
    assert calls[0][-2:] == ["utils/a.py", "utils/b.py"]
    found = [(each.rule, each.place) for each in outcome.findings]
    assert found == [("B105", "utils/a.py:3"), ("unparsed", "utils/b.py:1")]
    assert outcome.detail == "2 findings in 2 files, 2 changed"
    assert "hunter2" not in (ctx.reports / "bandit.json").read_text() + str(outcome)


def test_semgrep_names_the_rule_and_not_the_code(
    register: Register, ctx: CheckContext, answering: Answering
) -> None:
    calls = answering(printed(SEMGREP, 0))
    outcome = Semgrep(register).run(ctx)
    assert "--disable-nosem" in calls[0]
    found = [(each.rule, each.place) for each in outcome.findings]
    assert found == [("sql-from-text", "utils/a.py:7"), ("unparsed", "utils/b.py:4")]
    assert "hunter2" not in (ctx.reports / "semgrep.json").read_text() + str(outcome)


def test_a_secret_is_named_by_place_alone(
    register: Register, ctx: CheckContext, answering: Answering
) -> None:
    (ctx.root / "utils" / "ignored.env").write_text("")
    hatch = '[tool.hatch.build.targets.wheel]\npackages = ["utils"]\n'
    (ctx.root / "pyproject.toml").write_text(PROJECT + hatch)
    (ctx.root / ".gitignore").write_text("*.env\n")
    # This output consists of two JSON documents.
    calls = answering(printed(KINGFISHER, 200, '\n{"findings": 1}\n'))
    outcome = Secrets(register).run(ctx)
    assert "--redact" in calls[0] and "--no-validate" in calls[0]
    assert "--rules-path=security/secrets" in calls[0]
    assert "utils/ignored.env" in calls[0]
    assert [(each.rule, each.place) for each in outcome.findings] == [
        ("github-pat", "c.md:2")
    ]
    report = (ctx.reports / "secrets.json").read_text()
    assert "hunter2" not in report + str(outcome) and "/home/me" not in report


@pytest.mark.parametrize(
    ("scanner", "document"),
    [
        (Bandit, {**BANDIT, "metrics": {"_totals": {}}}),
        (Semgrep, {**SEMGREP, "results": [], "paths": {"scanned": []}}),
        (Secrets, {**KINGFISHER, "metadata": {"summary": {"blobs_scanned": 0}}}),
        (
            Secrets,
            {
                **KINGFISHER,
                "audit": {"summary": {"discovered": 3, "scan_succeeded": 2}},
            },
        ),
    ],
    ids=["bandit", "semgrep", "secrets", "not all secrets"],
)
def test_a_scanner_that_looked_at_nothing_fails(
    register: Register,
    ctx: CheckContext,
    answering: Answering,
    scanner: type[Bandit | Semgrep | Secrets],
    document: Any,
) -> None:
    answering(printed(document, 0))
    outcome = scanner(register).run(ctx)
    assert outcome.status is Status.FAILURE
    assert re.search(
        "no file was scanned|not scanned: utils/a.py|only 2 of 3",
        outcome.findings[0].message,
    )
    assert not list(ctx.reports.iterdir())


@pytest.fixture
def rule(ctx: CheckContext) -> Path:
    folder = ctx.root / "security" / "rules"
    folder.mkdir(parents=True)
    (folder / "shell.py").write_text(TEST)
    (folder / "shell.yaml").write_text(RULE)
    return folder / "shell.yaml"


def rule_report(
    passed: bool, expected: list[int], reported: list[int]
) -> dict[str, Any]:
    matches = {
        "security/rules/shell.py": {
            "expected_lines": expected,
            "reported_lines": reported,
        }
    }
    checks = {"shell": {"passed": passed, "matches": matches, "errors": []}}
    return {
        "config_with_errors": [],
        "results": {"security/rules/shell.yaml": {"checks": checks}},
    }


def test_rules_that_did_not_change_are_not_tested_again(
    ctx: CheckContext, answering: Answering, rule: Path
) -> None:
    calls = answering(printed(rule_report(True, [2], [2]), 0))
    assert Rules().run(ctx).detail == "1 rule tested"
    assert Rules().run(ctx).detail == "1 rule, none changed"
    rule.write_text(RULE + "    severity: ERROR\n")
    assert Rules().run(ctx).detail == "1 rule tested"
    assert len(calls) == 2


def test_a_rule_that_misses_or_finds_too_much_fails_at_the_line(
    ctx: CheckContext, answering: Answering, rule: Path
) -> None:
    answering(printed(rule_report(False, [2], [4])))
    outcome = Rules().run(ctx)
    assert [(each.rule, each.place) for each in outcome.findings] == [
        ("shell", "security/rules/shell.py:2"),
        ("shell", "security/rules/shell.py:4"),
    ]
    assert Rules().run(ctx).status is Status.FAILURE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TEST.replace("ruleid", "todoruleid"), "`# ruleid: shell`"),
        (TEST.replace("# ok", "# todook"), "`# ok: shell`"),
    ],
    ids=["ruleid", "ok"],
)
def test_a_rule_without_a_test_of_each_kind_fails(
    ctx: CheckContext, rule: Path, text: str, words: str
) -> None:
    rule.with_suffix(".py").write_text(text)
    [found] = Rules().run(ctx).findings
    assert (found.rule, found.place) == ("untested", "security/rules/shell.yaml:1")
    assert words in found.message


def test_a_rule_of_another_name_than_its_file_fails(
    ctx: CheckContext, rule: Path
) -> None:
    rule.write_text(RULE.replace("shell", "bash"))
    assert [each.rule for each in Rules().run(ctx).findings] == ["name"]


def test_no_rule_at_all_fails(ctx: CheckContext) -> None:
    assert Rules().run(ctx).status is Status.FAILURE


def test_the_list_is_written_where_it_is_valid(
    register: Register, ctx: CheckContext, answering: Answering
) -> None:
    register.record(
        "bandit", [SecurityFinding("bandit", "B602", "a shell", "a.py", 3, "high")], ""
    )
    answering(printed({}, 0))
    outcome = Sarif(register, [Bandit(register)]).run(ctx)
    assert (outcome.status, outcome.detail) == (Status.SUCCESS, "1 finding")
    assert (
        json.loads((ctx.reports / "findings.sarif").read_text())["version"] == "2.1.0"
    )


def test_the_list_is_not_written_where_it_is_not_valid(
    register: Register, ctx: CheckContext, answering: Answering
) -> None:
    answering(
        Completed(("check-jsonschema",), 1, "$.runs: 3 is not of type 'array'", "", 0.1)
    )
    outcome = Sarif(register, []).run(ctx)
    assert outcome.status is Status.FAILURE
    assert "is not of type 'array'" in outcome.findings[0].message
    assert list(ctx.reports.iterdir()) == []


def test_a_list_without_one_scanner_is_not_written(
    register: Register, ctx: CheckContext
) -> None:
    register.record("bandit", [], "")
    outcome = Sarif(register, [Bandit(register), Semgrep(register)]).run(ctx)
    assert (outcome.status, outcome.detail) == (
        Status.SKIPPED,
        "not written: semgrep did not finish",
    )
