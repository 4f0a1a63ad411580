"""What holds for deploy and rollback alike: one at a time, and what an interrupted one
left is finished first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from lake_ci.deploy.back import go_back
from lake_ci.deploy.errors import StepError, WorkspaceError
from lake_ci.deploy.ledger import Pending
from lake_ci.deploy.release import Release
from lake_ci.deploy.retries import stubbornly
from lake_ci.deploy.site import Site


@contextmanager
def locked(site: Site) -> Iterator[None]:
    """Hold the environment's lock, and give it back whatever happens."""
    try:
        with site.events.step("lock") as step:
            cleared = site.lock.take(site.me)
            step.detail = f"held by {site.me.who}"
            if cleared:
                step.detail += f"; cleared away that of {cleared[0]}, which is gone"
    except BaseException:
        # Whatever it failed by: what was written of it must not stay.
        with suppress(WorkspaceError):
            site.lock.give_back(site.me)
        raise
    try:
        yield
    except KeyboardInterrupt:
        # There may be less than a second left; what is not given back is stale, for its
        # process is gone.
        with suppress(WorkspaceError):
            site.lock.give_back(site.me)
        raise
    except BaseException:
        with suppress(WorkspaceError):
            _unlock(site)
        raise
    _unlock(site)


def _unlock(site: Site) -> None:
    with site.events.step("unlock") as step:
        # Nothing is worse than a lock that stays.
        stubbornly(lambda: site.lock.give_back(site.me), site.target.limits, site.clock)
        step.detail = "given back"


def ended_well(site: Site, pending: Pending) -> bool:
    """Whether the ledger has the entry of a deploy that failed after it was written;
    then that is all over.
    """
    try:
        current = site.ledger.current()
        if current is None or current.id != pending.id:
            return False
        stubbornly(site.ledger.forget, site.target.limits, site.clock)
    except WorkspaceError:
        return False  # the way back will ask, too, and say why it cannot go on
    return True


def remembered(site: Site, pending: Pending) -> Pending:
    """A deploy under way as the workspace remembers it, where it can be asked."""
    with suppress(WorkspaceError):
        return site.ledger.pending() or pending
    return pending


def recover(site: Site, release: Release | None, kind: str) -> Pending | None:
    """Finish what an interrupted deploy left; what is under way and is wanted again is
    returned, to be gone on with.

    One that was setting its tables back already is undone to the end first.
    """
    pending = site.ledger.pending()
    if pending is None:
        return None
    current = site.ledger.current()
    if current is not None and current.id == pending.id:
        site.ledger.forget()
        return None
    folder = release.folder if release else None
    if pending.kind == kind and pending.folder == folder and not pending.restoring:
        with site.events.step("resume") as step:
            step.detail = (
                f"a deploy of {pending.version} was interrupted; going on with it"
            )
        return replace(pending, runs=site.seen(pending.runs))
    if not go_back(site, pending, f"the deploy of {pending.version} was interrupted"):
        raise StepError("what an interrupted deploy left could not be undone")
    return None
