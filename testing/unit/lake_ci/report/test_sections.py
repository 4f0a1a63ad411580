"""Tests the sections of the page that work without a script."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from lake_ci.model.results import CheckResult, Finding, Status
from lake_ci.report import sections
from lake_ci.report.overview import Overview, Past, PastSession, State, TestCase
from testing.unit.lake_ci.report import samples


@pytest.fixture
def bad_day(tmp_path: Path) -> Overview:
    plan = samples.leave_realistic(tmp_path)
    return samples.collect(tmp_path, plan)


def words(text: str) -> str:
    """Return the text that a browser would show for some HTML."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", text)).split())


def test_a_failure_shows_findings_output_and_the_command(bad_day: Overview) -> None:
    text = sections.failures(bad_day, "../")
    assert "tests-3.10(java17)" in text
    assert '<a href="../testing/integration/test_sample_run.py#L141">' in text
    assert "E       assert 336775 == 336776" in text
    assert 'Rerun: nox -s "tests-3.10(java17)"' in words(text)


def test_a_failure_counts_what_it_does_not_show(tmp_path: Path) -> None:
    found = [Finding("x", "r", f"number {number}") for number in range(30)]
    overview = samples.overview_of(tmp_path, lint=[samples.failed("x", *found)])
    tests = tuple(TestCase(f"test {number}", 1.0, "failed") for number in range(12))
    node = overview.nodes[0]
    overview = replace(
        overview,
        nodes=(replace(node, sessions=(replace(node.sessions[0], tests=tests),)),),
    )
    text = sections.failures(overview, "../")
    assert '<a href="#findings?job=lint">and 20 more findings of this job</a>' in text
    assert (
        '<a href="#tests?job=lint&amp;outcome=failed">2 more failed tests</a>' in text
    )
    assert "number 9" in text and "number 10" not in text


def test_a_missing_result_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    samples.overview_of(tmp_path)
    (tmp_path / "reports" / "lint" / "result.json").unlink()
    overview = samples.collect(tmp_path)
    why = overview.sessions[0].why
    assert why and why in words(sections.failures(overview, "../"))
    assert why in words(sections.checks(overview))


def test_every_job_is_a_row_planned_or_not(bad_day: Overview) -> None:
    text = words(sections.jobs(bad_day))
    assert (
        "❌ failed tests-3.10(java17) 90.0 s integration: 1 failed, 61 passed; types: 1"
        " finding" in text
    )
    assert "⏸️ skipped acceptance not run: " in text
    assert "Before" not in text


def test_the_run_before_stands_beside_this_one(bad_day: Overview) -> None:
    sessions = {"lint": PastSession(State.FAILURE, 12.0, {"mypy": "failure"})}
    past = Past(
        "before",
        "push",
        "main",
        samples.COMMIT,
        "2026-01-30T02:00:00Z",
        State.FAILURE,
        60.0,
        sessions,
    )
    overview = replace(bad_day, past=(past,))
    assert "⚠️ warning lint 9.4 s failed, 12.0 s flake8: 3 remarks" in words(
        sections.jobs(overview)
    )
    text = words(sections.comparison(overview))
    assert "Run before of 2026-01-30T02:00:00Z, commit 781e32854715 : ❌ failed" in text
    assert "fixed lint mypy" in text
    assert sections.comparison(bad_day) == ""


def test_nothing_differs(tmp_path: Path) -> None:
    overview = samples.overview_of(tmp_path)
    same = {
        session.id: PastSession(State.SUCCESS, 10.0, {"check": "success"})
        for session in overview.sessions
    }
    past = Past(
        "before",
        "push",
        "main",
        None,
        "2026-01-30T02:00:00Z",
        State.SUCCESS,
        60.0,
        same,
    )
    assert words(sections.comparison(replace(overview, past=(past,)))).endswith(
        "Nothing differs."
    )


def test_checks_say_what_was_not_checked_and_link_their_findings(
    bad_day: Overview,
) -> None:
    text = sections.checks(bad_day)
    assert (
        "1 of 4 environments not checked: the provider registry is out of reach"
        in words(text)
    )
    assert '<a href="#findings?job=lint">3</a>' in text
    assert text.count("<details") == 14
    assert re.findall(r'<details class="job" id="([^"]*)" open>', text) == [
        "job-tests-3.10-java17"
    ]


