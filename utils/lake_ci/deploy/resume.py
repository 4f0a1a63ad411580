"""Holds the lock, and resumes or undoes an interrupted deploy.

Deploy and rollback both use this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from lake_ci.deploy.context import DeployContext
from lake_ci.deploy.errors import StepError, WorkspaceError
from lake_ci.deploy.ledger import Pending
from lake_ci.deploy.release import Release
from lake_ci.deploy.retries import retry_always
from lake_ci.deploy.undo import undo_deploy


@contextmanager
def hold_lock(context: DeployContext) -> Iterator[None]:
    """Hold the environment's lock for a `with` block, and always release it."""
    try:
        with context.events.step("lock") as step:
            cleared = context.lock.take(context.me)
            step.detail = f"held by {context.me.who}"
            if cleared:
                step.detail += f"; removed the stale lock of {cleared[0]}"
    except BaseException:
        # The lock file may have been written before the error.
        with suppress(WorkspaceError):
            context.lock.give_back(context.me)
        raise
    try:
        yield
    except KeyboardInterrupt:
        # Less than a second may be left before this process is killed, so try only
        # once. If the lock is not released, it becomes stale when this process ends.
        with suppress(WorkspaceError):
            context.lock.give_back(context.me)
        raise
    except BaseException:
        with suppress(WorkspaceError):
            _unlock(context)
        raise
    _unlock(context)


def _unlock(context: DeployContext) -> None:
    with context.events.step("unlock") as step:
        # A lock that is not released blocks other machines until it expires.
        retry_always(
            lambda: context.lock.give_back(context.me),
            context.target.limits,
            context.clock,
        )
        step.detail = "released"


def forget_if_complete(context: DeployContext, pending: Pending) -> bool:
    """If the deploy is in the ledger, delete the pending file and return True.

    If the deploy is in the ledger, it had succeeded before the error occurred.
    """
    try:
        current = context.ledger.current()
        if current is None or current.id != pending.id:
            return False
        retry_always(context.ledger.forget, context.target.limits, context.clock)
    except WorkspaceError:
        return False  # `undo` sends the same requests, and reports the error
    return True


def read_pending(context: DeployContext, pending: Pending) -> Pending:
    """Read the pending deploy from the workspace; if this fails, return `pending`."""
    with suppress(WorkspaceError):
        return context.ledger.pending() or pending
    return pending


def finish_interrupted(
    context: DeployContext, release: Release | None, kind: str
) -> Pending | None:
    """Undo an interrupted deploy, or return it so that the caller resumes it.

    The caller resumes a deploy of the same kind and the same release. A deploy whose
    tables are already being restored is always undone. Raises StepError if a deploy
    cannot be undone.
    """
    pending = context.ledger.pending()
    if pending is None:
        return None
    current = context.ledger.current()
    if current is not None and current.id == pending.id:
        context.ledger.forget()
        return None
    folder = release.folder if release else None
    if pending.kind == kind and pending.folder == folder and not pending.restoring:
        with context.events.step("resume") as step:
            step.detail = f"a deploy of {pending.version} was interrupted; resuming it"
        return replace(pending, runs=context.seen(pending.runs))
    if not undo_deploy(
        context, pending, f"the deploy of {pending.version} was interrupted"
    ):
        raise StepError("the interrupted deploy could not be undone")
    return None
