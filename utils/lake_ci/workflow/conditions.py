"""The `if:` of each job in the GitHub workflow.

GitHub puts `success() &&` before a condition without a status function, and
`success()` is false when any ancestor was skipped, not only a direct need. A job
that runs behind jobs which its event skips has to state its condition in full.
"""

from __future__ import annotations

from collections.abc import Iterable

from lake_ci.model.job import ALWAYS, EVENTS, Job

TAG = "(github.event_name == 'push' && github.ref_type == 'tag')"


def condition(job: Job) -> str | None:
    """The condition that starts a job on its events; None for a job of every event.

    The implicit `success()` is right here: an event that skips an ancestor skips the
    job, too, as in the plan.
    """
    if set(job.events) >= set(EVENTS):
        return None
    if set(job.events) == set(ALWAYS):
        return "github.event_name != 'schedule'"
    return " || ".join(_term(event) for event in job.events) or "false"


def release(needs: Iterable[str]) -> str:
    """The condition of a release: a pushed tag, and success of each of these needs.

    The implicit `success()` would be wrong: the summary, one of the needs, comes after
    jobs that a tag skips.
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
