"""Creates, updates and restores the scheduled job of an environment.

The job is found in the workspace by its declared name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lake_ci.deploy.client import Workspace


def upsert(workspace: Workspace, settings: Mapping[str, Any]) -> tuple[int, str]:
    """Create the job, or update it if its settings differ.

    Returns the job's id and `created`, `unchanged` or `updated`.
    """
    found = workspace.job(settings["name"])
    if found is None:
        return workspace.create_job(settings), "created"
    if agrees(settings, found.settings):
        return found.id, "unchanged"
    workspace.reset_job(found.id, settings)
    return found.id, "updated"


def restore(workspace: Workspace, name: str, before: Mapping[str, Any] | None) -> str:
    """Undo a deploy's change of the job: restore the settings, or delete a new job.

    Returns a phrase that describes the change.
    """
    if before is not None:
        return upsert(workspace, before)[1]
    found = workspace.job(name)
    if found is None:
        return "was not there"
    workspace.delete_job(found.id)
    return "deleted"


def agrees(wanted: Any, found: Any) -> bool:
    """Return whether a job's settings contain all wanted values.

    Additional keys are ignored, because the workspace adds default values.
    """
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
