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
    """Return the reason why a run rejects a result; None if the result is valid.

    Args:
        planned: the ids of the planned sessions.
    """
    if result.run != run:
        return f"is of run {result.run}, this is {run}"
    if result.commit != commit:
        return (
            f"is of commit {str(result.commit)[:12]}, this run is of {str(commit)[:12]}"
        )
    if result.attempt > attempt:
        return f"is of attempt {result.attempt}, this is {attempt}"
    if result.partial:
        return f"is partial: arguments selected a part of {result.session}"
    if result.job not in planned:
        return f"{result.session} was not planned in this run"
    return None
