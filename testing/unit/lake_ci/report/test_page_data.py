"""Tests the data that the script of the HTML page gets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lake_ci.model.results import CheckResult, Finding, Status
from lake_ci.report import page_data
from lake_ci.report.overview import TestCase
from testing.unit.lake_ci.report import samples

ERROR = Finding("mypy", "arg-type", "wrong", "utils/a.py", 7)


def test_findings_hold_numbers_of_words_and_those_that_fail_stand_first(
    tmp_path: Path,
) -> None:
    remark = CheckResult(
        "flake8",
        Status.WARNING,
        findings=(Finding("flake8", "E1", "remark", severity="warning"),),
    )
    overview = samples.overview_of(
        tmp_path, lint=[remark], docker=[samples.failed("mypy", ERROR)]
    )
    body = json.loads(page_data.build(overview, "../").json)
    words, [first, second] = body["words"], body["findings"]
    assert [words[number] for number in first[1:6]] == [
        "docker",
        "mypy",
        "mypy",
        "error",
        "arg-type",
    ]
    assert body["files"][first[6]] == ["utils/a.py", "../utils/a.py"]
    assert first[7:] == [7, "wrong"]
    assert [words[number] for number in second[1:6]] == [
        "lint",
        "flake8",
        "flake8",
        "warning",
        "E1",
    ]
    assert second[6:] == [-1, 0, "remark"]


def test_a_findings_id_stays_the_same_and_is_its_own(tmp_path: Path) -> None:
    one = samples.overview_of(
        tmp_path, lint=[samples.failed("mypy", ERROR, ERROR, replace(ERROR, line=8))]
    )
    two = samples.overview_of(
        tmp_path,
        docker=[samples.failed("x", ERROR)],
        lint=[samples.failed("mypy", ERROR)],
    )
    ids = [row[0] for row in json.loads(page_data.build(one, "../").json)["findings"]]
    again = [row[0] for row in json.loads(page_data.build(two, "../").json)["findings"]]
    assert len(set(ids)) == 3
    assert ids[1] == f"{ids[0]}-2"
    assert again[0] == ids[0]


def test_what_is_left_out_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_data, "FINDINGS_LIMIT", 2)
    monkeypatch.setattr(page_data, "TESTS_LIMIT", 2)
    overview = samples.overview_of(
        tmp_path, lint=[samples.failed("mypy", ERROR, ERROR, ERROR)]
    )
    tests = (
        TestCase("fast", 0.1, "failed"),
        TestCase("slow", 9.0, "passed"),
        TestCase("middle", 5.0, "passed"),
    )
    session = replace(overview.nodes[0].sessions[0], tests=tests)
    node = replace(overview.nodes[0], sessions=(session,))
    lists = page_data.build(replace(overview, nodes=(node,)), "../")
    assert (
        lists.findings,
        lists.findings_left_out,
        lists.tests,
        lists.tests_left_out,
    ) == (2, 1, 2, 1)
    # The list contains the failed test, although a slower test, which passed, is
    # omitted. The list is still sorted by time.
    assert [row[1] for row in json.loads(lists.json)["tests"]] == ["slow", "fast"]


def test_a_long_message_is_cut(tmp_path: Path) -> None:
    long = replace(ERROR, message="x" * 10_000)
    overview = samples.overview_of(tmp_path, lint=[samples.failed("mypy", long)])
    message = json.loads(page_data.build(overview, "../").json)["findings"][0][8]
    assert "6,000" in message and len(message) < 5000


def test_hostile_text_ends_no_script_and_comes_back_as_it_is_shown() -> None:
    text = page_data.to_script([samples.HOSTILE.replace("\ud800", "")])
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == [samples.HOSTILE.replace("\ud800", "")]
    with pytest.raises(ValueError, match="not JSON compliant"):
        page_data.to_script(float("nan"))
