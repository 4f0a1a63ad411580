"""Back to an earlier release on purpose: the same steps, with the files on the volume
and no script of the job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lake_ci.deploy import scheduled
from lake_ci.deploy.back import go_back, restored, told
from lake_ci.deploy.errors import RefusedError, StepError, WorkspaceError
from lake_ci.deploy.ledger import Entry, Pending, RunOfOurs, standing
from lake_ci.deploy.lock import LostLockError
from lake_ci.deploy.recovery import ended_well, locked, recover, remembered
from lake_ci.deploy.release import Release
from lake_ci.deploy.retries import stubbornly
from lake_ci.deploy.rollout import NOT_BACK, RETURNED, UNCHANGED
from lake_ci.deploy.site import Site
from lake_ci.deploy.tables import versions

ROLLED_BACK = "rolled back"


@dataclass(frozen=True)
class Aim:
    """Where a rollback goes: an entry of the ledger, None for what was before the first
    deploy; and what it undoes.
    """

    entry: Entry | None
    undone: tuple[Entry, ...]
    since: tuple[Entry, ...]

    @property
    def folder(self) -> str | None:
        return self.entry.folder if self.entry else None


def aim(entries: list[Entry], version: str | None) -> Aim:
    """The entry of that version, or the one before the live one. Raises RefusedError
    that offers what there is.
    """
    stack = standing(entries)
    if not stack:
        raise RefusedError("nothing is deployed, so there is nothing to roll back")
    keep = len(stack) - 1 if version is None else _newest(stack, version)
    undone = stack[keep:]
    first = undone[0].number if undone else len(entries) + 1
    since = [entry for entry in entries if entry.number >= first]
    return Aim(stack[keep - 1] if keep else None, tuple(undone), tuple(since))


def _newest(stack: Sequence[Entry], version: str) -> int:
    """How many entries there are up to the newest one of the version."""
    matches = [
        number for number, entry in enumerate(stack, 1) if entry.version == version
    ]
    if not matches:
        known = ", ".join(str(entry.version) for entry in stack)
        raise RefusedError(
            f"{version} is not among what was deployed and not rolled back: {known}"
        )
    return matches[-1]


def roll_back(site: Site, version: str | None) -> str:
    """All of it, under the lock. Returns how it ended; raises RefusedError where
    nothing was touched.
    """
    with locked(site):
        if not _undo_interrupted(site):
            return NOT_BACK
        recover(site, None, "rollback")
        found = aim(site.ledger.entries(), version)
        current = site.ledger.current()
        assert current is not None
        if not found.undone:
            with site.events.step("compare") as step:
                step.detail = f"{current.version} is what runs: nothing to roll back"
            return UNCHANGED
        to, leaving = _verify(site, current, found)
        job = site.workspace.job(site.target.job["name"])
        pending = Pending(
            site.me.id,
            "rollback",
            leaving.folder,
            to.version if to else None,
            job=dict(job.settings) if job else None,
        )
        site.ledger.note(pending)
        try:
            return _change(site, pending, current, found, to, leaving)
        except LostLockError:
            raise
        except (StepError, WorkspaceError) as error:
            if ended_well(site, pending):
                return ROLLED_BACK
            known = remembered(site, pending)
            return RETURNED if go_back(site, known, str(error)) else NOT_BACK


def _undo_interrupted(site: Site) -> bool:
    """Undo an interrupted deploy or rollback, so that ledger and cluster agree; return
    whether that succeeded.
    """
    pending = site.ledger.pending()
    current = site.ledger.current()
    if pending is None or (current is not None and pending.id == current.id):
        return True
    return go_back(site, pending, f"the {pending.kind} was interrupted")


def _verify(site: Site, current: Entry, found: Aim) -> tuple[Release | None, Release]:
    """The release to go back to and the one to leave, whose files are complete."""
    with site.events.step("verify") as step:
        to = site.release(found.folder) if found.folder else None
        leaving = site.release(str(found.undone[-1].folder))
        step.detail = (
            f"{current.version} → {to.version if to else 'nothing deployed'}; its"
            " files are whole"
        )
    return to, leaving


def _change(
    site: Site,
    pending: Pending,
    current: Entry,
    found: Aim,
    to: Release | None,
    leaving: Release,
) -> str:
    pending = _look(site, pending, leaving)
    _install(site, to)
    with site.events.step("replace") as step:
        step.detail = site.installation.clear(to.wheel_path if to else None)
    pending = _set_tables_back(site, pending, found, leaving)
    _assert_version(site, to, leaving)
    with site.events.step("job") as step:
        settings = to.settings(site.cluster) if to else None
        name = site.target.job["name"]
        step.detail = f"{name} {scheduled.put_back(site.workspace, name, settings)}"
    with site.events.step("ledger") as step:
        site.lock.check(site.me)
        entry = site.ledger.append(site.entry(pending, to, current))
        stubbornly(site.ledger.forget, site.target.limits, site.clock)
        step.detail = f"entry {entry.number}: {entry.version or 'nothing deployed'}"
        step.data = {"entry": entry.number, "version": entry.version}
    return ROLLED_BACK


def _look(site: Site, pending: Pending, leaving: Release) -> Pending:
    """Note the versions of the tables before anything is changed."""
    with site.events.step("before") as step:
        site.installation.running()
        before = site.inspect(leaving, "before", "--versions")
        pending = replace(pending, tables=versions(before))
        site.ledger.note(pending)
        step.detail = (
            f"{leaving.package} {before['version']}, {len(before['tables'])} tables"
        )
    return pending


def _install(site: Site, to: Release | None) -> None:
    with site.events.step("install") as step:
        site.installation.make_room(to.wheel_path if to else None)
        step.detail = (
            f"{to.wheel} {site.installation.install(to.wheel_path)}"
            if to
            else "nothing to install"
        )


def _set_tables_back(
    site: Site, pending: Pending, found: Aim, leaving: Release
) -> Pending:
    """Set tables back to before the first of the releases that go, where none but the
    runs of the deploys since changed them.
    """
    with site.events.step("tables") as step:
        ours = site.seen([run for entry in found.since for run in entry.runs])

        def started(run_id: int) -> None:
            begun = RunOfOurs(run_id, int(1000 * site.clock.now()), 0)
            site.ledger.note(replace(pending, runs=(begun,)))

        token = f"{site.me.id}-rollback"
        said, run = restored(
            site, leaving, found.undone[0].tables, ours, token, started=started
        )
        ended = replace(pending, runs=(run,))
        site.ledger.note(ended)
        step.detail = "; ".join(told(said))
        step.findings.extend(
            f"{name} was left: {why}" for name, why in said["left"].items()
        )
        step.status = "warning" if said["left"] else "success"
    return ended


def _assert_version(site: Site, to: Release | None, leaving: Release) -> None:
    with site.events.step("version") as step:
        inside = site.inspect(to or leaving, "after", "--versions")
        wanted = to.version if to else None
        if inside["version"] != wanted:
            raise StepError(
                f"inside the cluster runs {leaving.package}"
                f" {inside['version']}, not {wanted}"
            )
        step.detail = (
            f"{wanted or 'no ' + leaving.package} on Python {inside['python']}"
        )
