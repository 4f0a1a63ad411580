"""Runs a session: installs locked packages, runs checks, and always writes a result."""

from __future__ import annotations

import shutil
import threading
import time
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from lake_ci.errors import Interrupted, LakeCiError, MachineError, NoEnvironmentError
from lake_ci.model import events, results
from lake_ci.model.job import Variant
from lake_ci.model.results import (
    REPORTS,
    TIME_FORMAT,
    CheckResult,
    Finding,
    Outcome,
    Result,
    Status,
)
from lake_ci.report import terminal
from lake_ci.runner.check import Check, CheckContext, crashed
from lake_ci.runner.options import Options
from lake_ci.system import git, provisioning, secret_variables
from lake_ci.system.environment import Environment
from lake_ci.system.file_lock import locked
from lake_ci.system.processes import Completed, Processes, processor_seconds
from lake_ci.system.redaction import HIDDEN, Redactor

HELPERS = ".cache/sessions"
# After how many seconds the main thread wakes up. Python handles signals only while the
# main thread is awake.
SIGNAL_CHECK_SECONDS = 0.2
# The name of the row for an error that occurs before the checks, by the cause of the
# error.
ROWS: Mapping[str | None, str] = {
    "no-environment": "environment",
    provisioning.CAUSE: "machine",
}
Chosen = TypeVar("Chosen", bound=Options)


