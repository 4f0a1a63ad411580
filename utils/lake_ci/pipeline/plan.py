"""Prints which jobs an event starts, without running them.

The plan lists the jobs in order, the reason for each job that is left out, and the
expected duration.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lake_ci.cache.lookup import Answer, CacheDecision, ended
from lake_ci.errors import UsageError, nearest
from lake_ci.model import events
from lake_ci.model.events import Plan
from lake_ci.model.job import ENVIRONMENTS, EVENTS, Graph, Job
from lake_ci.model.results import count
from lake_ci.model.schedule import Estimate, critical_path, start_order
from lake_ci.pipeline.durations import Durations
from lake_ci.runner.options import Parser


def parser(session: str) -> Parser:
    """Return the parser of the arguments that choose an event and its jobs.

    These arguments follow `nox --` or `nox -s plan --`.
    """
    parser = Parser(f"nox {session}--", __doc__)
    parser.add_argument(
        "--event", metavar="E", help=f"simulate this event: {', '.join(EVENTS)}"
    )
    parser.add_argument(
        "--branch", metavar="B", help="simulate the event on this branch"
    )
    parser.add_argument(
        "--environment",
        metavar="E",
        help="deploy to this environment (default: trial)",
    )
    parser.add_argument(
        "--only",
        metavar="JOB",
        action="append",
        default=[],
        help="run only this job; may be repeated",
    )
    parser.add_argument(
        "--skip",
        metavar="JOB",
        action="append",
        default=[],
        help="leave out this job and all jobs that need it",
    )
    return parser


def plan_of(
    graph: Graph, root: Path, env: Mapping[str, str], options: argparse.Namespace
) -> Plan:
    """Return the plan for parsed arguments.

    Raises:
        UsageError: a job, event or environment does not exist, or no job deploys to the
            environment.
    """
    if options.environment is not None:
        if options.environment not in ENVIRONMENTS:
            like = nearest(options.environment, ENVIRONMENTS)
            raise UsageError(f"no environment {options.environment!r}{like}")
        if not any(job.environment for job in graph):
            raise UsageError("--environment has no effect: no job deploys")
    event = events.current(root, env, name=options.event, branch=options.branch)
    return events.select(
        graph, event, only=_split(options.only), skip=_split(options.skip)
    )


def estimate(
    plan: Plan,
    times: Durations,
    decisions: Sequence[CacheDecision] = (),
    *,
    workers: int = 1,
) -> Estimate:
    """Return the start order and the expected duration of a plan.

    Args:
        decisions: the cache's decision for each session; empty if cached results may
            not be reused.
        workers: how many sessions run at once.
    """
    # `cached` includes the sessions whose cached results can be reused only after other
    # sessions have passed.
    cached = frozenset(each.variant.session for each in decisions if each.entry)
    seconds = {name: each for name, each in times.seconds.items() if name not in cached}
    needs = _needs(plan)
    order = tuple(start_order(needs, seconds))
    path = tuple(name for name in critical_path(needs, seconds) if name not in cached)
    return Estimate(
        order=order,
        cached=cached,
        unrecorded=times.estimated - cached,
        path=path,
        path_seconds=sum(seconds.get(name, 0.0) for name in path),
        total_seconds=sum(seconds.get(name, 0.0) for name in order),
        workers=workers,
        quick=_quick(plan, times, len(order) - len(cached)),
    )


def _needs(plan: Plan) -> dict[str, list[str]]:
    """For each planned session, return the planned sessions that it needs."""
    sessions = {
        job.name: [each.session for each in job.variants] for job in plan.starts
    }
    needs: dict[str, list[str]] = {}
    for job in plan.starts:
        needed = [session for need in job.needs for session in sessions.get(need, ())]
        # If sessions have equal durations, the session with the newest Python starts
        # first, because this session runs the most tests.
        needs.update((session, needed) for session in reversed(sessions[job.name]))
    return needs


def _quick(plan: Plan, times: Durations, running: int) -> tuple[str, float] | None:
    """Return the session of the plan's first job, with the session's seconds.

    The result is None if no other session runs, or if the first job has several
    sessions.
    """
    if running < 2 or len(plan.starts[0].variants) > 1:
        return None
    session = plan.starts[0].variants[0].session
    return session, times.seconds.get(session, 0.0)


def estimate_text(estimate: Estimate) -> list[str]:
    """Return lines with the number of sessions that run, and the duration."""
    running = len(estimate.order) - len(estimate.cached)
    head = f"{count(len(estimate.order), 'session')}: {len(estimate.cached)} cached"
    if not running:
        return [f"{head}, none to run"]
    where = count(estimate.workers, "worker")
    lines = [f"{head}, {running} to run in about {about(estimate.seconds)} on {where}"]
    if estimate.unrecorded:
        number = len(estimate.unrecorded)
        lines.append(f"estimated: no run of {count(number, 'session')} is recorded")
    path = " → ".join(estimate.path)
    lines.append(f"critical path: {path}, about {about(estimate.path_seconds)}")
    if estimate.quick is not None and estimate.quick[1] < estimate.seconds:
        session, seconds = estimate.quick
        lines.append(f"`nox -s {session}` takes about {about(seconds)}")
    return lines


def about(seconds: float) -> str:
    """Return a rounded duration, such as `9 s` or `12 min`."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"


