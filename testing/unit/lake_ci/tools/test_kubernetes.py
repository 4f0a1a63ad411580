"""The checks of the session, one row each."""

from __future__ import annotations

from contextlib import ExitStack

from lake_ci.tools.kubernetes import checks


def test_each_environment_has_all_its_rows() -> None:
    rows = [tool.name for tool in checks(["dev", "trial"], ExitStack())]
    kinds = ("build", "schema", "dry-run", "checkov", "practices")
    each = [f"{kind} {name}" for kind in kinds for name in ("dev", "trial")]
    assert sorted(rows) == sorted(["API server", "yaml", "staging is production", *each])
    assert len(set(rows)) == len(rows)
