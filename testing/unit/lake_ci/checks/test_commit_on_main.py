"""Only commits on `main` may be deployed to a protected environment or published."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lake_ci.checks import deploy
from lake_ci.checks.commit_on_main import CommitOnMain
from lake_ci.checks.packaging.stages import checks
from lake_ci.deploy import artifacts
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


def commit(root: Path, text: str) -> None:
    (root / "note.txt").write_text(text)
    git(root, "add", "--all")
    git(root, "-c", "user.name=n", "-c", "user.email=n@e", "commit", "-qm", text)


def reviewed(ctx: CheckContext) -> Outcome:
    return CommitOnMain("be deployed to production").run(ctx)


def test_a_commit_of_main_is_reviewed_and_another_one_is_not(ctx: CheckContext) -> None:
    git(ctx.root, "branch", "main")
    outcome = reviewed(ctx)
    assert outcome.status is Status.SUCCESS
    assert outcome.detail.endswith(" is on main")
    commit(ctx.root, "not merged")
    [finding] = reviewed(ctx).findings
    assert finding.rule == "unreviewed"
    assert "be deployed to production" in finding.message
    git(ctx.root, "branch", "--force", "main")
    commit(ctx.root, "one more")
    git(ctx.root, "checkout", "-q", "main")
    assert reviewed(ctx).status is Status.SUCCESS


def test_a_commit_on_a_local_main_alone_is_not_reviewed(ctx: CheckContext) -> None:
    git(ctx.root, "update-ref", "refs/remotes/origin/main", "HEAD")
    git(ctx.root, "checkout", "-q", "-b", "main")
    assert reviewed(ctx).status is Status.SUCCESS
    commit(ctx.root, "not pushed")
    [finding] = reviewed(ctx).findings
    assert (finding.rule, "not on origin/main" in finding.message) == (
        "unreviewed",
        True,
    )


@pytest.mark.parametrize("command", ["branch", "tag"])
def test_a_local_name_like_that_of_the_remote_branch_does_not_count(
    ctx: CheckContext, command: str
) -> None:
    git(ctx.root, "update-ref", "refs/remotes/origin/main", "HEAD")
    commit(ctx.root, "not pushed")
    git(ctx.root, command, "origin/main")
    assert [each.rule for each in reviewed(ctx).findings] == ["unreviewed"]


def test_without_the_branch_nothing_counts_as_reviewed(ctx: CheckContext) -> None:
    [finding] = reviewed(ctx).findings
    assert finding.rule == "no-branch"
    assert "git fetch origin main" in finding.message


def test_the_build_of_a_tag_is_checked(ctx: CheckContext) -> None:
    names = {event: [each.name for each in checks((), event)] for event in EVENTS}
    assert names["tag"] == ["reviewed", *names["push"]]
    assert "reviewed" not in names["push"]


EVENTS = ("push", "tag")
SETTINGS = """\
[tool.lake_ci.deploy]
package = "shop"
job = "nightly"
inspect = "inspect.py"
restore = "restore.py"
"""


@pytest.mark.parametrize(
    ("environment", "more", "rows"),
    [
        ("production", (), ["artifacts", "attestation", "reviewed"]),
        ("staging", (), ["artifacts", "attestation", "reviewed"]),
        ("dev", (), ["artifacts", "attestation", "deploy"]),
        ("production", ("--dry-run",), ["artifacts", "attestation", "deploy"]),
        ("production", ("--rollback",), ["artifacts", "deploy"]),
    ],
)
def test_a_deploy_of_another_commit_ends_before_the_workspace(
    ctx: CheckContext,
    monkeypatch: pytest.MonkeyPatch,
    environment: str,
    more: tuple[str, ...],
    rows: list[str],
) -> None:
    (ctx.root / "pyproject.toml").write_text(SETTINGS)
    git(ctx.root, "branch", "main")
    commit(ctx.root, "not merged")

    def verify(_: Path) -> artifacts.Artifacts:
        files = Path("shop.whl"), Path("shop.tar.gz")
        return artifacts.Artifacts(*files, "shop", "1.0", "0" * 64, "c" * 40)

    def execute(argv: list[str], *, echo: Any, **options: Any) -> Completed:
        echo(json.dumps({"event": "result", "outcome": "deployed", "code": 0}))
        return Completed(tuple(argv), 0, "", "", 1.0)

    monkeypatch.setattr(artifacts, "verify", verify)
    ctx.execute = execute
    chosen = deploy.options(["--environment", environment, *more], {})
    found = []
    for stage in deploy.stages(ctx, chosen):
        for check in stage:
            found.append(check.name)
            check.run(ctx)
    assert found == rows
