"""The status shows the deployed version and everything that differs from the ledger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lake_ci.deploy.client import Library
from lake_ci.deploy.ledger import Pending
from lake_ci.deploy.rollout import Rollout
from lake_ci.deploy.status import history, tell
from testing.unit.lake_ci.deploy.conftest import BASE, FakeWorkspace, Scene

Damage = Callable[[FakeWorkspace], None]


@pytest.fixture
def deployed(scene: Scene, built: Callable[..., tuple[object, object]]) -> Scene:
    pair = built("1.0")
    Rollout(scene.context(), *pair, Path()).deploy()  # type: ignore[arg-type]  # a pair
    return scene


def text(scene: Scene) -> str:
    return "\n".join(
        event["text"] for event in scene.events if event["event"] == "text"
    )


def test_what_runs_since_when_and_by_which_commit(deployed: Scene) -> None:
    assert tell(deployed.context())
    for words in (
        "version      1.0",
        f"commit       {'c' * 40}",
        "by me@here (entry 1)",
        "environment  trial",
    ):
        assert words in text(deployed)


def test_nothing_is_deployed_is_a_status(scene: Scene) -> None:
    assert tell(scene.context())
    assert "nothing is deployed" in text(scene)


def other_wheel(workspace: FakeWorkspace) -> None:
    workspace.libraries = {
        "/x/shop-2.0-py3-none-any.whl": Library(
            "/x/shop-2.0-py3-none-any.whl", "INSTALLED"
        )
    }


def no_job(workspace: FakeWorkspace) -> None:
    workspace.jobs.clear()


def other_job(workspace: FakeWorkspace) -> None:
    workspace.jobs[7]["tags"] = {}


def other_bytes(workspace: FakeWorkspace) -> None:
    [path] = [path for path in workspace.files if path.endswith("fill.py")]
    workspace.files[path] = b"other"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            other_wheel,
            (
                "the cluster has shop-2.0-py3-none-any.whl "
                "INSTALLED, not shop-1.0-py3-none-any.whl"
            ),
        ),
        (no_job, "the job 'shop nightly' was deleted"),
        (other_job, "the job 'shop nightly' was changed outside of a deploy"),
        (other_bytes, "fill.py is not what was uploaded"),
    ],
)
def test_drift_is_named(deployed: Scene, damage: Damage, words: str) -> None:
    damage(deployed.workspace)
    assert not tell(deployed.context())
    assert words in "\n".join(deployed.row("status")["findings"])


def test_deploy_that_did_not_end_is_drift(deployed: Scene) -> None:
    deployed.context().ledger.note(Pending("other", "deploy", f"{BASE}/2.0/x", "2.0"))
    assert not tell(deployed.context())
    assert "a deploy of 2.0 was interrupted" in deployed.row("status")["detail"]


def test_history_is_newest_first(
    deployed: Scene, built: Callable[..., tuple[object, object]]
) -> None:
    context, pair = deployed.context(), built("1.1")
    Rollout(context, *pair, Path()).deploy()  # type: ignore[arg-type]  # a pair
    history(deployed.context())
    first, second = text(deployed).splitlines()
    assert "1.1" in first and "1.0" in second
