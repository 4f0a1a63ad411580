"""The session parses its arguments, and has a row for each step of the deploy. The
session reports wrong arguments before it starts anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lake_ci.checks import deploy
from lake_ci.errors import UsageError
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed


@pytest.mark.parametrize(
    ("typed", "environment", "command", "deploys"),
    [
        ((), "trial", (), True),
        (("--environment", "dev", "--dry-run"), "dev", ("--dry-run",), True),
        (("--rollback",), "trial", ("--rollback",), False),
        (("--rollback", "1.0"), "trial", ("--rollback", "1.0"), False),
        (("--status", "--break-lock"), "trial", ("--status", "--break-lock"), False),
        (("--history",), "trial", ("--history",), False),
    ],
)
def test_options(
    typed: tuple[str, ...], environment: str, command: tuple[str, ...], deploys: bool
) -> None:
    chosen = deploy.options(typed, {})
    assert (chosen.environment, chosen.command, chosen.deploys) == (
        environment,
        command,
        deploys,
    )
    assert not chosen.tear_down


def test_environment_of_the_dispatch_is_taken_and_a_pipeline_tears_down() -> None:
    chosen = deploy.options((), {"DEPLOY_ENVIRONMENT": "staging"}, whole=True)
    assert (chosen.environment, chosen.tear_down) == ("staging", True)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("--environment", "prodution"), "'production'"),
        (("--dry-run", "--status"), "not allowed with"),
        (("--forse",), "'--forse'"),
    ],
)
def test_wrong_usage_is_said(typed: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        deploy.options(typed, {})


@pytest.mark.parametrize("command", ["--status", "--history", "--rollback"])
def test_commands_that_deploy_nothing_need_no_artifacts(
    ctx: CheckContext, command: str
) -> None:
    stages = deploy.stages(ctx, deploy.options((command,), {}))
    [row] = next(stages)
    assert (row.name, row.run(ctx).status) == ("artifacts", Status.SKIPPED)
    stages.close()


def rows(ctx: CheckContext, code: int, *events: Any) -> list[tuple[str, Outcome]]:
    """Return the rows of a deploy that reports these events."""

    def execute(argv: list[str], *, env: Any, echo: Callable[[str], None]) -> Completed:
        for event in events:
            echo(event if isinstance(event, str) else json.dumps(event))
        return Completed(tuple(argv), code, "", "the last line", 1.0)

    ctx.execute = execute
    found = []
    for step in deploy.DeployProcess(ctx, deploy.options((), {}), {}).steps():
        outcome = step.run(ctx)
        found.append((step.name, outcome))
    return found


def end(step: str, status: str, **more: Any) -> dict[str, Any]:
    return {
        "event": "end",
        "step": step,
        "status": status,
        "seconds": 2.5,
        "detail": "d",
        "findings": [],
        "data": {},
    } | more


def test_each_step_is_a_row_with_its_own_time(ctx: CheckContext) -> None:
    result = {"event": "result", "outcome": "deployed", "code": 0}
    found = rows(
        ctx,
        0,
        {"event": "begin", "step": "lock"},
        end("lock", "success"),
        "noise",
        result,
    )
    assert [(name, outcome.status) for name, outcome in found] == [
        ("lock", Status.SUCCESS),
        ("deploy", Status.SUCCESS),
    ]
    assert (found[0][1].seconds, found[1][1].detail) == (2.5, "deployed")


def test_failure_is_told_with_what_was_said(
    ctx: CheckContext, capsys: pytest.CaptureFixture[str]
) -> None:
    text = {"event": "text", "text": "no credentials for dev"}
    failed = end("workspace", "failure", findings=["no"])
    found = rows(
        ctx, 3, failed, text, {"event": "result", "outcome": "failed", "code": 3}
    )
    assert [outcome.status for _, outcome in found] == [Status.FAILURE, Status.FAILURE]
    assert found[1][1].findings[0].message == "no credentials for dev"
    assert "no credentials for dev" in capsys.readouterr().out


def test_process_that_ends_without_a_result_is_a_failure(ctx: CheckContext) -> None:
    [(name, outcome)] = rows(ctx, -9)
    assert (name, outcome.status) == ("deploy", Status.FAILURE)
    assert (
        outcome.detail.endswith(" 9") and "the last line" in outcome.findings[0].message
    )


def test_trial_reaches_no_real_workspace(ctx: CheckContext) -> None:
    ctx.env |= {"DATABRICKS_HOST": "https://real", "DATABRICKS_CLIENT_SECRET": "s"}
    served: list[dict[str, str]] = []

    @contextmanager
    def serve(argv: list[str], *, env: dict[str, str]) -> Any:
        served.append(env)
        assert not any("dapi" in word for word in argv)
        yield "http://127.0.0.1:1\n"

    ctx.serve = serve
    state = Path(ctx.root / deploy.STATE)
    state.mkdir(parents=True)
    with deploy.workspace(ctx, deploy.options(("--tear-down",), {})) as env:
        assert env["DATABRICKS_HOST"] == "http://127.0.0.1:1"
        assert env["DATABRICKS_TOKEN"] == served[0]["WORKSPACE_EMULATOR_TOKEN"]
        assert (
            "DATABRICKS_CLIENT_SECRET" not in env and "DATABRICKS_HOST" not in served[0]
        )
    assert not state.exists()


def test_other_environment_keeps_the_users_own_credentials(ctx: CheckContext) -> None:
    ctx.env["DATABRICKS_HOST"] = "https://real"
    with deploy.workspace(ctx, deploy.options(("--environment", "dev"), {})) as env:
        assert env["DATABRICKS_HOST"] == "https://real"
