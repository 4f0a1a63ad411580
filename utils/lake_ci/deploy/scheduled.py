"""The scheduled job of an environment: found by its name, made where it is missing,
changed only where it differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lake_ci.deploy.client import Workspace


def bring(workspace: Workspace, settings: Mapping[str, Any]) -> tuple[int, str]:
    """Create or update the job; its id, and what was done."""
    found = workspace.job(settings["name"])
    if found is None:
        return workspace.create_job(settings), "created"
    if agrees(settings, found.settings):
        return found.id, "unchanged"
    workspace.reset_job(found.id, settings)
    return found.id, "updated"


def put_back(workspace: Workspace, name: str, before: Mapping[str, Any] | None) -> str:
    """Make the job what it was: these settings, or not there; what was done."""
    if before is not None:
        return bring(workspace, before)[1]
    found = workspace.job(name)
    if found is None:
        return "was not there"
    workspace.delete_job(found.id)
    return "deleted"


def agrees(wanted: Any, found: Any) -> bool:
    """Whether settings hold all that is wanted; the workspace adds its defaults."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            agrees(value, found.get(key)) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(wanted) == len(found)
            and all(map(agrees, wanted, found))
        )
    return bool(wanted == found)
