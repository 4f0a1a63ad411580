"""The checks of the session, one row each."""

from __future__ import annotations

from lake_ci.checks.kubernetes import kustomize
from lake_ci.checks.kubernetes.stages import stages


def test_each_environment_has_all_its_rows() -> None:
    chosen = kustomize.options(["--environment", "dev", "--environment", "trial"])
    rows = [tool.name for stage in stages(chosen) for tool in stage]
    kinds = ("build", "schema", "dry-run", "checkov", "practices")
    each = [f"{kind} {name}" for kind in kinds for name in ("dev", "trial")]
    assert sorted(rows) == sorted(
        ["API server", "yaml", "staging is production", *each]
    )
    assert len(set(rows)) == len(rows)
