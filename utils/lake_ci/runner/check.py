"""Defines the base classes of checks: each check is one row of a job's result."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from lake_ci.errors import LakeCiError
from lake_ci.model.results import Finding, Outcome, Status
from lake_ci.system import secret_variables
from lake_ci.system.processes import Completed

Execute = Callable[..., Completed]
Serve = Callable[..., AbstractContextManager[str]]


def _serves_nothing(
    argv: Sequence[str], *, env: Mapping[str, str]
) -> AbstractContextManager[str]:
    raise LakeCiError(f"{argv[0]}: this context cannot start servers")


@dataclass
class CheckContext:
    """The context in which a check runs.

    Attributes:
        root: the repository.
        reports: the folder for the job's reports, which exists already.
        python: the interpreter of the job's environment.
        env: the environment variables for the job's tools. A check may add variables
            for later checks.
        posargs: the arguments after `--`.
        execute: the function `execute(argv, cwd=, env=, echo=, attached=)`. The
            function runs a command to its end, within the job's time limit.
        strict: whether a check fails if a part of its work was not checked.
        workers: the maximum number of processes that a tool may use.
        serve: the context manager `serve(argv, env=)`. The context manager runs a
            server during a `with` block, and returns the first line that the server
            prints.
        withheld: the variables that contain secrets; `env` does not contain them.
    """

    root: Path
    reports: Path
    python: Path
    env: dict[str, str]
    execute: Execute
    posargs: tuple[str, ...] = ()
    strict: bool = False
    workers: int = 1
    notes: list[str] = field(default_factory=list)
    serve: Serve = _serves_nothing
    withheld: Mapping[str, str] = field(default_factory=dict)

    def env_of(self, tool: str) -> dict[str, str]:
        """Return the variables of a tool that needs secrets.

        `secret_variables.TOOLS` has a row for each of these tools.
        """
        return {**self.env, **secret_variables.of(tool, self.withheld)}

    def relative(self, path: str | Path) -> str:
        """Return a path for a result; a path in the repository becomes relative."""
        absolute = Path(self.root, path)
        return (
            absolute.relative_to(self.root).as_posix()
            if absolute.is_relative_to(self.root)
            else str(path)
        )

    def bin(self, name: str) -> str:
        """Return the path of a program in the job's environment."""
        return str(self.python.parent / name)


class Check:
    """The base class of checks; a check is one row of the result.

    The docstring of a subclass describes the check.

    Attributes:
        name: the row's name.
        exclusive: whether the check must run alone, for example because it writes files
            that other checks read.
        is_setup: whether the check only prepares something for later checks.
    """

    name = ""
    exclusive = False
    is_setup = False

    def run(self, ctx: CheckContext) -> Outcome:
        """Run the check and return its outcome.

        Any exception except LakeCiError is reported as an internal error of the suite.
        """
        raise NotImplementedError


# A stage is a list of checks that may run in parallel. The generator yields a stage
# only after the previous stage has ended, so a stage may depend on earlier outcomes. If
# the generator starts a server or a container, the server or container ends when the
# generator is closed.
Stages = Generator[Sequence[Check], None, None]


class CommandCheck(Check):
    """A check that runs one command, and reads the findings from the command's output.

    Attributes:
        finding_codes: the exit codes with which the command reports findings; any other
            code except 0 means that the command crashed.
    """

    finding_codes: Sequence[int] = (1,)

    def command(self, ctx: CheckContext) -> list[str]:
        """Return the command, which is run at the root of the repository."""
        raise NotImplementedError

    def environment(self, ctx: CheckContext) -> Mapping[str, str]:
        """Return environment variables for the command, besides the job's variables."""
        return {}

    def findings(self, done: Completed, ctx: CheckContext) -> Iterable[Finding]:
        """Return the command's findings.

        Raises:
            ValueError: the output has an unknown format.
        """
        raise NotImplementedError

    def run(self, ctx: CheckContext) -> Outcome:
        return self.outcome(
            ctx.execute(self.command(ctx), env={**ctx.env, **self.environment(ctx)}),
            ctx,
        )

    def outcome(self, done: Completed, ctx: CheckContext) -> Outcome:
        """Return the outcome of the command after it has ended."""
        cut = stopped(self.name, done)
        if cut is not None:
            return cut
        if done.code not in (0, *self.finding_codes):
            return crashed(self.name, done)
        try:
            found = tuple(self.findings(done, ctx))
        except (ValueError, KeyError, TypeError) as error:
            return crashed(self.name, done, f"printed unexpected output: {error}")
        if done.code != 0 and not found:
            return crashed(self.name, done)
        return Outcome.of(found)


def stopped(name: str, done: Completed) -> Outcome | None:
    """Return the outcome if a command was interrupted or timed out, or else None."""
    if done.stopped == "timeout":
        message = (
            f"stopped after {done.seconds:.0f} s: the job's time limit was reached"
        )
        return Outcome.failure(
            name, "timeout", f"{message}\n{done.last_lines()}".strip()
        )
    if done.stopped is not None:
        return Outcome.failure(
            name, "interrupted", f"stopped after {done.seconds:.0f} s: {done.stopped}"
        )
    return None


def stopped_or_crashed(name: str, done: Completed, why: str | None = None) -> Outcome:
    """Return the outcome of a command that was stopped or failed."""
    return stopped(name, done) or crashed(name, done, why)


def crashed(name: str, done: Completed, why: str | None = None) -> Outcome:
    """Return the outcome of a command that failed in an unexpected way.

    The outcome contains the last lines of the command's output.
    """
    why = why or (
        f"was killed by signal {-done.code}"
        if done.code < 0
        else f"exited with {done.code}"
    )
    message = f"{name} {why}\n{done.last_lines()}".strip()
    return Outcome(Status.FAILURE, f"{name} {why}", (Finding(name, "crash", message),))
