"""Reads the resources of a Terraform plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lake_ci.checks.terraform import hcl


@dataclass(frozen=True)
class PlannedResource:
    """A resource or data source in a plan.

    If a value is known only after the apply, it is missing in `values` and true in
    `unknown`.
    """

    address: str
    type: str
    values: Mapping[str, Any]
    unknown: Mapping[str, Any] = field(default_factory=dict)

    def knows(self, path: str) -> bool:
        """Return whether the value at a path is known; an unset value is known."""
        at: Any = self.unknown
        for name in path.split("."):
            if isinstance(at, list):
                at = at[int(name)] if int(name) < len(at) else False
            elif isinstance(at, Mapping):
                at = at.get(name, False)
        return at is not True


def resources(plan: Mapping[str, Any]) -> Iterator[PlannedResource]:
    """Yield all resources and data sources in a plan.

    The data sources are those that Terraform has read for the plan, and those that
    Terraform will read during the apply.
    """
    roots = [
        plan.get("prior_state", {}).get("values", {}).get("root_module", {}),
        plan.get("planned_values", {}).get("root_module", {}),
    ]
    rows = {
        row["address"]: row.get("values") or {} for root in roots for row in _rows(root)
    }
    unknown = {}
    for row in plan.get("resource_changes", ()):
        unknown[row["address"]] = row["change"].get("after_unknown") or {}
        if row["mode"] == "data":
            rows[row["address"]] = row["change"]["after"] or {}
        elif row["change"]["actions"] == ["delete"]:
            rows.pop(row["address"], None)
    for address in sorted(rows):
        name = hcl.INDEX.sub("", address).split(".")
        yield PlannedResource(
            address, name[-2], rows[address], unknown.get(address, {})
        )


def _rows(module: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from module.get("resources", ())
    for child in module.get("child_modules", ()):
        yield from _rows(child)
