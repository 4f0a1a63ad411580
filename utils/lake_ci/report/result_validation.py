"""Checks whether a result file belongs to a run."""

from __future__ import annotations

from collections.abc import Collection

from lake_ci.model.results import Result


def rejection_reason(
    result: Result,
    planned: Collection[str],
    *,
    run: str,
    attempt: int,
    commit: str | None,
) -> str | None:
    """Return the reason why a run rejects a result, or None if the result is valid.

    Args:
        planned: the ids of the planned sessions.
    """
    if result.run != run:
        return f"belongs to run {result.run}, but this is run {run}"
    if result.commit != commit:
        return (
            f"belongs to commit {str(result.commit)[:12]}, but this run is for commit"
            f" {str(commit)[:12]}"
        )
    if result.attempt > attempt:
        return f"belongs to attempt {result.attempt}, but this is attempt {attempt}"
    if result.partial:
        return f"is partial: arguments selected a part of {result.session}"
    if result.job not in planned:
        return f"{result.session} was not planned in this run"
    return None
