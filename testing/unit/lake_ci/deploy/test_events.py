"""An event reports the end of each step. Secrets in events are redacted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lake_ci.deploy.errors import StepError
from lake_ci.deploy.events import Events
from lake_ci.system.redaction import Redactor


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def events(lines: list[str]) -> Events:
    return Events(lines.append, Redactor(["dapi-secret-1"]))


def ends(lines: list[str]) -> list[dict[str, Any]]:
    return [event for event in map(json.loads, lines) if event["event"] == "end"]


def test_step_that_fails_reports_the_error_and_raises_it(
    events: Events, lines: list[str]
) -> None:
    with pytest.raises(StepError), events.step("install"):
        raise StepError("first line\nsecond line")
    [end] = ends(lines)
    assert (end["status"], end["detail"], end["findings"]) == (
        "failure",
        "first line",
        ["first line\nsecond line"],
    )


def test_step_that_is_interrupted_ends_as_failure(
    events: Events, lines: list[str]
) -> None:
    with pytest.raises(KeyboardInterrupt), events.step("scripts"):
        raise KeyboardInterrupt
    assert ends(lines)[0]["status"] == "failure"


def test_secrets_are_hidden_wherever_they_stand(
    events: Events, lines: list[str]
) -> None:
    events.hide("dapi-secret-2")
    with events.step("dapi-secret-1") as step:
        step.detail, step.data = "x dapi-secret-2 y", {
            "dapi-secret-1": ["dapi-secret-2"]
        }
    events.text("dapi-secret-1")
    events.row("task", "failure", "dapi-secret-2")
    events.result("dapi-secret-1", 0)
    assert "dapi-" not in "".join(lines)
    assert "x [hidden] y" in lines[1]


def test_a_secret_is_redacted_before_it_is_encoded(lines: list[str]) -> None:
    secret = 'dapi"first line\nsecond line\n'
    events = Events(lines.append, Redactor([secret]))
    events.text(f"Invalid header value {secret!r} and {secret}")
    [event] = map(json.loads, lines)
    assert "first" not in event["text"] and "second" not in event["text"]
