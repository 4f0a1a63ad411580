"""A check gives a tool only the secrets that the table in `secret_variables.py` lists
for the tool.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import pytest

from lake_ci.checks import deploy
from lake_ci.checks.docker.engine import Engine
from lake_ci.checks.kubernetes.api_server import CONTEXT
from lake_ci.checks.kubernetes.dry_run import ClusterDiff
from lake_ci.checks.security import locked_packages
from lake_ci.checks.terraform import accounts
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed
from testing.unit.lake_ci.system.test_secret_variables import SECRETS, TOOLS

Start = Callable[[CheckContext], object]


def workspace(environment: str) -> Start:
    def start(ctx: CheckContext) -> None:
        chosen = deploy.options(["--environment", environment], {})
        with deploy.workspace(ctx, chosen) as env:
            ctx.execute(["deploy"], env=env)

    return start


@pytest.mark.parametrize(
    ("start", "row"),
    [
        (lambda ctx: Engine(ctx, "x").docker("version"), "docker"),
        (lambda ctx: locked_packages.resolve(ctx, date(2026, 1, 31)), "packages"),
        (lambda ctx: ClusterDiff("dev").run(ctx), "kubernetes"),
        (lambda ctx: accounts.caller(ctx), "terraform"),
        (
            lambda ctx: ctx.execute(["plan"], env=accounts.real(ctx, "dev").env),
            "terraform",
        ),
        (workspace("staging"), "deploy"),
    ],
    ids=["docker", "resolve", "diff", "identify", "terraform", "deploy"],
)
def test_a_check_passes_the_secrets_of_its_row(
    ctx: CheckContext, start: Start, row: str
) -> None:
    seen: list[Mapping[str, str]] = []

    def execute(argv: list[str], **options: Any) -> Completed:
        seen.append(options["env"])
        return Completed(tuple(argv), 0, "{}", "", 0.0)

    ctx.execute = execute
    ctx.withheld = SECRETS
    ctx.env |= {CONTEXT: "mine", "AWS_PROFILE": "me"}
    (ctx.root / "pyproject.toml").write_text(
        '[project]\nname = "lake"\nrequires-python = ">=3.9"\n'
    )
    start(ctx)
    assert seen
    for env in seen:
        assert {*env} & {*SECRETS} == TOOLS[row]
