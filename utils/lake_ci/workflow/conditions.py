"""Computes the `if:` of each job in the GitHub workflow.

If a condition contains no status function, GitHub puts `success() &&` before it.
`success()` is false when any ancestor of the job was skipped, even an ancestor that the
job does not need directly. So if an event starts a job but skips one of its ancestors,
the condition of the job must contain a status function.
"""

from __future__ import annotations

from collections.abc import Iterable

from lake_ci.model.job import ALWAYS, EVENTS, Job

TAG = "(github.event_name == 'push' && github.ref_type == 'tag')"


def condition(job: Job) -> str | None:
    """Return the condition that starts a job on its events.

    Returns None for a job that every event starts. For a job that every event starts,
    the implicit `success()` is correct: if an event skips an ancestor, the job is also
    skipped in the plan.
    """
    if set(job.events) >= set(EVENTS):
        return None
    if set(job.events) == set(ALWAYS):
        return "github.event_name != 'schedule'"
    return " || ".join(_term(event) for event in job.events) or "false"


def release(needs: Iterable[str]) -> str:
    """Return the condition of a release: a tag was pushed, and these jobs passed.

    The implicit `success()` would be false, because a release needs the summary, and a
    tag skips some ancestors of the summary.
    """
    passed = [f"needs.{need}.result == 'success'" for need in needs]
    return " && ".join([TAG, "!cancelled()", *passed])


def _term(event: str) -> str:
    name, _, branch = event.partition(":")
    if name == "tag":
        return TAG
    if branch:
        return f"(github.event_name == '{name}' && github.ref == 'refs/heads/{branch}')"
    if name == "push":
        return "(github.event_name == 'push' && github.ref_type == 'branch')"
    return f"github.event_name == '{name}'"