def test_artifacts_are_linked_from_where_the_page_lies(tmp_path: Path) -> None:
    names = (
        "reports/build/sbom.json",
        "dist/a.whl",
        "/etc/passwd",
        *(f"reports/build/{n}" for n in range(60)),
    )
    overview = samples.overview_of(tmp_path)
    node = overview.nodes[0]
    result = replace(
        node.sessions[0].result
        or samples.result_of(samples.design().jobs["lint"].variants[0]),
        artifacts=names,
    )
    text = sections.checks(
        replace(
            overview,
            nodes=(
                replace(node, sessions=(replace(node.sessions[0], result=result),)),
            ),
        )
    )
    assert '<a href="./build/sbom.json">reports/build/sbom.json</a>' in text
    assert '<a href="../dist/a.whl">dist/a.whl</a>' in text
    assert "<li>/etc/passwd</li>" in text
    assert "<li>and 13 more</li>" in text


def test_what_was_not_checked_is_listed(bad_day: Overview) -> None:
    text = words(sections.not_checked(replace(bad_day, notes=("no history",))))
    assert "terraform , plan: the provider registry is out of reach" in text
    assert "tests-3.9(java11) : lake_ci needs Python 3.10" in text
    assert text.endswith("no history")


def test_coverage_is_a_column_a_variant_and_the_lowest_file_stands_first(
    bad_day: Overview, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = words(sections.coverage(bad_day, "../"))
    assert "All files 95.1 % 94.6 % 94.1 % 93.6 % 93.1 % 92.6 %" in text
    assert text.index("run.py") < text.index("tables.py") < text.index("main.py")
    monkeypatch.setattr(sections, "ROWS_SHOWN", 1)
    assert words(sections.coverage(bad_day, "../")).endswith(
        "2 files with a higher share left out."
    )


def test_a_file_that_a_variant_did_not_measure_is_said(tmp_path: Path) -> None:
    one = samples.passed("coverage", percent=90.0, files={"a.py": 90.0})
    two = samples.passed("coverage", percent=80, files={"b.py": 80, "c.py": "x"})
    overview = samples.overview_of(tmp_path, lint=[one], security=[two])
    text = words(sections.coverage(overview, "../"))
    assert "b.py not measured 80.0 % a.py 90.0 % not measured" in text


@pytest.mark.parametrize(
    "data", [{"percent": "9", "files": {}}, {"percent": 9, "files": []}, {}]
)
def test_what_is_no_coverage_is_not_shown(tmp_path: Path, data: dict[str, Any]) -> None:
    assert (
        sections.coverage(
            samples.overview_of(tmp_path, lint=[samples.passed("coverage", **data)]),
            "../",
        )
        == ""
    )


def test_a_check_brings_a_panel_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = {
        "title": "Benchmarks",
        "columns": ["name", "median"],
        "rows": [["<b>", 0.41234567], ["x", None], "y"],
    }
    overview = samples.overview_of(
        tmp_path, lint=[samples.passed("bench", panel=panel)]
    )
    text = sections.panels(overview)
    assert "lint: Benchmarks" in words(text)
    assert "<td>&lt;b&gt;</td><td>0.412346</td>" in text
    assert "<td>x</td><td></td>" in text and "<tr><td>y</td></tr>" in text
    monkeypatch.setattr(sections, "ROWS_SHOWN", 1)
    assert "2 more rows in result.json." in words(sections.panels(overview))


@pytest.mark.parametrize("panel", [None, "text", {"rows": "text"}, {"title": "t"}])
def test_what_is_no_panel_is_not_shown(tmp_path: Path, panel: object) -> None:
    assert (
        sections.panels(
            samples.overview_of(tmp_path, lint=[samples.passed("bench", panel=panel)])
        )
        == ""
    )


def test_a_panel_without_columns_is_a_table_all_the_same(tmp_path: Path) -> None:
    overview = samples.overview_of(
        tmp_path, lint=[samples.passed("bench", panel={"rows": [[1]]})]
    )
    assert "lint: bench" in sections.panels(overview)


def test_refused_results_are_named(bad_day: Overview) -> None:
    text = words(sections.refused(bad_day))
    assert text.startswith("reports/acceptance/result.json ")
    assert "0123456789ab" in text


def test_a_check_that_repeats_what_was_not_checked_says_it_once(tmp_path: Path) -> None:
    check = CheckResult(
        "plan", Status.WARNING, detail="no engine", not_checked="no engine"
    )
    assert (
        words(sections.checks(samples.overview_of(tmp_path, lint=[check]))).count(
            "no engine"
        )
        == 1
    )
