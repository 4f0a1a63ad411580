"""The scheduled job is created once and updated only if its settings differ."""

from __future__ import annotations

from typing import Any

import pytest

from lake_ci.deploy.scheduled_job import agrees, restore, upsert
from testing.unit.lake_ci.deploy.conftest import FakeWorkspace

SETTINGS: dict[str, Any] = {
    "name": "job",
    "tasks": [{"task_key": "a"}],
    "tags": {"x": "1"},
}


def test_job_is_created_then_left_then_updated(workspace: FakeWorkspace) -> None:
    assert upsert(workspace, SETTINGS) == (7, "created")
    workspace.jobs[7]["timeout_seconds"] = 0  # a default that the workspace adds
    assert upsert(workspace, SETTINGS) == (7, "unchanged")
    assert upsert(workspace, {**SETTINGS, "tags": {"x": "2"}}) == (7, "updated")
    assert [call[0] for call in workspace.calls] == ["create_job", "reset_job"]


def test_restore_gives_the_job_its_old_settings(workspace: FakeWorkspace) -> None:
    assert restore(workspace, "job", None) == "was not there"
    upsert(workspace, SETTINGS)
    assert restore(workspace, "job", SETTINGS) == "unchanged"
    assert restore(workspace, "job", None) == "deleted"
    assert workspace.jobs == {}


@pytest.mark.parametrize(
    ("wanted", "found", "same"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"b": 2}, False),
        ([1, {"a": 1}], [1, {"a": 1, "b": 2}], True),
        ([1], [1, 2], False),
        ({"a": {"b": 1}}, {"a": 3}, False),
    ],
)
def test_agrees(wanted: Any, found: Any, same: bool) -> None:
    assert agrees(wanted, found) == same
