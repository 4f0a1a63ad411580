"""Creates nox sessions from declared jobs."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nox

from lake_ci.cache import lookup
from lake_ci.cache.lookup import Answer, CacheDecision, Mode, ResultCache
from lake_ci.errors import LakeCiError, MachineError, UsageError, nearest
from lake_ci.model import results
from lake_ci.model.job import Graph, Job, Variant
from lake_ci.model.results import REPORTS, Result, Status
from lake_ci.model.settings import read_settings
from lake_ci.report import terminal
from lake_ci.runner import nox_adapter
from lake_ci.runner.options import HELP, Parser
from lake_ci.runner.run import Run, facts
from lake_ci.system import interpreters, provisioning, signals
from lake_ci.system.environment import Environment, check_variables, uv_program
from lake_ci.system.redaction import Redactor, strip_secrets

PLAN = "LAKE_CI_PLAN"
Function = Callable[[Run], None]


class Suite:
    """The jobs that a noxfile declares, with their nox sessions.

    Attributes:
        root: the repository.
        graph: the jobs of the pipeline, in the order of the noxfile.
        redact: a function that replaces secrets in what the suite prints or writes.
        planned: the sessions that the pipeline runs. None if no pipeline started this
            process; then, `nox -s X` runs only X.
    """

    def __init__(self, root: Path, env: MutableMapping[str, str] = os.environ) -> None:
        self.root = root
        strip_secrets(env)
        self.env = env
        self.redact = Redactor.of(env)
        self.graph = Graph()
        self.planned: frozenset[str] | None = None
        if PLAN in env:
            self.planned = frozenset(json.loads(env[PLAN]))
            signals.end_with_parent()
        signals.install()
        with exit_on_error(self.redact):
            check_variables(env)
            if uv_program() is None:
                hint = "run `python -m pip install 'nox[uv]'`"
                raise MachineError(
                    "uv is missing: it creates the environments of all sessions",
                    hint=hint,
                )
            if find_spec("jinja2") is None:
                raise MachineError(
                    "jinja2 is missing: it renders the HTML report",
                    hint="run `python -m pip install jinja2`",
                )
            lookup.mode(env)
            self._paths = read_settings(root).paths

    @property
    def strict(self) -> bool:
        """Whether a check fails if a part of its work was not checked.

        LAKE_CI_STRICT=1 switches strict mode on. The workflow on GitHub sets this
        variable.
        """
        return self.env.get("LAKE_CI_STRICT") == "1"

    def job(
        self, *, needs: Sequence[Job] = (), **declaration: Any
    ) -> Callable[[Function], Job]:
        """Declare a job of the pipeline; the arguments are attributes of `Job`."""

        def decorate(function: Function) -> Job:
            with exit_on_error(self.redact):
                names = tuple(need.name for need in needs)
                job = self._declared(_job(function, needs=names, **declaration))
                self.graph.add(job)
                self._register(job)
            return job

        return decorate

    def _declared(self, job: Job) -> Job:
        """Replace each `{name}` in a job's inputs by patterns, and return the job.

        `[tool.lake_ci.paths]` defines the patterns for each name.

        Raises:
            UsageError: the job uses a name that the table does not define.
        """
        inputs: list[str] = []
        for pattern in job.inputs:
            name = pattern[1:-1]
            if pattern != f"{{{name}}}":
                inputs.append(pattern)
            elif name in self._paths:
                inputs += self._paths[name]
            else:
                raise UsageError(
                    f"noxfile.py: job {job.name!r}: [tool.lake_ci.paths] has no"
                    f" {name!r}{nearest(name, self._paths)}"
                )
        return replace(job, inputs=tuple(inputs))

    def helper(self, **declaration: Any) -> Callable[[Function], Job]:
        """Declare a helper: a session that only developers start, never a CI event."""

        def decorate(function: Function) -> Job:
            with exit_on_error(self.redact):
                job = _job(function, events=(), **declaration)
                self._register(job)
            return job

        return decorate

    def _register(self, job: Job) -> None:
        interpreters.show(
            [*job.pythons, *([job.python] if job.python else [])], self.env
        )

        def call(session: nox.Session, java: str | None = None) -> None:
            self._call(job, session, java)

        call.__name__ = job.name
        call.__doc__ = job.function.__doc__
        if job.javas:
            call = nox.parametrize(
                "java", [nox.param(java, id=f"java{java}") for java in job.javas]
            )(call)
        requires = None
        if self.planned is not None:
            needed = [
                variant.session
                for need in job.needs
                for variant in self.graph.jobs[need].variants
            ]
            requires = [session for session in needed if session in self.planned]
        nox.session(
            name=job.name, python=list(job.pythons) or job.python, requires=requires
        )(call)

    def _call(self, job: Job, session: nox.Session, java: str | None) -> None:
        parser = job.parser or (lambda: Parser(f"nox -s {job.name} --", job.summary))
        if HELP.intersection(session.posargs):
            print(parser().format_help(), end="")
            return
        variant = job.variant(str(session.python) if job.pythons else None, java)
        made = nox_adapter.environment(session)
        with exit_on_error(self.redact):
            if job.parser is None:
                parser().parse_args(session.posargs)
            cached = self._look_up(variant, made, session.posargs)
        if cached is not None and self._reused(cached):
            return
        keep = cached.keep if cached is not None else _keep_nothing
        observe = cached.observe if cached is not None else _observe_nothing
        workers = processors() if self.planned is None else 1
        try:
            run = Run(
                variant,
                self.root,
                made,
                self.env,
                session.posargs,
                workers=workers,
                ended=keep,
                provisioned=observe,
            )
            with run:
                self._warn_of_incomplete_needs(job, run)
                job.function(run)
        except Exception as error:  # noqa: B902 - printed by nox with secrets
            session.error(self.redact("".join(traceback.format_exception(error))))
        _raise_if_failed(session, run)

    def _warn_of_incomplete_needs(self, job: Job, run: Run) -> None:
        """Warn if a partial run wrote the files that this job reads."""
        for need in job.artifacts_from:
            for variant in self.graph.jobs[need].variants:
                why = results.incomplete(self.root / REPORTS / variant.id)
                if why is not None:
                    run.warn(f"the files of {variant.session} are incomplete: {why}")

    def reuse(
        self,
        environment: Callable[[Variant], Path | None],
        out: Callable[[str], None] = print,
    ) -> ResultCache:
        """Return the result cache.

        `environment` is a function that returns the folder of a session's environment.
        """
        return ResultCache(self.graph, self.root, self.env, environment, out=out)

    def _look_up(
        self, variant: Variant, where: Environment, posargs: Sequence[str]
    ) -> SessionCache | None:
        """Look up a session in the result cache before the session runs.

        The result is None if the session must not use the cache. A session must not use
        the cache if the cache is off, if there are arguments after `--`, or if the job
        is never cached. It also must not use the cache if the suite may not install
        packages into the session's environment.
        """
        mode = lookup.mode(self.env)
        if mode is Mode.OFF or not self._may_cache(variant.job, where, posargs):
            return None
        cache = self.reuse(lambda _: where.folder if where.own else None)
        now = cache.now()
        if mode is Mode.SESSIONS or (
            mode is Mode.PIPELINE and self.planned is not None
        ):
            decision = cache.look(variant, now)
        else:
            decision = CacheDecision(variant, Answer.RUN, now.of(variant))
        now.machine.save()
        return SessionCache(cache, decision)

    def _may_cache(self, job: Job, where: Environment, posargs: Sequence[str]) -> bool:
        """Return whether a session's result can depend only on the declared inputs."""
        is_cached_job = self.graph.jobs.get(job.name) is job and not job.never_cached
        is_whole_run = not posargs and not where.install_only
        is_known_environment = where.may_install or not where.own
        return is_cached_job and is_whole_run and is_known_environment

    def _reused(self, cached: SessionCache) -> bool:
        """Try to restore the cached result; return whether the result was restored."""
        if cached.decision.entry is None:
            return False
        result = cached.cache.restore(cached.decision, facts(self.root, self.env))
        if result is None:
            return False
        print(terminal.job(result), flush=True)
        return True


