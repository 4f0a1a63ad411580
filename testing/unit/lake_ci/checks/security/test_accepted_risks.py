"""An accepted risk hides its finding until the accepted risk expires. If the finding no
longer exists, the accepted risk is reported as unused.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from lake_ci.checks.security.accepted_risks import (
    AcceptedRisksCheck,
    Register,
    read_exceptions,
)
from lake_ci.checks.security.sarif import SecurityFinding
from lake_ci.errors import UsageError
from lake_ci.model.results import Status
from lake_ci.runner.check import CheckContext

TODAY = date(2026, 3, 1)
ONE = """\
[[exception]]
id = "bandit/B310"
file = "a.py"
reason = "the address is a constant"
owner = "maintainer"
expires = 2026-09-30
"""


def make_finding(file: str = "a.py", severity: str = "medium") -> SecurityFinding:
    return SecurityFinding("bandit", "B310", "an address", file, 3, severity)


def register(root: Path, text: str = ONE, fail_on: str = "medium") -> Register:
    (root / "pyproject.toml").write_text(
        f'[tool.lake_ci.security]\nfail_on = "{fail_on}"\n'
    )
    (root / "security").mkdir(exist_ok=True)
    (root / "security" / "exceptions.toml").write_text(text)
    return Register(root, TODAY)


def test_what_is_accepted_does_not_fail_and_is_counted(root: Path) -> None:
    outcome = register(root).record("bandit", [make_finding()], "9 files")
    assert (outcome.status, outcome.detail, outcome.findings) == (
        Status.SUCCESS,
        "9 files, 1 accepted",
        (),
    )


def test_the_same_weakness_in_another_file_fails(root: Path) -> None:
    outcome = register(root).record(
        "bandit", [make_finding(), make_finding("b.py")], "9 files"
    )
    assert outcome.status is Status.FAILURE
    assert outcome.detail == "1 finding in 9 files, 1 accepted"
    assert [each.place for each in outcome.findings] == ["b.py:3"]


def test_an_exception_without_a_file_holds_everywhere(root: Path) -> None:
    outcome = register(root, ONE.replace('file = "a.py"\n', "")).record(
        "bandit", [make_finding("b.py")], ""
    )
    assert outcome.status is Status.SUCCESS


def test_what_is_below_the_failing_level_is_a_remark(root: Path) -> None:
    outcome = register(root, "", "high").record("bandit", [make_finding()], "9 files")
    assert (outcome.status, outcome.not_checked) == (Status.WARNING, None)
    assert outcome.detail == "1 finding below high in 9 files"
    assert [each.severity for each in outcome.findings] == ["warning"]


def test_a_failing_level_that_is_none_is_refused(root: Path) -> None:
    with pytest.raises(UsageError, match="'severe'; there are: low, medium, high"):
        register(root, fail_on="severe")


def test_the_list_of_all_scanners_lacks_what_was_accepted(root: Path) -> None:
    entries = register(root)
    entries.record("bandit", [make_finding(), make_finding("b.py")], "")
    assert [each.file for each in entries.security_findings()] == ["b.py"]
    assert entries.unfinished(["bandit", "semgrep"]) == ["semgrep"]


def test_an_exception_that_is_used_passes(root: Path, ctx: CheckContext) -> None:
    entries = register(root)
    entries.record("bandit", [make_finding()], "")
    outcome = AcceptedRisksCheck(entries).run(ctx)
    assert (outcome.status, outcome.detail) == (Status.SUCCESS, "1 exception")


def test_an_exception_that_covers_nothing_fails_at_its_line(
    root: Path, ctx: CheckContext
) -> None:
    entries = register(root, "# a remark\n" + ONE)
    entries.record("bandit", [], "")
    [found] = AcceptedRisksCheck(entries).run(ctx).findings
    assert (found.rule, found.place) == ("unused", "security/exceptions.toml:2")
    assert "bandit/B310 in a.py matches no finding" in found.message


def test_of_a_scanner_that_did_not_finish_no_exception_is_unused(
    root: Path, ctx: CheckContext
) -> None:
    assert AcceptedRisksCheck(register(root)).run(ctx).status is Status.SUCCESS


@pytest.mark.parametrize(
    ("old", "new", "rule", "words"),
    [
        ("2026-09-30", "2026-02-28", "expired", "expired on 2026-02-28"),
        ("2026-09-30", "2029-01-01", "too-long", "at most one year"),
        ("2026-09-30", '"2026-09-30"', "incomplete", "has no expires"),
        ('reason = "the address is a constant"\n', "", "incomplete", "has no reason"),
        ('"the address is a constant"', '" "', "incomplete", "has no reason"),
        ('owner = "maintainer"\n', "", "incomplete", "has no owner"),
        ("owner =", "onwer = 'x'\nowner =", "incomplete", "unknown key 'onwer'"),
        ("[[exception]]", "[[exceptoin]]", "unknown", "unknown key 'exceptoin'"),
        ("2026-09-30", "soon", "unreadable", "line 6"),
    ],
    ids=[
        "expired",
        "too-long",
        "date",
        "reason",
        "blank",
        "owner",
        "key",
        "table",
        "toml",
    ],
)
def test_a_wrong_exception_fails_and_holds_no_more(
    root: Path, ctx: CheckContext, old: str, new: str, rule: str, words: str
) -> None:
    entries = register(root, ONE.replace(old, new))
    assert entries.record("bandit", [make_finding()], "").status is Status.FAILURE
    [found] = AcceptedRisksCheck(entries).run(ctx).findings
    assert (found.rule, found.file) == (rule, "security/exceptions.toml")
    assert words in found.message


def test_without_a_file_nothing_is_accepted(tmp_path: Path) -> None:
    assert read_exceptions(tmp_path, TODAY) == ([], [])
