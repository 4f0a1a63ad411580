"""result.json is read exactly as it was written, or rejected."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from lake_ci.errors import BadResultError
from lake_ci.model import results
from lake_ci.model.results import CheckResult, Finding, Outcome, Result, Status


def result(*checks: CheckResult, cause: str | None = None) -> Result:
    return Result(
        run="4711",
        attempt=1,
        event="push",
        commit="0" * 40,
        dirty=False,
        job="tests-3.10-java17",
        session="tests-3.10(java17)",
        started="2026-01-31T02:00:00Z",
        seconds=81.2,
        reproduce='nox -s "tests-3.10(java17)"',
        checks=checks,
        cause=cause,
        python="3.10.13",
        java="17.0.9",
        artifacts=("reports/tests-3.10-java17/coverage.xml",),
        warnings=("the tree is dirty",),
    )


FAILED = CheckResult(
    "unit",
    Status.FAILURE,
    12.1,
    "1 failed, 212 passed",
    (
        Finding(
            "pytest",
            "AssertionError",
            "größer als 0 ❌",
            "testing/unit/test_silver.py",
            41,
        ),
    ),
    data={"slowest": [{"test": "test_merge", "seconds": 1.5}]},
)
PASSED = CheckResult("integration", Status.SUCCESS)
WARNED = CheckResult("java", Status.WARNING, not_checked="no test ran on Java 17")
SKIPPED = CheckResult("coverage", Status.SKIPPED)


def test_files_of_a_partial_run_are_incomplete(tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "tests-3.10-java17"
    assert results.incomplete(folder) is None
    results.write(folder, result(PASSED))
    assert results.incomplete(folder) is None
    results.write(folder, replace(result(PASSED), partial=True))
    why = results.incomplete(folder)
    command = 'nox -s "tests-3.10(java17)"'
    assert why == f"arguments selected a part of tests-3.10(java17); run `{command}`"
    (folder / "result.json").write_text("{")
    why = results.incomplete(folder)
    assert why == "reports/tests-3.10-java17/result.json cannot be read"


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    written = result(FAILED, PASSED, WARNED, SKIPPED)
    path = results.write(tmp_path / "new" / "folder", written)
    assert path == tmp_path / "new" / "folder" / "result.json"
    assert results.read(tmp_path / "new" / "folder") == written


def test_the_file_has_the_keys_of_the_design(tmp_path: Path) -> None:
    body = json.loads(
        results.write(tmp_path, result(FAILED)).read_text(encoding="utf-8")
    )
    assert body["schema"] == 2
    assert body["status"] == "failure"
    assert set(body) == {
        *(
            "schema",
            "run",
            "attempt",
            "event",
            "commit",
            "dirty",
            "partial",
            "job",
            "session",
            "status",
        ),
        *(
            "cause",
            "started",
            "seconds",
            "python",
            "java",
            "reproduce",
            "checks",
            "artifacts",
            "warnings",
        ),
        *("reused", "processor_seconds", "waited_seconds"),
    }
    [check] = body["checks"]
    assert {"name", "status", "not_checked", "seconds", "detail", "findings"} <= set(
        check
    )
    assert set(check["findings"][0]) == {
        "tool",
        "rule",
        "file",
        "line",
        "severity",
        "message",
    }


@pytest.mark.parametrize("seconds", [None, 0.0, 12.5])
def test_measured_seconds_are_read_back(tmp_path: Path, seconds: float | None) -> None:
    written = replace(result(PASSED), processor_seconds=seconds, waited_seconds=seconds)
    results.write(tmp_path, written)
    assert results.read(tmp_path) == written


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
FINDINGS = st.builds(
    Finding,
    TEXTS,
    TEXTS,
    TEXTS,
    st.none() | TEXTS,
    st.none() | st.integers(1, 10**6),
    TEXTS,
)
CHECKS = st.builds(
    CheckResult,
    TEXTS,
    st.sampled_from(Status),
    st.floats(0, 1e6),
    TEXTS,
    st.lists(FINDINGS, max_size=3).map(tuple),
    st.none() | TEXTS,
)


@given(st.lists(CHECKS, max_size=3))
def test_any_checks_survive_the_round_trip_through_json(
    checks: list[CheckResult],
) -> None:
    written = result(*checks)
    assert (
        results.from_json(json.loads(json.dumps(results.to_json(written)))) == written
    )


@pytest.mark.parametrize(
    ("checks", "cause", "status"),
    [
        ((), None, Status.SKIPPED),
        ((SKIPPED, SKIPPED), None, Status.SKIPPED),
        ((SKIPPED, PASSED), None, Status.SUCCESS),
        ((PASSED, WARNED), None, Status.WARNING),
        ((SKIPPED, WARNED), None, Status.WARNING),
        ((PASSED, WARNED, FAILED, SKIPPED), None, Status.FAILURE),
        ((PASSED,), "timeout", Status.FAILURE),
        ((PASSED,), "interrupted", Status.FAILURE),
        ((), "interrupted", Status.FAILURE),
        ((SKIPPED,), "need-failed", Status.SKIPPED),
        ((FAILED,), "no-environment", Status.FAILURE),
    ],
)
def test_job_has_the_worst_status_and_never_passes_when_interrupted(
    checks: tuple[CheckResult, ...], cause: str | None, status: Status
) -> None:
    assert result(*checks, cause=cause).status is status


def set_field(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda body: body.update({name: value})


def set_finding(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    finding = asdict(Finding("t", "r", "m")) | {name: value}
    return lambda body: body["checks"][0].update(findings=[finding])


def without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda body: body.pop(key)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda body: body.update(schema=1), "schema 1, expected 2"),
        (without("schema"), "'schema' is missing"),
        (without("session"), "'session' is missing"),
        (lambda body: body["checks"][0].pop("findings"), "'findings' is missing"),
        (
            lambda body: body["checks"][0].update(status="green"),
            "Invalid enum value 'green'",
        ),
        (
            lambda body: body["checks"][0].update(colour="green"),
            "the field 'colour' is unknown",
        ),
        (lambda body: body.update(checks=None), "at `$.checks`"),
        (lambda body: body.update(checks=["unit"]), "at `$.checks[0]`"),
        (set_field("started", "yesterday"), "'yesterday' does not match format"),
        (set_field("started", "9999-12-31T23:59:59Z"), "after the year 9999"),
        (set_field("seconds", float("nan")), "negative or not finite"),
        (set_field("seconds", "1"), "at `$.seconds`"),
        (set_field("processor_seconds", -1.0), "negative or not finite"),
        (set_field("waited_seconds", "1"), "at `$.waited_seconds`"),
        (set_field("attempt", True), "at `$.attempt`"),
        (set_field("session", 3), "at `$.session`"),
        (set_field("cause", ["x"]), "at `$.cause`"),
        (set_field("artifacts", [1]), "at `$.artifacts[0]`"),
        (set_field("reused", {"run": "1"}), "fields of reused are not run and since"),
        (set_finding("message", None), "at `$.checks[0].findings[0].message`"),
        (set_finding("line", "3"), "at `$.checks[0].findings[0].line`"),
        (set_finding("line", True), "at `$.checks[0].findings[0].line`"),
        (set_finding("file", 1), "at `$.checks[0].findings[0].file`"),
        (set_finding("place", 1), "the field 'place' is unknown"),
    ],
)
def test_a_result_of_another_shape_is_refused_by_name(
    tmp_path: Path, damage: Callable[[dict[str, Any]], object], words: str
) -> None:
    body = results.to_json(result(FAILED))
    damage(body)
    (tmp_path / "result.json").write_text(json.dumps(body))
    with pytest.raises(BadResultError) as raised:
        results.read(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path / 'result.json'}: ")
    assert words in str(raised.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", '{"schema": 2', "\ufeff{}", "[" * 10**5]
)
def test_a_truncated_or_foreign_file_is_refused_by_name(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "result.json").write_text(text, encoding="utf-8")
    with pytest.raises(BadResultError, match=r"result\.json: "):
        results.read(tmp_path)


def test_a_file_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadResultError, match=r"result\.json: .*utf-8"):
        results.read(tmp_path)


def test_a_missing_result_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(BadResultError, match=r"result\.json: no result$"):
        results.read(tmp_path)


def test_the_outcome_of_no_findings_is_success_with_the_clean_words() -> None:
    assert Outcome.of([], clean="7 locks", seen=7) == Outcome(
        Status.SUCCESS, "7 locks", data={"seen": 7}
    )


def test_the_outcome_of_findings_is_failure_with_their_number() -> None:
    one, two = Finding("black", "format", "a"), Finding("black", "format", "b")
    assert Outcome.of(iter([one])).detail == "1 finding"
    assert Outcome.of([one, two]) == Outcome(Status.FAILURE, "2 findings", (one, two))


def test_a_failure_shows_its_first_line_and_keeps_all() -> None:
    outcome = Outcome.failure(
        "jars", "sha256", "wrong sha256\nfetched again\n", file="requirements/jars.txt"
    )
    assert outcome.detail == "wrong sha256"
    assert outcome.findings[0].message == "wrong sha256\nfetched again\n"
    assert outcome.findings[0].place == "requirements/jars.txt"


@pytest.mark.parametrize(
    ("strict", "status"), [(False, Status.WARNING), (True, Status.FAILURE)]
)
def test_an_incomplete_check_is_a_warning_and_in_strict_mode_a_failure(
    strict: bool, status: Status
) -> None:
    outcome = Outcome(Status.SUCCESS, not_checked="no network")
    check = CheckResult.from_outcome("safety", outcome, 1.23456, strict=strict)
    assert (check.status, check.not_checked, check.detail, check.seconds) == (
        status,
        "no network",
        "no network",
        1.235,
    )


@pytest.mark.parametrize("strict", [False, True])
def test_advice_is_a_warning_in_any_mode(strict: bool) -> None:
    outcome = Outcome(Status.WARNING, "the tree is dirty")
    assert (
        CheckResult.from_outcome("version", outcome, 0.1, strict=strict).status
        is Status.WARNING
    )


@pytest.mark.parametrize(
    ("file", "line", "place"),
    [(None, None, ""), (None, 3, ""), ("a.py", None, "a.py"), ("a.py", 3, "a.py:3")],
)
def test_a_place_is_as_exact_as_is_known(
    file: str | None, line: int | None, place: str
) -> None:
    assert Finding("t", "r", "m", file, line).place == place


def test_numbers_are_grouped_and_nouns_agree() -> None:
    assert [results.count(n, "file") for n in (0, 1, 2, 336776)] == [
        "0 files",
        "1 file",
        "2 files",
        "336,776 files",
    ]


def test_every_status_has_its_own_symbol_and_word() -> None:
    assert [status.symbol for status in Status] == ["✅", "❌", "⏸️", "⚠️"]
    assert [status.word.strip() for status in Status] == ["ok", "FAIL", "skip", "warn"]
    assert {len(status.word) for status in Status} == {4}
