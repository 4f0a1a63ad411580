"""Rolls an environment back to an earlier release.

A rollback has the same steps as a deploy, except that it uploads no files and does not
run the job's scripts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lake_ci.deploy import scheduled_job
from lake_ci.deploy.context import DeployContext
from lake_ci.deploy.errors import RefusedError, StepError, WorkspaceError
from lake_ci.deploy.ledger import DeployRun, LedgerEntry, Pending, release_stack
from lake_ci.deploy.lock import LostLockError
from lake_ci.deploy.release import Release
from lake_ci.deploy.resume import (
    finish_interrupted,
    forget_if_complete,
    hold_lock,
    read_pending,
)
from lake_ci.deploy.retries import retry_always
from lake_ci.deploy.rollout import NOT_BACK, RETURNED, UNCHANGED
from lake_ci.deploy.tables import versions
from lake_ci.deploy.undo import describe_restore, restore_tables, undo_deploy

ROLLED_BACK = "rolled back"


@dataclass(frozen=True)
class RollbackTarget:
    """The ledger entry to roll back to, and the entries of the deploys to undo.

    `entry` is None for the state before the first deploy. `since` contains the entry of
    the first deploy to undo, and all later entries.
    """

    entry: LedgerEntry | None
    undone: tuple[LedgerEntry, ...]
    since: tuple[LedgerEntry, ...]

    @property
    def folder(self) -> str | None:
        return self.entry.folder if self.entry else None


def find_target(entries: list[LedgerEntry], version: str | None) -> RollbackTarget:
    """Find the entry of a version, or the previous entry if the version is None.

    If the ledger has no such entry, raises RefusedError with the possible versions.
    """
    stack = release_stack(entries)
    if not stack:
        raise RefusedError("nothing is deployed: nothing to roll back")
    keep = len(stack) - 1 if version is None else _newest(stack, version)
    undone = stack[keep:]
    first = undone[0].number if undone else len(entries) + 1
    since = [entry for entry in entries if entry.number >= first]
    return RollbackTarget(
        stack[keep - 1] if keep else None, tuple(undone), tuple(since)
    )


def _newest(stack: Sequence[LedgerEntry], version: str) -> int:
    """Return the position of the newest entry of the version, counted from 1."""
    matches = [
        number for number, entry in enumerate(stack, 1) if entry.version == version
    ]
    if not matches:
        known = ", ".join(str(entry.version) for entry in stack)
        raise RefusedError(f"{version} is not a version to roll back to: {known}")
    return matches[-1]


def roll_back(context: DeployContext, version: str | None) -> str:
    """Hold the lock and roll back; return the outcome.

    If the rollback is refused, raises RefusedError before any change.
    """
    with hold_lock(context):
        if not _undo_interrupted(context):
            return NOT_BACK
        finish_interrupted(context, None, "rollback")
        found = find_target(context.ledger.entries(), version)
        current = context.ledger.current()
        assert current is not None
        if not found.undone:
            with context.events.step("compare") as step:
                step.detail = f"{current.version} is deployed: nothing to roll back"
            return UNCHANGED
        to, leaving = _verify(context, current, found)
        job = context.workspace.job(context.target.job["name"])
        pending = Pending(
            context.me.id,
            "rollback",
            leaving.folder,
            to.version if to else None,
            job=dict(job.settings) if job else None,
        )
        context.ledger.note(pending)
        try:
            return _change(context, pending, current, found, to, leaving)
        except LostLockError:
            raise
        except (StepError, WorkspaceError) as error:
            if forget_if_complete(context, pending):
                return ROLLED_BACK
            known = read_pending(context, pending)
            return RETURNED if undo_deploy(context, known, str(error)) else NOT_BACK


def _undo_interrupted(context: DeployContext) -> bool:
    """Undo an interrupted deploy or rollback; return whether that succeeded.

    Afterwards, the cluster agrees with the ledger.
    """
    pending = context.ledger.pending()
    current = context.ledger.current()
    if pending is None or (current is not None and pending.id == current.id):
        return True
    return undo_deploy(context, pending, f"the {pending.kind} was interrupted")


def _verify(
    context: DeployContext, current: LedgerEntry, found: RollbackTarget
) -> tuple[Release | None, Release]:
    """Return the release to roll back to and the release to remove, both verified."""
    with context.events.step("verify") as step:
        to = _release(context, found.entry) if found.entry else None
        leaving = _release(context, found.undone[-1])
        step.detail = (
            f"{current.version} → {to.version if to else 'nothing deployed'}; its files"
            " are complete"
        )
    return to, leaving


def _release(context: DeployContext, entry: LedgerEntry) -> Release:
    """Verify and return the release of a ledger entry.

    Raises StepError if the files or the version do not agree with the entry.
    """
    found = context.release(str(entry.folder))
    recorded = (entry.version, entry.commit, entry.sha256)
    if recorded != (found.version, found.commit, found.sha256):
        raise StepError(
            f"{found.folder} is not the release that entry {entry.number} of the ledger"
            " records"
        )
    return found


def _change(
    context: DeployContext,
    pending: Pending,
    current: LedgerEntry,
    found: RollbackTarget,
    to: Release | None,
    leaving: Release,
) -> str:
    pending = _look(context, pending, leaving)
    _install(context, to)
    with context.events.step("replace") as step:
        step.detail = context.installation.clear(to.wheel_path if to else None)
    pending = _set_tables_back(context, pending, found, leaving)
    _assert_version(context, to, leaving)
    with context.events.step("job") as step:
        settings = to.settings(context.cluster) if to else None
        name = context.target.job["name"]
        step.detail = (
            f"{name} {scheduled_job.restore(context.workspace, name, settings)}"
        )
    with context.events.step("ledger") as step:
        context.lock.check(context.me)
        entry = context.ledger.append(context.entry(pending, to, current))
        retry_always(context.ledger.forget, context.target.limits, context.clock)
        step.detail = f"entry {entry.number}: {entry.version or 'nothing deployed'}"
        step.data = {"entry": entry.number, "version": entry.version}
    return ROLLED_BACK


def _look(context: DeployContext, pending: Pending, leaving: Release) -> Pending:
    """Record the versions of the tables before the rollback changes anything."""
    with context.events.step("before") as step:
        context.installation.running()
        before = context.inspect(leaving, "before", "--versions")
        pending = replace(pending, tables=versions(before))
        context.ledger.note(pending)
        step.detail = (
            f"{leaving.package} {before['version']}, {len(before['tables'])} tables"
        )
    return pending


def _install(context: DeployContext, to: Release | None) -> None:
    with context.events.step("install") as step:
        context.installation.wait_until_idle(to.wheel_path if to else None)
        step.detail = (
            f"{to.wheel} {context.installation.install(to.wheel_path)}"
            if to
            else "nothing to install"
        )


def _set_tables_back(
    context: DeployContext, pending: Pending, found: RollbackTarget, leaving: Release
) -> Pending:
    """Restore the tables to their versions before the first deploy to roll back.

    If a later change to a table is not from one of the undone deploys, the table is not
    restored.
    """
    with context.events.step("tables") as step:
        ours = context.seen([run for entry in found.since for run in entry.runs])

        def started(run_id: int) -> None:
            begun = DeployRun(run_id, int(1000 * context.clock.now()), 0)
            context.ledger.note(replace(pending, runs=(begun,)))

        token = f"{context.me.id}-rollback"
        result, run = restore_tables(
            context, leaving, found.undone[0].tables, ours, token, started=started
        )
        ended = replace(pending, runs=(run,))
        context.ledger.note(ended)
        step.detail = "; ".join(describe_restore(result))
        step.findings.extend(
            f"{name} was not restored: {why}" for name, why in result["left"].items()
        )
        step.status = "warning" if result["left"] else "success"
    return ended


def _assert_version(
    context: DeployContext, to: Release | None, leaving: Release
) -> None:
    with context.events.step("version") as step:
        inside = context.inspect(to or leaving, "after", "--versions")
        wanted = to.version if to else None
        if inside["version"] != wanted:
            raise StepError(
                f"the cluster runs {leaving.package} {inside['version']}, not {wanted}"
            )
        step.detail = (
            f"{wanted or 'no ' + leaving.package} on Python {inside['python']}"
        )
