"""`python -m lake_ci.deploy`: deploys, rolls back, or prints status and history.

It prints one JSON object per line to standard output; see `events`.

Exit codes: 0 the command succeeded or had nothing to do; 1 the deploy failed and was
undone; 2 the deploy was refused, or the usage is wrong; 3 there is no workspace; 130 a
signal interrupted the deploy.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

from lake_ci.deploy import artifacts, bundle, release, rollback, rollout, status
from lake_ci.deploy.connect import Connection, connect
from lake_ci.deploy.context import DeployContext
from lake_ci.deploy.errors import RefusedError
from lake_ci.deploy.events import Events
from lake_ci.deploy.lock import Lock, this_process
from lake_ci.deploy.retries import Clock
from lake_ci.errors import LakeCiError
from lake_ci.model.job import ENVIRONMENTS
from lake_ci.system import signals
from lake_ci.system.redaction import Redactor, strip_secrets

BAD = (rollout.RETURNED, rollout.NOT_BACK)


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the command-line arguments.

    `nox -s deploy` has already checked the options that the user typed.
    """
    parser = argparse.ArgumentParser(
        prog="python -m lake_ci.deploy", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--environment", choices=ENVIRONMENTS, required=True)
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the repository")
    parser.add_argument(
        "--emulator",
        action="store_true",
        help="the workspace is the emulator: create what is missing",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true")
    what.add_argument("--rollback", nargs="?", const="", metavar="VERSION")
    what.add_argument("--status", action="store_true")
    what.add_argument("--history", action="store_true")
    parser.add_argument("--break-lock", action="store_true")
    return parser


def main(argv: list[str], env: Mapping[str, str], events: Events) -> int:
    """Run the requested command; return the exit code."""
    options = arguments().parse_args(argv)
    try:
        outcome, code = _do(options, env, events)
    except LakeCiError as error:
        outcome, code = "failed", (
            2 if isinstance(error, RefusedError) else error.exit_code
        )
        events.text(str(error))
    except KeyboardInterrupt as error:
        outcome, code = "interrupted", 130
        events.text(
            f"stopped by {str(error) or 'SIGINT'}; rerun the same command to complete"
            " or undo the deploy"
        )
    except Exception as error:  # noqa: B902 - printed by Python with secrets
        outcome, code = "failed", 1
        events.text("".join(traceback.format_exception(error)))
    events.result(outcome, code)
    return code


def _do(
    options: argparse.Namespace, env: Mapping[str, str], events: Events
) -> tuple[str, int]:
    root: Path = options.root.resolve()
    clock = Clock()
    target = bundle.read(root, options.environment, env)
    deploys = not (options.status or options.history or options.rollback is not None)
    # The wheel is verified before the first request to the workspace.
    built = artifacts.verify(root) if deploys else None
    with events.step("workspace") as step:
        connection = connect(target, env, events, clock, emulator=options.emulator)
        step.detail = connection.summary
    if options.break_lock:
        _break_locks(connection, events, clock)
    context = _context(connection, events, clock, options)
    if options.status:
        return "told", int(not status.tell(context))
    if options.history:
        status.history(context)
        return "told", 0
    if built is None:
        outcome = rollback.roll_back(context, options.rollback or None)
    else:
        made, contents = release.make(root, target, built)
        rolling = rollout.Rollout(context, made, contents, root)
        outcome = rolling.plan() if options.dry_run else rolling.deploy()
    return outcome, int(outcome in BAD)


def _break_locks(connection: Connection, events: Events, clock: Clock) -> None:
    with events.step("break lock") as step:
        lock = Lock(connection.workspace, f"{connection.target.base}/locks", clock)
        step.detail = "; ".join(lock.break_all()) or "no lock was held"


def _context(
    connection: Connection, events: Events, clock: Clock, options: argparse.Namespace
) -> DeployContext:
    target = connection.target
    does = "deploys to" if options.rollback is None else "rolls back"
    what = f"{does} {target.name}"
    me = this_process(what, target.limits.whole, clock)
    return DeployContext(
        connection.workspace,
        target,
        connection.cluster,
        connection.runtime,
        events,
        clock,
        me,
    )


def _print(line: str) -> None:
    # If the terminal is closed or nox is killed, no process reads the output. In this
    # case the deploy also gets a signal, and the signal ends the deploy.
    try:
        print(line, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise KeyboardInterrupt("a closed output") from None


if __name__ == "__main__":
    signals.install()
    signals.end_with_parent()
    strip_secrets(os.environ)
    sys.exit(main(sys.argv[1:], os.environ, Events(_print, Redactor.of(os.environ))))
