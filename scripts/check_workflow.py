"""Checks that a workflow file matches the declared jobs.

    python scripts/check_workflow.py .github/workflows/ci.yml \\
        '{"lint": {"needs": [], "sessions": ["lint"]}}'

Prints findings as JSON, and exits with 1 if there are findings. A workflow may also
have two kinds of jobs that are not declared. The job `summary` must need every declared
job. A job that publishes results must not have a `run:` step.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

COMMAND = 'nox -s "$SESSION"'
MOST_STEPS = 5
SUMMARY = "summary"
LINE = "__line__"


class Loader(yaml.SafeLoader):
    """Loads YAML, and stores the line number of each mapping under the key LINE."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep=True)
        mapping[LINE] = node.start_mark.line + 1
        return mapping


Found = tuple[str, str, int]


def check(jobs: Mapping[str, Any], declared: Mapping[str, Any]) -> Iterator[Found]:
    """Yield each finding as (rule, message, line)."""
    for name in declared.keys() - jobs.keys():
        yield "missing-job", f"the declared job {name!r} is not in the workflow", 1
    for name, job in jobs.items():
        yield from _steps(name, job)
        yield from _needs(name, job, jobs, declared)
        yield from _run(name, job, declared)


def _steps(name: str, job: Mapping[str, Any]) -> Iterator[Found]:
    """Check that a job has at most MOST_STEPS steps, and that every `run:` is
    COMMAND.
    """
    steps = job.get("steps", [])
    if len(steps) > MOST_STEPS:
        yield (
            "steps",
            f"job {name!r} has {len(steps)} steps; {MOST_STEPS} are allowed",
            job[LINE],
        )
    for step in steps:
        if step.get("run", COMMAND) != COMMAND:
            yield (
                "run",
                f"job {name!r} runs {step['run']!r}; a job may only run {COMMAND}",
                step[LINE],
            )


def _needs(
    name: str,
    job: Mapping[str, Any],
    jobs: Mapping[str, Any],
    declared: Mapping[str, Any],
) -> Iterator[Found]:
    """Check the `needs:` of a job.

    The needed jobs must match the declaration, must exist, and must not form a cycle.
    """
    needs = needs_of(job)
    for need in needs:
        if need not in jobs:
            yield (
                "unknown-need",
                f"job {name!r} needs {need!r}, which is not in the workflow",
                job[LINE],
            )
    if name in declared and sorted(needs) != sorted(declared[name]["needs"]):
        yield (
            "needs",
            (
                f"job {name!r} needs {needs}; the declaration has"
                f" {declared[name]['needs']}"
            ),
            job[LINE],
        )
    if name == SUMMARY and set(needs) != set(declared):
        yield (
            "needs",
            f"job {name!r} needs {needs}; it must need every declared job",
            job[LINE],
        )
    todo, seen = list(needs), set()
    while todo:
        need = todo.pop()
        if need == name:
            yield "circle", f"job {name!r} needs itself through its needs", job[LINE]
            return
        if need not in seen:
            seen.add(need)
            todo += needs_of(jobs.get(need, {}))


def _run(
    name: str, job: Mapping[str, Any], declared: Mapping[str, Any]
) -> Iterator[Found]:
    """Check that a job runs exactly its declared sessions."""
    sessions = all_sessions_of(job)
    if name not in declared:
        if sessions and name != SUMMARY:
            yield (
                "unknown-job",
                f"job {name!r} is not declared, but runs {', '.join(sessions)}",
                job[LINE],
            )
        return
    for session in sessions:
        if session not in declared[name]["sessions"]:
            yield (
                "session",
                (
                    f"job {name!r} runs the session {session!r}, which is not declared"
                    " for it"
                ),
                job[LINE],
            )
    for session in declared[name]["sessions"]:
        if session not in sessions:
            yield (
                "session",
                f"job {name!r} does not run its declared session {session!r}",
                job[LINE],
            )


def needs_of(job: Mapping[str, Any]) -> list[str]:
    """Return the `needs:` of a job as a list. In a workflow file, `needs:` may also be
    a single name.
    """
    needs = job.get("needs", [])
    return [needs] if isinstance(needs, str) else list(needs)


def all_sessions_of(job: Mapping[str, Any]) -> list[str]:
    """Return the sessions that the steps of a job run."""
    return [
        session
        for step in job.get("steps", [])
        if "run" in step
        for session in sessions_of(job, step)
    ]


def sessions_of(job: Mapping[str, Any], step: Mapping[str, Any]) -> list[str]:
    """Return the sessions that a step runs. A step of a matrix job runs one session for
    each entry of the matrix.
    """
    session = str(step.get("env", {}).get("SESSION", ""))
    if session != "${{ matrix.session }}":
        return [session]
    return [str(one.get("session")) for one in job["strategy"]["matrix"]["include"]]


def main() -> None:
    file, declared = sys.argv[1], json.loads(sys.argv[2])
    with open(file, encoding="utf-8") as text:
        workflow = yaml.load(text, Loader)
    jobs = {name: job for name, job in workflow["jobs"].items() if name != LINE}
    found = [
        {"rule": rule, "message": message, "file": file, "line": line}
        for rule, message, line in check(jobs, declared)
    ]
    print(json.dumps(found))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