class Run:
    """One run of one session.

    A run is a context manager: at the end of the `with` block, it writes
    `reports/<session>/result.json`.

    Attributes:
        python: the Python version of the session, such as `3.10`.
        java: the major version of Java; None if the job has no Java matrix.
        posargs: the arguments after `--`.
        partial: whether arguments select a part of the job. No other run uses a partial
            result.
        result: the result of the run; None until the `with` block has ended.

    Args:
        workers: the maximum number of processes that one tool may use.
        ended: a function that is called with the result, after the result was written,
            and before other runs can write to the reports. The function may return a
            message for the user.
        provisioned: a function that is called after the session has waited for the
            machine.
        clock: a function that returns the time in seconds, for the job's time limit.
    """

    def __init__(
        self,
        variant: Variant,
        root: Path,
        environment: Environment,
        env: Mapping[str, str],
        posargs: Sequence[str] = (),
        *,
        workers: int = 1,
        out: Callable[[str], None] = print,
        ended: Callable[[Result], str | None] = lambda result: None,
        provisioned: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.variant = variant
        self.root = root
        self.python = variant.python
        self.java = variant.java
        self.posargs = tuple(posargs)
        self.partial = False
        self.strict = env.get("LAKE_CI_STRICT") == "1"
        self.environment = environment
        self.result: Result | None = None
        self._env = env
        self._out = out
        self._ended = ended
        self._provisioned = provisioned
        self._machine_is_ready = False
        self._out_lock = threading.Lock()
        self._clock = clock
        self._redact = Redactor.of(env)
        self._processes = Processes(clock, self._redact)
        self._held = ExitStack()
        self._checks: list[CheckResult] = []
        self._warnings: list[str] = []
        self._cause: str | None = None
        self._preparing: set[str] = set()
        self._java_version: str | None = None
        self._made = self._start = clock()
        self._processor_start = processor_seconds()
        self._deadline = self._start + variant.job.minutes * 60
        self.ctx = self._check_context(workers)

    @property
    def event(self) -> str:
        """The event that started the run on GitHub, or that `nox` simulates."""
        return _event(self.root, self._env)

    def _check_context(self, workers: int) -> CheckContext:
        # A job that no event starts is a helper. The summary collects all results in
        # reports/, so a helper must write its output to another folder.
        job = self.variant.job
        reports = REPORTS if job.events else HELPERS
        env, withheld = secret_variables.split(self.environment.variables(self._env))
        declared = {name: withheld[name] for name in job.variables if name in withheld}
        return CheckContext(
            root=self.root,
            reports=self.root / reports / self.variant.id,
            python=self.environment.python,
            env={**env, **declared},
            execute=self.execute,
            posargs=self.posargs,
            strict=self.strict,
            serve=self.serve,
            workers=workers,
            withheld=withheld,
        )

    # Methods for sessions

    def install(self, purpose: str) -> None:
        """Install exactly the packages that `requirements/<purpose>.txt` locks.

        If the environment already contains exactly these packages, do nothing.

        Raises:
            NoEnvironmentError: uv could not install the packages.
        """
        start = time.monotonic()
        execute = partial(self.execute, env=self.ctx.env_of("packages"))
        if self.environment.install(self.root, purpose, execute):
            self._say(
                f"installed requirements/{purpose}.txt in"
                f" {terminal.seconds(time.monotonic() - start)}"
            )

    def options(self, read: Callable[[Sequence[str]], Chosen]) -> Chosen:
        """Parse the arguments after `--` with `read`; return the parsed arguments.

        If the parsed arguments have `partial` set, the run is partial, too. Raises any
        error of `read`.
        """
        chosen = read(self.posargs)
        self.partial = chosen.partial
        return chosen

    def check(self, *tools: Check) -> None:
        """Run checks in parallel, but exclusive checks alone; record a row for each."""
        if self.environment.install_only:
            return
        self._wait_for_machine()
        self._preparing |= {tool.name for tool in tools if tool.is_setup}
        for alone, batch in groupby(tools, key=lambda tool: tool.exclusive):
            group = list(batch)
            for together in [[tool] for tool in group] if alone else [group]:
                self._run_together(together)

    def run_stages(self, stages: Generator[Sequence[Check], None, object]) -> None:
        """Run one stage of checks after the other; always close the generator."""
        try:
            self._wait_for_machine()
            for stage in stages:
                self.check(*stage)
        finally:
            stages.close()

    def warn(self, message: str) -> None:
        """Print a warning about the whole job, and add the warning to the result."""
        self._warnings.append(self._redact(message))
        self._say(f"note: {message}")

    def execute(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        echo: Callable[[str], None] | None = None,
        attached: bool = False,
    ) -> Completed:
        """Run a command to its end, within the job's time limit.

        If the program does not exist, the exit code is 127, as in a shell.
        """
        try:
            return self._processes.run(
                argv,
                cwd=cwd or self.root,
                env=self.ctx.env if env is None else env,
                deadline=self._deadline,
                echo=echo,
                attached=attached,
            )
        except OSError as error:
            return Completed(tuple(argv), 127, "", f"{argv[0]}: {error.strerror}", 0.0)

    def serve(
        self, argv: Sequence[str], *, env: Mapping[str, str]
    ) -> AbstractContextManager[str]:
        """Run a server during a `with` block.

        The value of the `with` statement is the first line that the server prints.
        """
        return self._processes.serving(
            argv, cwd=self.root, env=env, deadline=self._deadline
        )

    # The context manager

    def __enter__(self) -> Run:
        # Take a lock, because two runs that share an environment or a reports folder
        # would corrupt each other's files.
        folder = self.environment.folder
        lock = folder.with_name(f"{folder.name}.lock")
        if not self.environment.own:
            lock = self.root / ".cache" / "locks" / f"{self.variant.id}.lock"
        reports = self.root / ".cache" / "locks" / f"{self.variant.id}.lock"
        for each in dict.fromkeys([lock, reports]):
            self._held.enter_context(
                locked(
                    each,
                    lambda holder: self._say(
                        f"waiting for another run of {self.variant.session}"
                    ),
                )
            )
        self._start = self._clock()
        self._deadline = self._start + self.variant.job.minutes * 60
        shutil.rmtree(self.ctx.reports, ignore_errors=True)
        self.ctx.reports.mkdir(parents=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Write the result.

        A LakeCiError is only recorded in the result. All other exceptions are raised
        again.
        """
        with self._held:
            if error is not None:
                self._record_error(error)
            elif self._matched_nothing():
                what = f"nothing matches: {' '.join(self.posargs)}"
                self._record(_failed("selection", LakeCiError(what)))
            self._redact_reports()
            self.result = self._redact.tree(self._result())
            if error is not None or not self.environment.install_only:
                results.write(self.ctx.reports, self.result)
                note = self._ended(self.result)
                if note is not None:
                    self._say(f"note: {note}")
        return isinstance(error, LakeCiError)

    # Private methods

    def _record_error(self, error: BaseException) -> None:
        """Record in the result the error that ended the session."""
        if isinstance(error, NoEnvironmentError):
            self._cause = "no-environment"
        if isinstance(error, LakeCiError):
            self._record(_failed(ROWS.get(self._cause, "session"), error))
        elif isinstance(error, KeyboardInterrupt):
            self._cause = "interrupted"
            by = error.signal_name if isinstance(error, Interrupted) else "SIGINT"
            self.warn(f"interrupted by {by}")
        else:
            what = f"{type(error).__name__}: {error}"
            self._record(_failed("session", LakeCiError(what)))

    def _matched_nothing(self) -> bool:
        """Return whether the run is partial, and all checks of the run were skipped.

        Checks that only prepare other checks do not count.
        """
        selectable = [
            check for check in self._checks if check.name not in self._preparing
        ]
        return (
            self.partial
            and bool(selectable)
            and all(check.status is Status.SKIPPED for check in selectable)
        )

    def _wait_for_machine(self) -> None:
        """Wait until the job's declared resources are ready; only the first call waits.

        The time that this wait takes does not count for the job's time limit.
        """
        if self._machine_is_ready or self.environment.install_only:
            return
        job = self.variant.job
        start = self._clock()
        try:
            waited = provisioning.wait(
                dict.fromkeys((*job.setup, *job.external_inputs)), self._env, self._say
            )
        except MachineError:
            self._cause = provisioning.CAUSE
            raise
        self._machine_is_ready = True
        seconds = self._clock() - start
        self._start += seconds
        self._deadline += seconds
        if waited:
            self._provisioned()

    def _run_together(self, tools: list[Check]) -> None:
        if self._clock() >= self._deadline:
            for tool in tools:
                self._record(
                    CheckResult(
                        tool.name,
                        Status.SKIPPED,
                        detail="not started: the job's time limit was reached",
                    )
                )
            return
        rows: dict[int, CheckResult] = {}

        def work(number: int, tool: Check) -> None:
            rows[number] = self._run_one(tool)

        with ThreadPoolExecutor(max_workers=len(tools)) as pool:
            try:
                futures = [
                    pool.submit(work, number, tool) for number, tool in enumerate(tools)
                ]
                while wait(futures, SIGNAL_CHECK_SECONDS).not_done:
                    pass
                for future in futures:
                    future.result()
            except KeyboardInterrupt:
                self._processes.stop_all()
                raise
            finally:
                # Even after a signal, add the rows of the checks that have ended. Add
                # all rows in the order in which the checks were declared.
                pool.shutdown()
                unstarted = CheckResult(
                    "", Status.SKIPPED, detail="not started: the run was interrupted"
                )
                self._checks += [
                    rows.get(number, replace(unstarted, name=tool.name))
                    for number, tool in enumerate(tools)
                ]

    def _run_one(self, tool: Check) -> CheckResult:
        start = time.monotonic()
        try:
            outcome = tool.run(self.ctx)
        except LakeCiError as error:
            outcome = Outcome.failure(tool.name, "error", str(error))
        except Exception as error:  # noqa: B902 - the other tools' rows stay
            done = Completed((), 1, "", f"{type(error).__name__}: {error}", 0.0)
            outcome = crashed(
                tool.name, done, "failed with an internal error of the suite"
            )
        self._java_version = outcome.data.get("java", self._java_version)
        if any(finding.rule == "timeout" for finding in outcome.findings):
            self._cause = "timeout"
        check = CheckResult.from_outcome(
            tool.name, outcome, time.monotonic() - start, strict=self.strict
        )
        return self._shown(check)

    def _record(self, check: CheckResult) -> None:
        self._checks.append(self._shown(check))

    def _shown(self, check: CheckResult) -> CheckResult:
        """Redact a check's row; print and return the redacted row."""
        redacted = self._redact.tree(check)
        self._say(terminal.row(redacted))
        return redacted

    def _redact_reports(self) -> None:
        """In the reports folder, replace secrets in the files that tools wrote."""
        for report in sorted(self.ctx.reports.rglob("*")):
            if report.is_symlink() or not report.is_file():
                continue
            name = self.ctx.relative(report)
            try:
                if self._redact.file(report):
                    self.warn(f"{name} contained a secret, replaced by {HIDDEN}")
            except OSError as error:
                self.warn(f"{name} was not searched for secrets: {error.strerror}")

    def _say(self, text: str) -> None:
        with self._out_lock:
            self._out(terminal.plain(self._redact(text)))

    def _result(self) -> Result:
        reports = sorted(
            path
            for path in self.ctx.reports.rglob("*")
            if path.name in self.variant.job.reports
        )
        if "dist/" in self.variant.job.reports:
            reports += sorted((self.root / "dist").glob("*"))
        seconds = self._clock() - self._start
        processor = processor_seconds() - self._processor_start
        return Result(
            **facts(self.root, self._env),
            job=self.variant.id,
            session=self.variant.session,
            # `seconds` includes neither the wait for locks nor the wait for the
            # machine.
            started=(datetime.now(timezone.utc) - timedelta(seconds=seconds)).strftime(
                TIME_FORMAT
            ),
            seconds=round(seconds, 3),
            processor_seconds=round(processor, 3),
            waited_seconds=round(max(0.0, self._start - self._made), 3),
            reproduce=self.variant.reproduce,
            checks=tuple(self._checks),
            cause=self._cause,
            partial=self.partial,
            python=self.environment.python_version,
            java=self._java_version,
            artifacts=tuple(self.ctx.relative(path) for path in reports),
            warnings=tuple(self._warnings),
        )


def facts(root: Path, env: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields that have the same values in all results of a run.

    The fields are run, attempt, event, commit and dirty.
    """
    return {
        "run": (
            env.get("LAKE_CI_RUN") or env.get("GITHUB_RUN_ID") or uuid.uuid4().hex[:12]
        ),
        "attempt": int(env.get("GITHUB_RUN_ATTEMPT", "1")),
        "event": _event(root, env),
        "commit": git.commit(root),
        "dirty": git.is_dirty(root),
    }


def _event(root: Path, env: Mapping[str, str]) -> str:
    return events.current(root, env, name=env.get("LAKE_CI_EVENT")).name


def _failed(name: str, error: LakeCiError) -> CheckResult:
    message = str(error)
    finding = Finding(name, type(error).__name__, message)
    return CheckResult(
        name, Status.FAILURE, detail=message.splitlines()[0], findings=(finding,)
    )
