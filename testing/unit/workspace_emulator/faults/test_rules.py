from __future__ import annotations

from typing import Any

import pytest

from workspace_emulator.errors import ApiError
from workspace_emulator.faults.rules import Faults, overwritten
from workspace_emulator.runtime.background import Background


def test_a_fault_goes_off_after_some_requests_and_for_some() -> None:
    faults = Faults(Background())
    rule = faults.add(
        {"kind": "status", "method": "GET", "path": "/a/*", "skip": 1, "count": 2}
    )
    hits = [faults.hit("GET", "/a/b/c") is rule for _ in range(5)]
    assert hits == [False, True, True, False, False]
    assert faults.hit("POST", "/a/b") is None and faults.hit("GET", "/b") is None


def test_the_next_rule_goes_off_when_the_first_is_used_up() -> None:
    faults = Faults(Background())
    first, second = faults.add({"kind": "drop"}), faults.add(
        {"kind": "slow", "count": None}
    )
    assert [faults.hit("GET", "/") for _ in range(3)] == [first, second, second]
    faults.clear()
    assert faults.hit("GET", "/") is None


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"kind": "melt"}, "the kind of a fault must be one of"),
        ({"kind": "drop", "color": 1}, "a fault has no field color"),
        ({"kind": "drop", "when": "never"}, "must be before or after"),
    ],
)
def test_what_could_never_go_off_is_refused(
    wanted: dict[str, Any], message: str
) -> None:
    with pytest.raises(ApiError, match=message):
        Faults(Background()).add(wanted)


def test_fields_are_overwritten_or_gone_wherever_they_stand() -> None:
    answer = {"runs": [{"state": {"life": "DONE", "result": "OK"}}], "life": 1}
    assert overwritten(answer, {"life": "RUNNING", "result": None}) == {
        "runs": [{"state": {"life": "RUNNING"}}],
        "life": "RUNNING",
    }