def as_text(
    plan: Plan,
    times: Durations,
    decisions: Sequence[CacheDecision] = (),
    *,
    workers: int = 1,
) -> str:
    """Return the plan as text for a terminal.

    The text shows the cache's decisions, if there are any.
    """
    expected = estimate(plan, times, decisions, workers=workers)
    lines = [f"{plan.event}: {count(len(plan.starts), 'job')}"]
    lines += [*estimate_text(expected), ""] if expected.order else [""]
    for number, job in enumerate(_by_start(plan.starts, expected), 1):
        needs = [need for need in job.needs if need not in plan.skipped]
        words = [count(len(job.variants), "session")] if len(job.variants) > 1 else []
        words.append(f"about {about(_slowest(job, times))}")
        words += [f"after {', '.join(needs)}"] if needs else []
        lines.append(f"{number:>3}. {job.name:<14} {'; '.join(words)}")
    lines += [f"  -  {job}: {reason}" for job, reason in plan.skipped.items()]
    lines += ["", *forecast_text(decisions)] if decisions else []
    return "\n".join(lines)


def _by_start(jobs: Sequence[Job], expected: Estimate) -> list[Job]:
    """Return the jobs in the order in which the first session of each job starts."""
    position = {session: number for number, session in enumerate(expected.order)}

    def first(job: Job) -> int:
        return min(position[variant.session] for variant in job.variants)

    return sorted(jobs, key=first)


def _slowest(job: Job, times: Durations) -> float:
    return max(times.seconds.get(variant.session, 0.0) for variant in job.variants)


def forecast_text(decisions: Sequence[CacheDecision]) -> list[str]:
    """Return a line for each session: when its cached result was made, or why it runs.

    If a session runs, its line names the first inputs that differ from the inputs of a
    cached result.
    """
    words = {Answer.REUSE: "reused", Answer.RUN: "runs", Answer.LATER: "later"}
    return [
        f"  {each.variant.session:<22} {words[each.answer]:<7} {each.why()}"
        for each in decisions
    ]


def why_text(job: Job, decisions: Sequence[CacheDecision]) -> list[str]:
    """For each session of a job, return why the session runs or does not run.

    If a session runs, each of its lines names an input that differs from the inputs of
    the most similar cached result.
    """
    if not decisions:
        return [
            f"{job.name} was not looked up in the cache: this event does not start it,"
            " or the cache is off"
        ]
    lines = []
    for each in decisions:
        holds = each.entry is not None
        lines.append(
            f"{each.variant.session}:"
            f" {each.answer.value}{f', {each.why()}' if holds else ''}"
        )
        lines += [] if holds else [f"  {reason}" for reason in each.reasons]
    return lines


def as_json(
    plan: Plan,
    times: Durations,
    decisions: Sequence[CacheDecision] = (),
    *,
    workers: int = 1,
) -> str:
    """Return the plan as JSON, with the jobs in the order in which they start."""
    expected = estimate(plan, times, decisions, workers=workers)
    body: dict[str, Any] = {
        "event": plan.event.name,
        "branch": plan.event.branch,
        "jobs": [
            {
                "job": job.name,
                "needs": list(job.needs),
                "sessions": [variant.session for variant in job.variants],
                "seconds": round(_slowest(job, times), 3),
            }
            for job in _by_start(plan.starts, expected)
        ],
        "order": expected.order,
        "skipped": dict(plan.skipped),
        "cache": {
            each.variant.session: {
                "answer": each.answer.value,
                "reasons": list(each.reasons),
                "run": each.entry.result.run if each.entry else None,
                "since": ended(each.entry.result) if each.entry else None,
            }
            for each in decisions
        },
        "critical_path": expected.path,
        "seconds": round(expected.seconds, 3),
        "workers": expected.workers,
        "unrecorded": sorted(expected.unrecorded),
    }
    return json.dumps(body, indent=1)


def as_mermaid(plan: Plan, graph: Graph) -> str:
    """Return the graph as a Mermaid flowchart; the boxes of skipped jobs are dashed."""
    lines = ["flowchart LR"]
    lines += [
        f"  {job.name}:::{'skipped' if job.name in plan.skipped else 'starts'}"
        for job in graph
    ]
    lines += [f"  {need} --> {job.name}" for job in graph for need in job.needs]
    return "\n".join(
        [
            *lines,
            "  classDef skipped stroke-dasharray: 4",
            "  classDef starts stroke-width: 2px",
        ]
    )


def _split(values: Sequence[str]) -> list[str]:
    return [name for value in values for name in value.split(",") if name]
