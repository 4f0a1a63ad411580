"""Declares jobs, and builds their dependency graph."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from lake_ci.errors import UsageError, nearest

ALWAYS = ("push", "pull_request", "merge_group", "workflow_dispatch", "tag")
EVENTS = (*ALWAYS, "schedule")
# The branch on which all commits are reviewed.
MAIN = "main"
# A push to one of these branches starts the workflow.
TRUNKS = (MAIN, "develop")
BRANCH_EVENTS = tuple(f"push:{branch}" for branch in TRUNKS)
# The external state that a result may depend on, see `lake_ci.cache.external_inputs`.
EXTERNAL_INPUTS = ("advisories", "api-server", "browser", "engine", "terraform")
ENVIRONMENTS = ("trial", "dev", "staging", "production")


@dataclass(frozen=True)
class Variant:
    """A job with one Python and one Java version, which nox runs as one session."""

    job: Job
    python: str | None = None
    java: str | None = None

    @property
    def session(self) -> str:
        """The session's name in nox: `tests-3.10(java17)`."""
        python = f"-{self.python}" if self.python and self.job.pythons else ""
        return f"{self.job.name}{python}" + (f"(java{self.java})" if self.java else "")

    @property
    def id(self) -> str:
        """The name of the session's folder under `reports/`: `tests-3.10-java17`."""
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

    nox, the plan, the workflow and the summary read this declaration.

    Attributes:
        name: the job's name, which is also the name of its nox session.
        function: the session.
        needs: the names of the jobs that must pass before the job runs.
        events: the events that start the job: names of `EVENTS`, or `push:main` for one
            branch only.
        pythons: the Python versions that the job runs on, each in its own session; if
            empty, one session runs on `python`, without a suffix in its name.
        javas: the Java versions that the job runs on, each in its own session.
        python: the Python version of a job without a matrix; None for a session without
            an environment.
        inputs: the files that the job reads, as patterns relative to the repository; if
            empty, the whole tree.
        reports: the names of the files under `reports/<job>/` that the job writes;
            `dist/` if it writes that folder.
        setup: the programs that must be installed on the machine, beside Python and
            git.
        artifacts_from: the needed jobs whose output the job reads. The job reads no
            files of other jobs, and a cached job does not read their result.json.
        external_inputs: the state outside the repository that the result depends on, as
            names of `EXTERNAL_INPUTS`.
        variables: environment variables that the job reads, in addition to those of
            every job (`external_inputs.VARIABLES`).
        never_cached: whether the job always runs, because its effect cannot be restored
            from the cache.
        environment: whether the job deploys to the environment that the user chooses
            for the workflow run.
        history: whether the job needs the whole git history and the tags.
        minutes: the time limit.
        parser: creates the parser of the arguments after `--`, for the job's `--help`.
    """

    name: str
    # The function takes a Run, but this module must not import a module of a higher
    # layer.
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
        """Return every session of the job, in the order in which nox lists them."""
        pythons: tuple[str | None, ...] = self.pythons or (self.python,)
        javas: tuple[str | None, ...] = self.javas or (None,)
        return tuple(
            Variant(self, python, java) for python in pythons for java in javas
        )

    def variant(self, python: str | None, java: str | None) -> Variant:
        """Return the variant for a Python and a Java as nox names them.

        If both are None, return the variant for the job as a whole.
        """
        return Variant(self, python or (None if self.pythons else self.python), java)


@dataclass
class Graph:
    """All declared jobs, in the order of the noxfile.

    Each job comes after the jobs that it needs.
    """

    jobs: dict[str, Job] = field(default_factory=dict)

    def add(self, job: Job) -> Job:
        """Add a job.

        Raises:
            UsageError: the name is used already, or a needed job or an event is
                unknown.
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
            UsageError: there is no such job; the message suggests the nearest name.
        """
        if name not in self.jobs:
            raise UsageError(f"no job {name!r}{nearest(name, self.jobs)}")
        return self.jobs[name]


def _check_event(event: str, where: str) -> None:
    """Raise UsageError for an event that starts no workflow run."""
    kind, _, branch = event.partition(":")
    if kind not in EVENTS:
        raise UsageError(f"{where}: unknown event {event!r}{nearest(kind, EVENTS)}")
    if branch and event not in BRANCH_EVENTS:
        message = f"{where}: no workflow run has the event {event!r}"
        hint = f"events with a branch: {', '.join(BRANCH_EVENTS)}"
        raise UsageError(message, hint=hint)
