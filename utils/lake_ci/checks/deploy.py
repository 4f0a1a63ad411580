"""Runs the session `deploy`; its result has one row for each step of a deploy.

This module also defines the session's options, and starts the emulated workspace for a
trial deploy. The deploy needs packages that nox's own environment does not have. So the
deploy runs in the session's environment, as the process `python -m lake_ci.deploy`.
When the session ends, the deploy process ends, too.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lake_ci.checks.commit_on_main import CommitOnMain
from lake_ci.checks.packaging import provenance
from lake_ci.checks.tests.java import Jars, Java
from lake_ci.errors import LakeCiError, UsageError, nearest
from lake_ci.model.job import ENVIRONMENTS
from lake_ci.model.results import Finding, Outcome, Status
from lake_ci.model.settings import read_settings
from lake_ci.runner.check import Check, CheckContext, Stages, crashed, stopped
from lake_ci.runner.options import Parser
from lake_ci.system.processes import Completed

TRIAL = "trial"
STATE = ".cache/trial"
END_CHECK_SECONDS = 0.2


@dataclass(frozen=True)
class DeployOptions:
    """The options of `nox -s deploy`, as typed after `--`.

    Attributes:
        environment: the environment to deploy to.
        command: all arguments of the deploy process, except the environment.
        deploys: whether the command is a deploy, which uses the built artifacts.
        tear_down: whether the emulator's saved state is removed at the end of the
            session.
    """

    environment: str
    command: tuple[str, ...] = ()
    deploys: bool = True
    tear_down: bool = False

    @property
    def partial(self) -> bool:
        """Whether the command does less than a whole deploy."""
        return not self.deploys or "--dry-run" in self.command


def parser(environment: str = TRIAL) -> Parser:
    """Return the parser of `nox -s deploy`; by default, `environment` is used."""
    parser = Parser("nox -s deploy --", "Deploy the wheel that `nox -s build` built.")
    parser.add_argument(
        "--environment",
        default=environment,
        metavar="E",
        help=f"{', '.join(ENVIRONMENTS)} (default: DEPLOY_ENVIRONMENT, then {TRIAL})",
    )
    parser.add_argument(
        "--break-lock",
        action="store_true",
        help="take over the lock that a deploy left when it was killed",
    )
    parser.add_argument(
        "--tear-down", action="store_true", help="remove a trial's workspace at the end"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--dry-run", action="store_true", help="print what a deploy would change"
    )
    what.add_argument(
        "--rollback",
        nargs="?",
        const="",
        metavar="VERSION",
        help="roll back to a version of the ledger (default: the previous one)",
    )
    what.add_argument(
        "--status", action="store_true", help="print the deployed version"
    )
    what.add_argument("--history", action="store_true", help="print the ledger")
    return parser


def options(
    posargs: Sequence[str], env: Mapping[str, str], *, whole: bool = False
) -> DeployOptions:
    """Parse the options after `--`, and return them. Raises UsageError.

    Args:
        whole: whether the whole pipeline runs; if so, the emulated workspace of a trial
            deploy is removed at the end of the run.
    """
    chosen = parser(env.get("DEPLOY_ENVIRONMENT") or TRIAL)
    typed = chosen.parse_args(list(posargs))
    if typed.environment not in ENVIRONMENTS:
        like = nearest(typed.environment, ENVIRONMENTS)
        raise UsageError(f"no environment {typed.environment!r}{like}")
    flags = ("dry_run", "status", "history", "break_lock")
    command = [f"--{flag.replace('_', '-')}" for flag in flags if getattr(typed, flag)]
    if typed.rollback is not None:
        command += ["--rollback", *([typed.rollback] if typed.rollback else [])]
    deploys = not (typed.status or typed.history or typed.rollback is not None)
    return DeployOptions(
        typed.environment, tuple(command), deploys, typed.tear_down or whole
    )


class NothingDeployed(Check):
    """Record that the built files are not checked, because this command needs none."""

    name = "artifacts"
    exclusive = True

    def run(self, ctx: CheckContext) -> Outcome:
        return Outcome(Status.SKIPPED, "nothing is deployed")


def stages(ctx: CheckContext, chosen: DeployOptions) -> Stages:
    """Yield the steps of the deploy, each as a stage.

    For a trial, the emulated workspace is stopped when the iterator is closed.
    """
    if not chosen.deploys:
        yield [NothingDeployed()]
    elif not (yield from provenance.stages(attested=chosen.environment != TRIAL)):
        return
    if not chosen.partial and chosen.environment in protected(ctx.root):
        reviewed = CommitOnMain(f"be deployed to {chosen.environment}")
        yield [reviewed]
        if not reviewed.passed:
            return
    if chosen.environment == TRIAL:
        yield [Java("17"), Jars()]
    with workspace(ctx, chosen) as env:
        for step in DeployProcess(ctx, chosen, env).steps():
            yield [step]


def protected(root: Path) -> Sequence[str]:
    """Return the environments to which only commits on `main` may be deployed."""
    settings = read_settings(root).deploy
    return settings.protected if settings is not None else ()


@contextmanager
def workspace(ctx: CheckContext, chosen: DeployOptions) -> Iterator[dict[str, str]]:
    """Provide the environment variables of a deploy to a `with` block.

    For a trial, the variables point to a workspace emulator that runs during the `with`
    block. The emulator's state stays in `.cache/trial` for the next deploy. If the
    deploy is not a trial, the variables come from the user's shell.
    """
    utils = str(ctx.root / "utils")
    if chosen.environment != TRIAL:
        yield {**ctx.env_of("deploy"), "PYTHONPATH": utils}
        return
    state = ctx.root / STATE
    # Drop the variables that contain the address of a real workspace, because a trial
    # must never connect to a real workspace.
    inherited = {
        name: value
        for name, value in ctx.env_of("packages").items()
        if not name.startswith("DATABRICKS_")
    }
    testing = {
        "PYTHONPATH": utils,
        "WORKSPACE_EMULATOR_TOKEN": f"dapi{secrets.token_hex(16)}",
    }
    argv = [str(ctx.python), "-m", "workspace_emulator", "--state", str(state)]
    try:
        with ctx.serve(argv, env={**inherited, **testing}) as line:
            yield {
                **inherited,
                "PYTHONPATH": utils,
                "DATABRICKS_HOST": line.strip(),
                "DATABRICKS_TOKEN": testing["WORKSPACE_EMULATOR_TOKEN"],
                "DATABRICKS_AUTH_TYPE": "pat",
                "DATABRICKS_CONFIG_FILE": os.devnull,
            }
    finally:
        if chosen.tear_down:
            shutil.rmtree(state, ignore_errors=True)


class DeployProcess:
    """Runs the deploy process, and reads the events that it prints."""

    def __init__(
        self, ctx: CheckContext, chosen: DeployOptions, env: Mapping[str, str]
    ) -> None:
        self.over = False
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._texts: list[str] = []
        self._ended: list[Completed | BaseException] = []
        argv = [
            str(ctx.python),
            "-m",
            "lake_ci.deploy",
            "--environment",
            chosen.environment,
            *chosen.command,
        ]
        argv += ["--emulator"] if chosen.environment == TRIAL else []

        def run() -> None:
            try:
                self._ended.append(ctx.execute(argv, env=env, echo=self._take))
            except LakeCiError as error:
                self._ended.append(error)

        self._thread = threading.Thread(target=run, name="deploy", daemon=True)
        self._thread.start()

    def steps(self) -> Iterator[DeployStep]:
        """Yield a check for each step of the deploy, until the process ends."""
        while not self.over:
            yield DeployStep(self)

    def next(self) -> dict[str, Any] | None:
        """Wait until the next step ends or the process reports the deploy's result.

        Returns:
            The event that reports the ended step or the result. The result is None if
            the process ended without reporting a result.
        """
        while True:
            alive = self._thread.is_alive()
            try:
                event = self._events.get(timeout=END_CHECK_SECONDS)
            except queue.Empty:
                if alive:
                    continue
                return None
            if event["event"] == "text":
                self._texts.append(event["text"])
                print(event["text"], flush=True)
            elif event["event"] in ("end", "result"):
                return event

    def completed(self) -> Completed:
        """Wait until the process has ended; return its output, or raise its error."""
        self._thread.join()
        [ended] = self._ended
        if isinstance(ended, BaseException):
            raise ended
        return ended

    @property
    def last_text(self) -> str:
        """Return the last text that the process printed; by default, an empty text."""
        return self._texts[-1] if self._texts else ""

    def _take(self, line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            # A line that is not JSON is output of a library, and is shown only if the
            # process fails.
            return
        if isinstance(event, dict) and "event" in event:
            self._events.put(event)


class DeployStep(Check):
    """The row of a deploy step; the row has no name until the step has ended."""

    name = "deploy"
    exclusive = True

    def __init__(self, deployment: DeployProcess) -> None:
        self.deployment = deployment

    def run(self, ctx: CheckContext) -> Outcome:
        event = self.deployment.next()
        if event is None or event["event"] == "result":
            self.deployment.over = True
            done = self.deployment.completed()
            return stopped(self.name, done) or self.result(event, done)
        self.name = str(event["step"])
        found = tuple(
            Finding(self.name, "deploy", message) for message in event["findings"]
        )
        detail, data = str(event["detail"]), {"step": event["data"]}
        return Outcome(
            Status(event["status"]),
            detail,
            found,
            data=data,
            seconds=float(event["seconds"]),
        )

    def result(self, event: Mapping[str, Any] | None, done: Completed) -> Outcome:
        """Return the outcome of the whole deploy."""
        if event is None or done.code != event["code"]:
            return crashed(self.name, done)
        outcome = str(event["outcome"])
        if done.code == 0:
            return Outcome(Status.SUCCESS, outcome)
        message = self.deployment.last_text or outcome
        return Outcome(
            Status.FAILURE,
            outcome,
            (Finding(self.name, outcome.replace(" ", "-"), message),),
        )
