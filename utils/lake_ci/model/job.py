"""The one declaration of a job, and the graph that the declarations make."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from lake_ci.errors import UsageError

ALWAYS = ("push", "pull_request", "merge_group", "workflow_dispatch", "tag")
EVENTS = (*ALWAYS, "schedule")
# The branches whose pushes start the workflow.
TRUNKS = ("main", "develop")
BRANCH_EVENTS = tuple(f"push:{branch}" for branch in TRUNKS)
# What of the world outside a result may depend on, see `lake_ci.cache.external_inputs`.
EXTERNAL_INPUTS = ("advisories", "api-server", "browser", "engine", "terraform")
ENVIRONMENTS = ("trial", "dev", "staging", "production")


@dataclass(frozen=True)
class Variant:
    """A job on one Python and one Java: what nox runs as one session."""

    job: Job
    python: str | None = None
    java: str | None = None

    @property
    def session(self) -> str:
        """The name nox knows it by: `tests-3.10(java17)`."""
        python = f"-{self.python}" if self.python and self.job.pythons else ""
        return f"{self.job.name}{python}" + (f"(java{self.java})" if self.java else "")

    @property
    def id(self) -> str:
        """The name of its folder under `reports/`: `tests-3.10-java17`."""
        return self.session.replace("(", "-").replace(")", "")

    @property
    def reproduce(self) -> str:
        """The command a person types to run it."""
        return (
            f'nox -s "{self.session}"'
            if "(" in self.session
            else f"nox -s {self.session}"
        )


@dataclass(frozen=True)
class Job:
    """What a CI job is: said once, in the noxfile, and read by nox, the plan, the
    workflow and the summary.

    Attributes:
        name: its session's name.
        function: the session.
        needs: the names of the jobs that must have passed before it.
        events: which events start it: a name of `EVENTS`, or `push:main` for one branch
            only.
        pythons: the Pythons it runs on, each as a session of its own; empty: `python`,
            with no suffix.
        javas: the Javas it runs on, likewise.
        python: the one Python of a job without a matrix; None for a session that needs
            no environment.
        inputs: the files it reads, as patterns relative to the repository; empty: the
            whole tree.
        reports: the files under `reports/<job>/` that it leaves, by name; `dist/` for
            that folder.
        setup: what its machine must have beside Python and git.
        artifacts_from: the needs whose files it reads (not their result.json); it reads
            no file of the others.
        external_inputs: the state outside the repository that its result depends on, by
            the names of `EXTERNAL_INPUTS`.
        variables: environment variables that it reads, in addition to those of every
            job (`external_inputs.VARIABLES`).
        never_cached: whether it always runs, because its effect cannot be restored from
            the cache.
        environment: whether it deploys, to the environment that the dispatch names.
        history: whether it needs the whole git history and the tags.
        minutes: its time limit.
        parser: makes the parser of what may be typed after `--`, for its `--help`.
    """

    name: str
    # It takes a Run, which stands a floor above.
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
        """The first line of the session's docstring."""
        return (self.function.__doc__ or "").strip().split("\n")[0]

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Every session of the job, in the order nox lists them."""
        pythons: tuple[str | None, ...] = self.pythons or (self.python,)
        javas: tuple[str | None, ...] = self.javas or (None,)
        return tuple(
            Variant(self, python, java) for python in pythons for java in javas
        )

    def variant(self, python: str | None, java: str | None) -> Variant:
        """The variant for a Python and a Java as nox names them; neither: the job as a
        whole.
        """
        return Variant(self, python or (None if self.pythons else self.python), java)


@dataclass
class Graph:
    """All declared jobs, in the order of the noxfile: needs come before what needs
    them.
    """

    jobs: dict[str, Job] = field(default_factory=dict)

    def add(self, job: Job) -> Job:
        """Take a job in. Raises UsageError for a name taken, an unknown need or an
        unknown event.
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
                    "a need is declared above the job that needs"
                    f" it{nearest(need, self.jobs)}"
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
        """The job of that name. Raises UsageError that offers the nearest one."""
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


def nearest(word: str, known: Iterable[str] | Mapping[str, object]) -> str:
    """`; did you mean 'tests'?`, or the list of what there is."""
    names = list(known)
    match = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return (
        f"; did you mean {match[0]!r}?" if match else f"; there are: {', '.join(names)}"
    )
