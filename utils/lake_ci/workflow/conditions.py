"""Computes the `if:` of each job in the GitHub workflow.

GitHub puts `success() &&` before a condition without a status function. `success()` is
false when any ancestor of the job was skipped, even one that the job does not need
directly. If an event skips an ancestor of a job and still starts the job, the job needs
a condition with a status function.
"""

from __future__ import annotations

from collections.abc import Iterable

from lake_ci.model.job import ALWAYS, EVENTS, Job

TAG = "(github.event_name == 'push' && github.ref_type == 'tag')"


def condition(job: Job) -> str | None:
    """Return the condition that starts a job on its events.

    Return None for a job that every event starts. In this case the implicit `success()`
    is correct: an event that skips an ancestor also skips the job, as in the plan.
    """
    if set(job.events) >= set(EVENTS):
        return None
    if set(job.events) == set(ALWAYS):
        return "github.event_name != 'schedule'"
    return " || ".join(_term(event) for event in job.events) or "false"


def release(needs: Iterable[str]) -> str:
    """Return the condition of a release: a pushed tag, and success of these jobs.

    The implicit `success()` would be false: a release needs the summary, whose
    ancestors include jobs that a tag skips.
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
