"""What an event would run, before anything runs: the jobs in order, the reasons for the others, the time it takes."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from lake_ci import events, results
from lake_ci.errors import BadResultError, UsageError
from lake_ci.events import Plan
from lake_ci.job import ENVIRONMENTS, EVENTS, Graph, Job, nearest
from lake_ci.report.terminal import seconds
from lake_ci.results import REPORTS, Status, count
from lake_ci.reuse import Answer, Verdict, ended


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, and offers the nearest option."""

    def error(self, message: str) -> NoReturn:
        unknown = re.match(r"unrecognized arguments: (\S+)", message)
        if unknown:
            options = [
                option for action in self._actions for option in action.option_strings if option[:2] == "--"
            ]
            message = f"no option {unknown[1]!r}{nearest(unknown[1], options)}"
        raise UsageError(message)


def parser(session: str) -> Parser:
    """The arguments that say what to plan, after `nox --` or `nox -s plan --`."""
    parser = Parser(prog=f"nox {session}--", allow_abbrev=False, description=__doc__)
    parser.add_argument("--event", metavar="E", help=f"play this event: {', '.join(EVENTS)}")
    parser.add_argument("--branch", metavar="B", help="play it on this branch")
    parser.add_argument(
        "--environment", metavar="E", help="deploy there (a deploy is played on trial otherwise)"
    )
    parser.add_argument(
        "--only", metavar="JOB", action="append", default=[], help="run just this job; may be repeated"
    )
    parser.add_argument(
        "--skip", metavar="JOB", action="append", default=[], help="leave out this job and its dependents"
    )
    parser.add_argument(
        "--changed-since", metavar="REF", help="leave out the jobs none of whose inputs changed since"
    )
    return parser


def plan_of(graph: Graph, root: Path, env: Mapping[str, str], options: argparse.Namespace) -> Plan:
    """The plan for parsed arguments. Raises UsageError for a job, event, environment or commit that is not there."""
    if options.environment is not None:
        if options.environment not in ENVIRONMENTS:
            raise UsageError(
                f"no environment {options.environment!r}{nearest(options.environment, ENVIRONMENTS)}"
            )
        if not any(job.environment for job in graph):
            raise UsageError("no job deploys, so --environment means nothing here")
    event = events.current(root, env, name=options.event, branch=options.branch)
    unchanged = events.unchanged_since(graph, root, options.changed_since) if options.changed_since else {}
    return events.select(
        graph, event, only=_split(options.only), skip=_split(options.skip), unchanged=unchanged
    )


def expected(root: Path, jobs: Iterable[Job]) -> dict[str, float]:
    """The seconds that each session took the last time it ran whole; nothing for one that never did."""
    times = {}
    for variant in (variant for job in jobs for variant in job.variants):
        try:
            result = results.read(root / REPORTS / variant.id)
        except BadResultError:
            continue
        if not result.partial and result.cause is None and result.status in (Status.SUCCESS, Status.WARNING):
            times[variant.session] = result.seconds
    return times


def critical_path(jobs: Sequence[Job], times: Mapping[str, float]) -> tuple[list[str], float]:
    """The chain of needs that takes longest where every session has a machine of its own, and its seconds.

    A job takes as long as the slowest of its sessions. Jobs without a known time count as nothing.
    """
    ends: dict[str, float] = {}
    steps: dict[str, int] = {}
    before: dict[str, str | None] = {}
    for job in jobs:
        needs = [need for need in job.needs if need in ends]
        last = max(needs, key=lambda need: (ends[need], steps[need]), default=None)
        own = max(times.get(variant.session, 0.0) for variant in job.variants)
        ends[job.name] = own + (ends[last] if last else 0.0)
        steps[job.name] = 1 + (steps[last] if last else 0)
        before[job.name] = last
    at = max(ends, key=lambda name: (ends[name], steps[name]), default=None)
    total = ends[at] if at else 0.0
    path: list[str] = []
    while at is not None:
        path.append(at)
        at = before[at]
    return path[::-1], total


