"""The history of measurements has one line for each run, and can be read even if some
lines are invalid.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lake_ci.checks.performance import history
from lake_ci.checks.performance.history import Figures, Measurement, Record

RECORD = Record(
    "c" * 40,
    "b" * 40,
    False,
    "2026-01-31T02:00:00Z",
    {"processor": "A", "cores": 2},
    {
        "merge": Measurement(
            {"": Figures(0.5, 0.4, 1.25, 1.2, 1.3, pairs=24), "silver": Figures(0.1)},
            250.0,
            240.0,
        )
    },
)


def test_a_record_survives_its_line() -> None:
    line = history.to_line(RECORD)
    assert line.count("\n") == 1
    assert json.loads(line)["benchmarks"]["merge"]["series"][""]["ratio"] == 1.25
    assert history.from_line(line) == RECORD


def test_lines_are_added_and_none_is_lost(tmp_path: Path) -> None:
    path = tmp_path / ".history" / "performance.jsonl"
    history.append_records(path, [RECORD])
    history.append_records(path, [RECORD, RECORD])
    assert history.read_history(path) == ([RECORD] * 3, 0)


def test_what_cannot_be_read_is_counted_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "performance.jsonl"
    path.write_text('{"schema": 9}\n[]\nhalf a li', encoding="utf-8")
    history.append_records(path, [RECORD])
    assert history.read_history(path) == ([RECORD], 3)
    assert path.read_text(encoding="utf-8").startswith('{"schema": 9}\n')


def test_no_file_is_an_empty_history(tmp_path: Path) -> None:
    assert history.read_history(tmp_path / "performance.jsonl") == ([], 0)


@pytest.mark.parametrize(
    "line", ["", "null", "{}", '{"schema": 1, "benchmarks": {"a": 1}}']
)
def test_another_text_is_no_record(line: str) -> None:
    with pytest.raises(ValueError):
        history.from_line(line)


def test_the_machine_is_described_by_what_figures_depend_on() -> None:
    facts = history.describe_machine()
    assert facts["cores"] and facts["processor"] and facts["python"]
    assert history.same_machine(facts, {**facts, "load": 9.0})
    assert not history.same_machine(facts, {**facts, "cores": 96})
