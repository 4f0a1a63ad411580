"""The session has the declared checks, with one row for each check."""

from __future__ import annotations

import pytest

from lake_ci.checks.kubernetes import kustomize
from lake_ci.checks.kubernetes.stages import stages
from lake_ci.errors import UsageError
from lake_ci.runner.check import CheckContext


def test_each_environment_has_all_its_rows(ctx: CheckContext) -> None:
    chosen = kustomize.options(["--environment", "dev", "--environment", "trial"])
    (ctx.root / "pyproject.toml").write_text("[tool.lake_ci.k8s]\n")
    rows = [tool.name for stage in stages(ctx, chosen) for tool in stage]
    kinds = ("build", "schema", "dry-run", "checkov", "practices")
    each = [f"{kind} {name}" for kind in kinds for name in ("dev", "trial")]
    assert sorted(rows) == sorted(
        [
            "API server",
            "yaml",
            "overlay tests",
            "settings",
            "staging is production",
            *each,
        ]
    )
    assert len(set(rows)) == len(rows)


def test_a_wrong_setting_is_refused_before_any_check(ctx: CheckContext) -> None:
    (ctx.root / "pyproject.toml").write_text(
        '[tool.lake_ci.k8s.images]\nshop = { program = "shop" }\n'
    )
    with pytest.raises(UsageError, match=r"images.shop\]: .*'shop'"):
        next(stages(ctx, kustomize.options([])))
