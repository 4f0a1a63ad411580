"""Tests the annotations in GitHub's log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lake_ci.model.results import CheckResult, Finding, Status
from lake_ci.report.annotations import command, commands, log
from testing.unit.lake_ci.report import samples

ERROR = Finding("mypy", "arg-type", "wrong type", "utils/a.py", 7)


def test_a_finding_marks_its_line(tmp_path: Path) -> None:
    overview = samples.overview_of(tmp_path, lint=[samples.failed("mypy", ERROR)])
    assert commands(overview) == [
        "::error file=utils/a.py,line=7,title=lint%2C mypy%3A arg-type::wrong type"
    ]


def test_properties_and_messages_are_escaped() -> None:
    text = command(
        "error", "100 %,\r\na: b\n::error::x", file="a,b:c%.py", line=None, title="x\ny"
    )
    properties = "file=a%2Cb%3Ac%25.py,title=x%0Ay"
    assert text == f"::error {properties}::100 %25,%0Aa: b%0A⟨::⟩error::x"
    assert command("notice", "plain") == "::notice::plain"
    assert "\n" not in command("error", samples.HOSTILE, title=samples.HOSTILE)
    assert "\r" not in command("error", "a\rb", title="a\rb")


def test_what_is_no_error_is_a_warning_and_what_passed_says_nothing(
    tmp_path: Path,
) -> None:
    remark = replace(ERROR, severity="warning")
    overview = samples.overview_of(
        tmp_path,
        lint=[
            samples.failed("mypy", remark),
            CheckResult("flake8", Status.WARNING, findings=(ERROR,)),
        ],
        security=[CheckResult("bandit", Status.SUCCESS, findings=(ERROR,))],
        docker=[
            CheckResult(
                "build",
                Status.WARNING,
                detail="no engine",
                not_checked="no image was built",
            )
        ],
    )
    assert [line.partition("::")[2][:7] for line in commands(overview)] == [
        "warning"
    ] * 3
    assert (
        commands(overview)[-1]
        == "::warning title=docker%2C build::not checked: no image was built"
    )


def test_failure_without_a_finding_is_an_error_too(tmp_path: Path) -> None:
    samples.overview_of(
        tmp_path, docker=[CheckResult("build", Status.FAILURE, detail="no luck")]
    )
    (tmp_path / "reports" / "lint" / "result.json").unlink()
    overview = samples.collect(tmp_path)
    assert commands(overview) == [
        f"::error title=lint::{overview.sessions[0].why}",
        "::error title=docker::build: no luck",
    ]


def test_what_is_over_githubs_cap_is_counted_in_one_notice(tmp_path: Path) -> None:
    errors = [replace(ERROR, line=number) for number in range(1, 26)]
    warnings = [replace(each, severity="warning") for each in errors[:11]]
    overview = samples.overview_of(
        tmp_path, lint=[samples.failed("mypy", *errors, *warnings)]
    )
    lines = commands(overview)
    assert [
        sum(line.startswith(f"::{kind} ") for line in lines)
        for kind in ("error", "warning", "notice")
    ] == [10, 10, 1]
    assert (
        lines[-1]
        == "::notice title=Not shown here::15 more errors and 1 more warning, in"
        " reports/index.html"
    )


def test_failures_stand_outside_the_group_and_tools_cannot_give_commands(
    tmp_path: Path,
) -> None:
    bad = Finding(
        "tool",
        "rule",
        "first\n::error::owned\n::endgroup::\n::stop-commands::x\n::token::",
        "a.py",
        1,
    )
    overview = samples.overview_of(tmp_path, docker=[samples.failed("build", bad)])
    lines = log(overview, "a-word-nobody-knows").splitlines()
    assert lines[:2] == [
        "::group::13 sessions without a failure",
        "::stop-commands::a-word-nobody-knows",
    ]
    end = lines.index("::endgroup::")
    assert lines[end - 1] == "::a-word-nobody-knows::"
    assert "lint" in lines[2]
    failures = lines[end + 1 :]
    assert failures[0] == "::stop-commands::a-word-nobody-knows"
    assert "docker" in failures[1]
    stop = failures.index("::a-word-nobody-knows::")
    assert any("rerun: nox -s docker" in line for line in failures[:stop])
    assert [line[:8] for line in failures[stop + 1 :]] == ["::error "]


def test_a_session_without_a_result_is_in_the_log(tmp_path: Path) -> None:
    overview = samples.collect(tmp_path)
    lines = log(overview, "word").splitlines()
    why = overview.sessions[0].why
    assert f"❌ lint: {why}" in lines[lines.index("::endgroup::") :]


def test_a_good_run_has_nothing_outside_the_group(tmp_path: Path) -> None:
    lines = log(samples.overview_of(tmp_path), "word").splitlines()
    assert lines[0].startswith("::group::14 ") and lines[-1] == "::endgroup::"


def test_a_run_in_which_all_failed_has_no_group(tmp_path: Path) -> None:
    overview = samples.collect(tmp_path)
    why = overview.sessions[0].why
    lines = log(replace(overview, nodes=overview.nodes[:1]), "word").splitlines()
    assert lines == [
        "::stop-commands::word",
        f"❌ lint: {why}",
        "::word::",
        f"::error title=lint::{why}",
    ]
