"""Makes nox sessions of declared jobs."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nox

from lake_ci import interpreters, interrupts
from lake_ci.environment import Environment, uv_program
from lake_ci.errors import LakeCiError, MachineError
from lake_ci.job import Graph, Job
from lake_ci.results import Status
from lake_ci.run import Run

PLAN = "LAKE_CI_PLAN"
Function = Callable[[Run], None]


class Suite:
    """The jobs of a noxfile, and the nox sessions that run them.

    Attributes:
        root: the repository.
        graph: the jobs of the pipeline, in order.
        planned: inside a pipeline, the sessions it runs; None elsewhere, so that `nox -s X` runs exactly X.
    """

    def __init__(self, root: Path, env: MutableMapping[str, str] = os.environ) -> None:
        self.root = root
        self.env = env
        self.graph = Graph()
        self.planned: frozenset[str] | None = None
        if PLAN in env:
            self.planned = frozenset(json.loads(env[PLAN]))
            interrupts.end_with_parent()
        interrupts.install()
        with one_line():
            if uv_program() is None:
                hint = "run `python -m pip install 'nox[uv]'`"
                raise MachineError("uv is missing: it makes the environments of all sessions", hint=hint)

    @property
    def strict(self) -> bool:
        """Whether what could not be checked is a failure: on GitHub, and wherever LAKE_CI_STRICT=1 is set."""
        return self.env.get("LAKE_CI_STRICT") == "1"

    def job(self, *, needs: Sequence[Job] = (), **declaration: Any) -> Callable[[Function], Job]:
        """Declare a job of the pipeline; the options are the attributes of `Job`."""

        def decorate(function: Function) -> Job:
            with one_line():
                names = tuple(need.name for need in needs)
                job = self.graph.add(_job(function, needs=names, **declaration))
                self._register(job)
            return job

        return decorate

    def helper(self, **declaration: Any) -> Callable[[Function], Job]:
        """Declare a session for developers, which no event starts."""

        def decorate(function: Function) -> Job:
            job = _job(function, events=(), **declaration)
            self._register(job)
            return job

        return decorate

    def _register(self, job: Job) -> None:
        interpreters.show([*job.pythons, *([job.python] if job.python else [])], self.env)

        def call(session: nox.Session, java: str | None = None) -> None:
            self._call(job, session, java)

        call.__name__ = job.name
        call.__doc__ = job.function.__doc__
        if job.javas:
            call = nox.parametrize("java", [nox.param(java, id=f"java{java}") for java in job.javas])(call)
        requires = None
        if self.planned is not None:
            needed = [variant.session for need in job.needs for variant in self.graph.jobs[need].variants]
            requires = [session for session in needed if session in self.planned]
        nox.session(name=job.name, python=list(job.pythons) or job.python, requires=requires)(call)

    def _call(self, job: Job, session: nox.Session, java: str | None) -> None:
        variant = job.variant(str(session.python) if job.pythons else None, java)
        with Run(variant, self.root, environment(session), self.env, session.posargs) as run:
            job.function(run)
        if run.result is not None and run.result.status is Status.FAILURE:
            failed = [check.name for check in run.result.checks if check.status is Status.FAILURE]
            where = run.bench.relative(run.bench.reports / "result.json")
            session.error(f"{', '.join(failed) or run.result.cause} failed; all of it in {where}")


def environment(session: nox.Session) -> Environment:
    """The environment nox made for a session. nox shows what it was told only on its private runner."""
    config = session._runner.global_config
    folder = getattr(session.virtualenv, "location", None)
    if folder is None:
        return Environment(Path(sys.prefix), may_install=False, install_only=config.install_only, own=False)
    return Environment(
        Path(folder),
        may_install=not (config.no_install and session.virtualenv._reused),
        install_only=config.install_only,
    )


@contextmanager
def one_line() -> Iterator[None]:
    """Turn a LakeCiError into one line on standard error and its exit code; a closed pipe (`| head`) into silence."""
    try:
        yield
    except LakeCiError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # What is still in the buffer has no reader either, and Python would say so at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


def _job(function: Function, **declaration: Any) -> Job:
    lists: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in declaration.items()
    }
    return Job(function.__name__, function, **lists)
