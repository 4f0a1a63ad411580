"""The check with safety chooses a database, reports its age, and finds the lines of
vulnerable packages.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from lake_ci.checks.security import locked_packages, safety as advisories
from lake_ci.checks.security.accepted_risks import Register
from lake_ci.checks.security.safety import Safety, from_folder
from lake_ci.errors import LakeCiError
from lake_ci.model.results import Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed

TODAY = date(2026, 3, 1)
ROW = {
    "vulnerability_id": "PYSEC-2018-28",
    "package_name": "requests",
    "analyzed_version": "2.19.0",
    "vulnerable_spec": ["<=2.19.1"],
    "CVE": "CVE-2018-18074",
    "severity": None,
}
Answer = Callable[[list[str]], Completed]


@pytest.fixture
def project(ctx: CheckContext) -> CheckContext:
    """Return the context of a project that has one lock file."""
    settings = '[tool.lake_ci.security]\nfail_on = "low"\n'
    (ctx.root / "pyproject.toml").write_text(
        f'[project]\nrequires-python = ">=3.9"\n{settings}'
    )
    (ctx.root / "requirements").mkdir()
    (ctx.root / "requirements" / "lint.txt").write_text(
        "# a lock\nrequests==2.19.0\nJinja2==3.1.6\n"
    )
    return ctx


def database(folder: Path, day: date = TODAY) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "insecure_full.json").write_text(
        json.dumps({"meta": {"date": f"{day}T00:00:00+00:00"}})
    )
    return str(folder)


def answering(
    ctx: CheckContext, *answers: tuple[int, dict[str, Any] | None]
) -> list[list[str]]:
    """Fake uv and safety. The fake uv resolves no packages. The fake safety returns
    these exit codes and reports, one after another. Return the list of safety's
    commands.
    """
    calls: list[list[str]] = []

    def execute(argv: list[str], **options: Any) -> Completed:
        if "compile" in argv:
            Path(argv[-1]).write_text("")
            return Completed(tuple(argv), 0, "", "", 0.1)
        code, document = answers[min(len(calls), len(answers) - 1)]
        calls.append(list(argv))
        if document is not None:
            Path(argv[-1].partition("=")[2]).write_text(json.dumps(document))
        return Completed(
            tuple(argv), code, "a banner", "no network" if code == 68 else "", 0.1
        )

    ctx.execute = execute
    return calls


def report(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    packages: dict[str, Any] = {"requests": {}, "jinja2": {}}
    body: dict[str, Any] = {
        "report_meta": {"git": {"origin": "https://token@example.org"}},
        "scanned_packages": packages,
    }
    return body | {"vulnerabilities": list(rows), "ignored_vulnerabilities": []} | more


def safety(ctx: CheckContext, *, online: bool = True) -> Safety:
    return Safety(Register(ctx.root, TODAY), TODAY, lambda: online)


def test_the_live_database_is_asked_where_there_is_network(
    project: CheckContext,
) -> None:
    calls = answering(project, (0, report()))
    outcome = safety(project).run(project)
    assert (outcome.status, outcome.detail) == (
        Status.SUCCESS,
        "2 pins, live database of 2026-03-01",
    )
    assert "--db" not in calls[0]


def test_without_network_the_folder_is_asked(
    project: CheckContext, tmp_path: Path
) -> None:
    project.env["LAKE_CI_ADVISORIES"] = database(tmp_path / "known")
    calls = answering(project, (0, report()))
    outcome = safety(project, online=False).run(project)
    assert (outcome.status, outcome.detail) == (
        Status.SUCCESS,
        "2 pins, advisories of 2026-03-01",
    )
    assert calls[0][calls[0].index("--db") + 1] == str(tmp_path / "known")


def test_a_live_database_that_does_not_answer_gives_way_to_the_folder(
    project: CheckContext, tmp_path: Path
) -> None:
    project.env["LAKE_CI_ADVISORIES"] = database(tmp_path / "known")
    answering(project, (68, None), (0, report()))
    assert "advisories of" in safety(project).run(project).detail


@pytest.mark.parametrize("online", [True, False])
def test_no_database_is_an_incomplete_check(
    project: CheckContext, online: bool
) -> None:
    answering(project, (68, None))
    outcome = safety(project, online=online).run(project)
    assert outcome.status is Status.WARNING
    assert "LAKE_CI_ADVISORIES" in (outcome.not_checked or "")


@pytest.mark.parametrize(
    ("days", "status"), [(30, Status.SUCCESS), (31, Status.WARNING)]
)
def test_an_old_database_is_a_remark(
    project: CheckContext, tmp_path: Path, days: int, status: Status
) -> None:
    project.env["LAKE_CI_ADVISORIES"] = database(
        tmp_path / "known", TODAY - timedelta(days)
    )
    answering(project, (0, report()))
    outcome = safety(project, online=False).run(project)
    assert (outcome.status, outcome.not_checked) == (status, None)


def test_vulnerable_pin_has_its_line_and_report_omits_the_origin(
    project: CheckContext,
) -> None:
    answering(project, (64, report(ROW, ROW)))
    outcome = safety(project).run(project)
    assert outcome.status is Status.FAILURE
    [found] = outcome.findings
    assert (found.rule, found.place) == ("PYSEC-2018-28", "requirements/lint.txt:2")
    assert "nox -s lock -- --upgrade-package requests" in found.message
    assert "token" not in (project.reports / "safety.json").read_text()
    assert [path.name for path in project.reports.iterdir()] == ["safety.json"]


def test_what_a_policy_file_ignores_is_found_all_the_same(
    project: CheckContext,
) -> None:
    answering(project, (0, report(ignored_vulnerabilities=[ROW])))
    assert safety(project).run(project).status is Status.FAILURE


@pytest.mark.parametrize(
    ("given", "severity"),
    [
        (None, "high"),
        ({"cvssv3": {"base_severity": "MEDIUM"}}, "medium"),
        ({"cvssv3": None}, "high"),
    ],
    ids=["none", "medium", "unscored"],
)
def test_an_advisory_without_severity_is_a_high_one(
    project: CheckContext, given: Any, severity: str
) -> None:
    answering(project, (64, report({**ROW, "severity": given})))
    [found] = safety(project).run(project).findings
    assert found.message.endswith(f"({severity})")


def test_a_package_that_was_not_looked_at_fails(project: CheckContext) -> None:
    answering(project, (0, report(scanned_packages={"requests": {}})))
    outcome = safety(project).run(project)
    assert outcome.status is Status.FAILURE
    assert "not scanned: jinja2" in outcome.findings[0].message


def test_no_package_at_all_fails(project: CheckContext) -> None:
    (project.root / "requirements" / "lint.txt").write_text("# empty\n")
    outcome = safety(project).run(project)
    assert (outcome.status, outcome.findings[0].rule) == (Status.FAILURE, "nothing")


def test_requirements_that_cannot_be_resolved_are_an_incomplete_check(
    project: CheckContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locked_packages, "resolve", lambda ctx, today: None)
    answering(project, (0, report()))
    outcome = safety(project).run(project)
    assert (outcome.status, outcome.not_checked) == (
        Status.WARNING,
        advisories.UNRESOLVED,
    )
    answering(project, (64, report(ROW)))
    assert safety(project).run(project).status is Status.FAILURE


def test_a_folder_without_a_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LakeCiError, match="insecure_full.json: No such file"):
        from_folder({"LAKE_CI_ADVISORIES": str(tmp_path)})
    (tmp_path / "insecure_full.json").write_text('{"meta": {}}')
    with pytest.raises(LakeCiError, match="not a database with a date"):
        from_folder({"LAKE_CI_ADVISORIES": str(tmp_path)})
    assert from_folder({}) is None


def test_a_proxy_that_is_not_there_is_no_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert advisories.online() is False
