"""Declares jobs, and builds their dependency graph."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from lake_ci.errors import UsageError, nearest

ALWAYS = ("push", "pull_request", "merge_group", "workflow_dispatch", "tag")
EVENTS = (*ALWAYS, "schedule")
# The branch that contains only reviewed changes.
MAIN = "main"
# A push to one of these branches starts the workflow.
TRUNKS = (MAIN, "develop")
BRANCH_EVENTS = tuple(f"push:{branch}" for branch in TRUNKS)
# The external state on which a result may depend: see `lake_ci.cache.external_inputs`.
EXTERNAL_INPUTS = ("advisories", "api-server", "browser", "engine", "terraform")
ENVIRONMENTS = ("trial", "dev", "staging", "production")


@dataclass(frozen=True)
class Variant:
    """A job on one Python version and one Java version; nox runs it as one session."""

    job: Job
    python: str | None = None
    java: str | None = None

    @property
    def session(self) -> str:
        """The session's name in nox, such as `tests-3.10(java17)`."""
        python = f"-{self.python}" if self.python and self.job.pythons else ""
        return f"{self.job.name}{python}" + (f"(java{self.java})" if self.java else "")

    @property
    def id(self) -> str:
        """The session's folder in `reports/`, such as `tests-3.10-java17`."""
        return self.session.replace("(", "-").replace(")", "")

    @property
    def reproduce(self) -> str:
        """The command that reruns the session."""
        return (
            f'nox -s "{self.session}"'
            if "(" in self.session
            else f"nox -s {self.session}"
        )


@dataclass(frozen=True)
class Job:
    """A CI job, declared once in the noxfile.

    The nox session, the plan, the workflow file and the summary are derived from this
    declaration.

    Attributes:
        name: the job's name, which is also the name of its nox session.
        function: the session.
        needs: the names of the jobs that must pass before the job runs.
        events: the events that start the job. Each event is a name in `EVENTS`, or
            `push:main` for pushes to only one branch.
        pythons: the Python versions of the job, each with its own session. If there are
            no versions, the job has one session, on the version `python`, and the
            session's name contains no version.
        javas: the Java versions of the job, each with its own session.
        python: the Python version if `pythons` is empty; None if the session has no
            environment.
        inputs: patterns, relative to the repository, of the files that the job reads.
            If there are no patterns, the job may read all files.
        reports: the names of the files that the job writes to `reports/<job>/`. If the
            job writes to `dist/`, this folder is listed, too.
        setup: the programs that the machine must have, besides Python and git.
        artifacts_from: the jobs in `needs` whose output this job reads. The job must
            not read the output of a job outside this list. A cached job must not read a
            result.json, either.
        external_inputs: names in `EXTERNAL_INPUTS`. Each name stands for state outside
            of the repository on which the job's result depends.
        variables: the environment variables that this job reads, in addition to the
            variables that every job reads (`external_inputs.VARIABLES`).
        never_cached: whether the job always runs, because the cache cannot restore the
            job's effect.
        environment: whether the job deploys to an environment that the user chooses
            when starting the workflow.
        history: whether the job needs the whole git history and all tags.
        minutes: the time limit.
        parser: a function that creates the parser of the arguments after `--`. The
            parser prints the job's `--help`. Without a parser, the job accepts no
            arguments.
    """

    name: str
    # The function's argument is a `Run`. This module must not import `Run`, because a
    # higher layer defines it.
    function: Callable[..., None]
    needs: tuple[str, ...] = ()
    events: tuple[str, ...] = ALWAYS
    pythons: tuple[str, ...] = ()
    javas: tuple[str, ...] = ()
    python: str | None = "3.11"
    inputs: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    artifacts_from: tuple[str, ...] = ()
    external_inputs: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    never_cached: bool = False
    environment: bool = False
    history: bool = False
    minutes: float = 30
    parser: Callable[[], argparse.ArgumentParser] | None = None

    @property
    def summary(self) -> str:
        """Return the first line of the session's docstring."""
        return (self.function.__doc__ or "").strip().split("\n")[0]

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Return all sessions of the job, in the order in which nox lists them."""
        pythons: tuple[str | None, ...] = self.pythons or (self.python,)
        javas: tuple[str | None, ...] = self.javas or (None,)
        return tuple(
            Variant(self, python, java) for python in pythons for java in javas
        )

    def variant(self, python: str | None, java: str | None) -> Variant:
        """Return the variant for the Python and the Java version that nox passes.

        If nox passes no versions, the variant stands for the whole job.
        """
        return Variant(self, python or (None if self.pythons else self.python), java)


@dataclass
class Graph:
    """All declared jobs, in the order in which the noxfile declares them.

    Each job comes after the jobs that it needs.
    """

    jobs: dict[str, Job] = field(default_factory=dict)

    def add(self, job: Job) -> Job:
        """Add a job.

        Raises:
            UsageError: another job has the same name, the job has no docstring, or the
                job uses an unknown job, event or external input.
        """
        where = f"noxfile.py: job {job.name!r}"
        if job.name in self.jobs:
            raise UsageError(f"{where} is declared twice")
        if not job.summary:
            raise UsageError(
                f"{where} has no docstring",
                hint="its first line is what `nox -l` prints",
            )
        for need in job.needs:
            if need not in self.jobs:
                hint = (
                    f"declare it above the job that needs it{nearest(need, self.jobs)}"
                )
                raise UsageError(
                    f"{where} needs {need!r}, which is not declared", hint=hint
                )
        for event in job.events:
            _check_event(event, where)
        for name in job.external_inputs:
            if name not in EXTERNAL_INPUTS:
                hint = nearest(name, EXTERNAL_INPUTS)
                raise UsageError(f"{where}: no external input {name!r}{hint}")
        self.jobs[job.name] = job
        return job

    def __iter__(self) -> Iterator[Job]:
        return iter(self.jobs.values())

    def named(self, name: str) -> Job:
        """Return the job of that name.

        Raises:
            UsageError: no job has this name; the message suggests the nearest name.
        """
        if name not in self.jobs:
            raise UsageError(f"no job {name!r}{nearest(name, self.jobs)}")
        return self.jobs[name]


def _check_event(event: str, where: str) -> None:
    """Raise UsageError if a job cannot be started by this event."""
    kind, _, branch = event.partition(":")
    if kind not in EVENTS:
        raise UsageError(f"{where}: unknown event {event!r}{nearest(kind, EVENTS)}")
    if branch and event not in BRANCH_EVENTS:
        message = f"{where}: the event {event!r} starts no workflow run"
        hint = f"the events with a branch are {', '.join(BRANCH_EVENTS)}"
        raise UsageError(message, hint=hint)
