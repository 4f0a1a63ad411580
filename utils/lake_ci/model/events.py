"""Decides which jobs an event starts, and gives the reason for each skipped job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from lake_ci.errors import UsageError, nearest
from lake_ci.model.job import EVENTS, TRUNKS, Graph, Job, Variant
from lake_ci.system import git


@dataclass(frozen=True)
class Event:
    """An event: a name in `EVENTS`, and the branch on which the event occurs."""

    name: str
    branch: str | None = None

    def __str__(self) -> str:
        return f"{self.name} on {self.branch}" if self.branch else self.name


@dataclass(frozen=True)
class Plan:
    """The jobs that an event starts, in the order of the noxfile.

    `skipped` contains all other jobs, each with the reason why the job does not run.
    """

    event: Event
    starts: tuple[Job, ...]
    skipped: Mapping[str, str]

    @property
    def variants(self) -> tuple[Variant, ...]:
        return tuple(variant for job in self.starts for variant in job.variants)

    @property
    def sessions(self) -> tuple[str, ...]:
        return tuple(variant.session for variant in self.variants)


def current(
    root: Path,
    env: Mapping[str, str],
    *,
    name: str | None = None,
    branch: str | None = None,
) -> Event:
    """Return the event that `nox` without arguments simulates.

    On GitHub, return the event that started the workflow. On any other machine, return
    a push if the branch is `main` or `develop`, and a pull request for any other
    branch. `name` and `branch` override the detected event and branch.

    Raises:
        UsageError: no event has this name.
    """
    if name is not None and name not in EVENTS:
        raise UsageError(f"no event {name!r}{nearest(name, EVENTS)}")
    branch = (
        branch
        or env.get("GITHUB_HEAD_REF")
        or env.get("GITHUB_REF_NAME")
        or git.branch(root)
    )
    name = name or _github_event(env)
    if name not in EVENTS:
        name = "push" if branch in TRUNKS else "pull_request"
    return Event(name, branch)


def _github_event(env: Mapping[str, str]) -> str | None:
    name = env.get("GITHUB_EVENT_NAME")
    is_tag = name == "push" and env.get("GITHUB_REF_TYPE") == "tag"
    return "tag" if is_tag else name


def select(
    graph: Graph,
    event: Event,
    *,
    only: Iterable[str] = (),
    skip: Iterable[str] = (),
) -> Plan:
    """Return the jobs that an event starts, and why it skips the remaining jobs.

    Args:
        only: run only these jobs, as if the jobs that they need had passed.
        skip: skip these jobs and all jobs that need them, as GitHub does.

    Raises:
        UsageError: a job does not exist.
    """
    wanted = {graph.named(name).name for name in only}
    unwanted = {graph.named(name).name for name in skip}
    starts: list[Job] = []
    skipped: dict[str, str] = {}
    for job in graph:
        reason = _deselected(job, event, wanted, unwanted)
        if reason is None and not wanted:
            reason = _missing_need(job, skipped.keys())
        if reason is None:
            starts.append(job)
        else:
            skipped[job.name] = reason
    return Plan(event, tuple(starts), skipped)


def _deselected(
    job: Job, event: Event, wanted: Set[str], unwanted: Set[str]
) -> str | None:
    """Return why the event or the options skip a job, or None if the job runs.

    If `--only` names a job, the job runs for every event.
    """
    if job.name in unwanted:
        return "skipped by --skip"
    if job.name in wanted:
        return None
    if wanted:
        return f"not in --only {','.join(sorted(wanted))}"
    return _why_not(job, event)


def _missing_need(job: Job, left_out: Set[str]) -> str | None:
    for need in job.needs:
        if need in left_out:
            return f"needs {need}, which does not run"
    return None


def _why_not(job: Job, event: Event) -> str | None:
    for wanted in job.events:
        name, _, branch = wanted.partition(":")
        if name == event.name and branch in ("", event.branch):
            return None
    places = [wanted.replace(":", " to ").replace("_", " ") for wanted in job.events]
    return f"only on {' or '.join(places)}"
