"""Undoes a deploy that failed or was interrupted.

The wheel, the job's settings and the tables return to the last good version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from lake_ci.deploy import scheduled_job
from lake_ci.deploy.client import ENDED
from lake_ci.deploy.context import DeployContext
from lake_ci.deploy.errors import StepError
from lake_ci.deploy.ledger import DeployRun, LedgerEntry, Pending
from lake_ci.deploy.lock import LostLockError
from lake_ci.deploy.release import Release
from lake_ci.deploy.retries import poll_until
from lake_ci.deploy.tables import restore_arguments
from lake_ci.errors import LakeCiError

ROW = "return"


def undo_deploy(context: DeployContext, pending: Pending, why: str) -> bool:
    """Undo the changes of a deploy, and print the result as one step.

    Returns whether all parts were undone. If a part was not undone, the pending file
    remains, and the next deploy undoes the remaining parts.
    """
    with context.events.step(ROW) as step:
        last = context.ledger.current()
        if last is not None and last.id == pending.id:
            # The deploy's entry is in the ledger: the deploy succeeded, and a later
            # request failed.
            context.ledger.forget()
            step.detail = f"{last.version or 'nothing'} is deployed and in the ledger"
            return True
        release, undone, failed, runs = _undo_all(context, last, pending)
        where = f"to {release.version}" if release else "to nothing deployed"
        step.detail = f"back {where}: {'; '.join(undone)}"
        if failed:
            step.status = "failure"
            step.detail = f"not completely back {where}: {'; '.join(failed)}"
            step.findings = [
                *failed,
                "rerun the same command: it continues the undo",
            ]
            return False
        undoing = replace(pending, kind="returned", runs=(*pending.runs, *runs))
        context.ledger.append(
            context.entry(
                undoing, None, last, said=f"{why.splitlines()[0]}; {step.detail}"
            )
        )
        context.ledger.forget()
        return True


def _undo_all(
    context: DeployContext, last: LedgerEntry | None, pending: Pending
) -> tuple[Release | None, list[str], list[str], Sequence[DeployRun]]:
    """Undo each part of a deploy; if a part fails, continue with the next part.

    Returns the restored release, a phrase for each undone part, the errors, and the
    runs that restored tables.
    """
    undone: list[str] = []
    failed: list[str] = []
    runs: Sequence[DeployRun] = ()
    release = _attempt(
        failed, "the last good release", lambda: _last_good(context, last)
    )
    if not failed:
        _attempt(failed, "the active runs", lambda: stop_runs(context, pending.runs))
        _attempt(failed, "the wheel", lambda: undone.append(_wheel(context, release)))
        _attempt(
            failed, "the job", lambda: undone.append(_job(context, release, pending))
        )
        restored, runs = _attempt(
            failed, "the tables", lambda: _tables(context, pending)
        ) or (
            [],
            (),
        )
        undone += restored
    return release, undone, failed, runs


def restore_tables(
    context: DeployContext,
    release: Release,
    tables: Mapping[str, int],
    runs: Sequence[DeployRun],
    token: str,
    *,
    started: Callable[[int], None] = lambda run_id: None,
) -> tuple[dict[str, Any], DeployRun]:
    """Restore the tables that these runs changed, except tables with later changes.

    Args:
        token: the idempotency token. If a token was used before, no new run starts: the
            earlier run is used.

    Returns the result of the script `restore` and the run of the script. The commits of
    this run belong to the deploy, too. Raises StepError if the run fails.
    """
    arguments = ["--lake", context.target.lake, *restore_arguments(tables, runs)]
    task = release.task("restore", release.restore, context.cluster, *arguments)
    run = context.runs.once(
        f"{release.package} restore", token, [task], started=started
    )
    return run.result("restore"), run.window


def describe_restore(found: Mapping[str, Any]) -> list[str]:
    """Describe the result of the script `restore`, one phrase for each action."""
    words = []
    if found["restored"]:
        words.append(
            "restored "
            + ", ".join(
                f"{name} to version {to}" for name, to in found["restored"].items()
            )
        )
    if found["dropped"]:
        words.append(f"dropped {', '.join(found['dropped'])}")
    words += [f"{name} was not restored: {why}" for name, why in found["left"].items()]
    return words or ["no table had changed"]


def stop_runs(context: DeployContext, runs: Sequence[DeployRun]) -> None:
    """Cancel the active runs of a deploy, and wait until the runs have ended."""
    for run in runs:
        if run.ended or context.workspace.run(run.id).state in ENDED:
            continue
        context.workspace.cancel(run.id)

        def look(number: int = run.id) -> bool | None:
            return True if context.workspace.run(number).over else None

        limits = context.target.limits
        poll_until(
            look,
            limits.start,
            f"the run {run.id} was cancelled and did not end",
            limits,
            context.clock,
        )


def _last_good(context: DeployContext, last: LedgerEntry | None) -> Release | None:
    return (
        context.release(last.folder)
        if last is not None and last.folder is not None
        else None
    )


def _wheel(context: DeployContext, release: Release | None) -> str:
    installation = context.installation
    wheel = release.wheel_path if release else None
    if installation.holds(wheel):
        return "the wheel was in place"
    installation.running()
    if wheel is not None:
        installation.install(wheel)
    installation.clear(wheel)
    if not installation.holds(wheel):
        raise StepError("the cluster does not hold what it held before")
    return f"{wheel.rpartition('/')[2] if wheel else 'no wheel'} is on the cluster"


def _tables(
    context: DeployContext, pending: Pending
) -> tuple[list[str], Sequence[DeployRun]]:
    if pending.tables is None or not pending.runs or pending.folder is None:
        return ["no table was touched"], ()
    # Use the script of the release that is undone: all files of this release were
    # uploaded before any of its scripts ran.
    used = context.release(pending.folder)
    runs = list(context.seen(pending.runs))
    mine = f"{context.me.id}-return-{pending.id}"
    if pending.restoring and pending.restoring != mine:
        # An earlier attempt to undo the deploy requested this run and was then
        # interrupted. If the run succeeds, the tables are restored. If the run fails,
        # its commits count as commits of the deploy.
        begun: list[int] = []
        with suppress(StepError):
            found, run = restore_tables(
                context,
                used,
                pending.tables,
                runs,
                pending.restoring,
                started=begun.append,
            )
            return describe_restore(found), (run,)
        runs += context.seen([DeployRun(number, 0, 0) for number in begun])
    # Store the token before the request, so that the next attempt to undo the deploy
    # can find this run.
    context.ledger.note(replace(pending, runs=tuple(runs), restoring=mine))
    found, run = restore_tables(context, used, pending.tables, runs, mine)
    return describe_restore(found), (run,)


def _job(context: DeployContext, release: Release | None, pending: Pending) -> str:
    before = release.settings(context.cluster) if release else pending.job
    name = context.target.job["name"]
    return f"the job {scheduled_job.restore(context.workspace, name, before)}"


def _attempt(failed: list[str], what: str, undo: Callable[[], Any]) -> Any:
    """Undo one part; if that fails, append the error to `failed`."""
    try:
        return undo()
    except LostLockError:
        raise
    except LakeCiError as error:
        failed.append(f"{what}: {str(error).splitlines()[0]}")
    return None