@dataclass(frozen=True)
class SessionCache:
    """The cache's decision about a session, which is made before the session runs."""

    cache: ResultCache
    decision: CacheDecision

    def keep(self, result: Result) -> str | None:
        """Store the session's result in the cache, if the result may be cached."""
        return (
            self.cache.keep(self.decision.fingerprint, result)
            if self.decision.fingerprint
            else None
        )

    def observe(self) -> None:
        """Record the state of external inputs before the session uses them."""
        self.cache.now().of(self.decision.variant)


def _raise_if_failed(session: nox.Session, run: Run) -> None:
    """End the nox session with an error if the job's result is a failure."""
    result = run.result
    if result is None or result.status is not Status.FAILURE:
        return
    failed = [check.name for check in result.checks if check.status is Status.FAILURE]
    where = run.ctx.relative(run.ctx.reports / "result.json")
    message = f"{', '.join(failed) or result.cause} failed; details in {where}"
    if result.cause == provisioning.CAUSE:
        with exit_on_error():
            raise MachineError(f"{session.name}: {message}")
    session.error(message)


def _keep_nothing(result: Result) -> str | None:
    return None


def _observe_nothing() -> None:
    pass


def processors() -> int:
    """Return how many processors this process may use.

    By default, a pipeline runs this number of sessions at once.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def exit_on_error(redact: Callable[[str], str] = str) -> Iterator[None]:
    """Print a LakeCiError as one line, and exit with the error's exit code.

    If standard output is a pipe, and the program that reads the pipe has ended (for
    example `| head`), exit without a message.

    Args:
        redact: a function that replaces secrets in the error's text.
    """
    try:
        yield
    except LakeCiError as error:
        print(terminal.plain(redact(str(error))), file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Otherwise, Python would try at exit to write its buffer to the closed pipe,
        # and would print an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except Exception as error:  # noqa: B902 - printed by nox with secrets
        text = "".join(traceback.format_exception(error))
        print(terminal.plain(redact(text)), file=sys.stderr)
        sys.exit(1)


def _job(function: Function, **declaration: Any) -> Job:
    """Create a job from its declaration.

    Raises:
        UsageError: an argument is not the name of an attribute of `Job`.
    """
    known = [each.name for each in fields(Job) if each.name not in ("name", "function")]
    for name in declaration:
        if name not in known:
            where = f"noxfile.py: job {function.__name__!r}"
            raise UsageError(f"{where}: no argument {name!r}{nearest(name, known)}")
    lists: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in declaration.items()
    }
    return Job(function.__name__, function, **lists)