def as_text(plan: Plan, times: Mapping[str, float], verdicts: Sequence[Verdict] = ()) -> str:
    """The plan for a person; with what is known of each session, where kept results may be reused."""
    path, total = critical_path(plan.starts, times)
    sessions = len(plan.sessions)
    head = f"{plan.event}: {count(len(plan.starts), 'job')}, {count(sessions, 'session')}"
    known = sum(session in times for session in plan.sessions)
    if known:
        missing = (
            "" if known == sessions else f"; {count(sessions - known, 'session')} of unknown time not counted"
        )
        head += f"\ncritical path {' → '.join(path)}, about {seconds(total)} by the last runs{missing}"
    lines = [head, ""]
    for number, job in enumerate(plan.starts, 1):
        needs = [need for need in job.needs if need not in plan.skipped]
        words = [count(len(job.variants), "session")] if len(job.variants) > 1 else []
        slowest = max(times.get(variant.session, 0.0) for variant in job.variants)
        words += [f"about {seconds(slowest)}"] if slowest else []
        words += [f"after {', '.join(needs)}"] if needs else []
        lines.append(f"{number:>3}. {job.name:<14} {'; '.join(words)}".rstrip())
    lines += [f"  -  {job}: {reason}" for job, reason in plan.skipped.items()]
    lines += ["", *forecast_text(verdicts)] if verdicts else []
    return "\n".join(lines)


def forecast_text(verdicts: Sequence[Verdict]) -> list[str]:
    """A line for each session: since when its result holds, or why it runs, with the first inputs that differ."""
    words = {Answer.REUSE: "reused", Answer.RUN: "runs", Answer.LATER: "later"}
    return [f"  {each.variant.session:<22} {words[each.answer]:<7} {each.why()}" for each in verdicts]


def why_text(job: Job, verdicts: Sequence[Verdict]) -> list[str]:
    """For each session of a job all that differs from the nearest kept result, a line each."""
    if not verdicts:
        return [
            f"{job.name} runs when it is asked for: this event does not start it, or nothing is reused here"
        ]
    lines = []
    for each in verdicts:
        holds = each.entry is not None
        lines.append(f"{each.variant.session}: {each.answer.value}{f', {each.why()}' if holds else ''}")
        lines += [] if holds else [f"  {reason}" for reason in each.reasons]
    return lines


def as_json(plan: Plan, times: Mapping[str, float], verdicts: Sequence[Verdict] = ()) -> str:
    """The plan for a program."""
    path, total = critical_path(plan.starts, times)
    body: dict[str, Any] = {
        "event": plan.event.name,
        "branch": plan.event.branch,
        "jobs": [
            {
                "job": job.name,
                "needs": list(job.needs),
                "sessions": [variant.session for variant in job.variants],
                "seconds": max(
                    (times[one.session] for one in job.variants if one.session in times), default=None
                ),
            }
            for job in plan.starts
        ],
        "skipped": dict(plan.skipped),
        "cache": {
            each.variant.session: {
                "answer": each.answer.value,
                "reasons": list(each.reasons),
                "run": each.entry.result.run if each.entry else None,
                "since": ended(each.entry.result) if each.entry else None,
            }
            for each in verdicts
        },
        "critical_path": path,
        "seconds": round(total, 3),
    }
    return json.dumps(body, indent=1)


def as_mermaid(plan: Plan, graph: Graph) -> str:
    """The graph as a Mermaid flowchart; what does not run is dashed."""
    lines = ["flowchart LR"]
    lines += [f"  {job.name}:::{'skipped' if job.name in plan.skipped else 'starts'}" for job in graph]
    lines += [f"  {need} --> {job.name}" for job in graph for need in job.needs]
    return "\n".join(
        [*lines, "  classDef skipped stroke-dasharray: 4", "  classDef starts stroke-width: 2px"]
    )


def _split(values: Sequence[str]) -> list[str]:
    return [name for value in values for name in value.split(",") if name]
