"""The way back to the last good version: wheel, scripts, job settings and tables, of a
deploy that did not end well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from lake_ci.deploy import scheduled
from lake_ci.deploy.client import ENDED
from lake_ci.deploy.errors import StepError
from lake_ci.deploy.ledger import Entry, Pending, RunOfOurs
from lake_ci.deploy.lock import LostLockError
from lake_ci.deploy.release import Release
from lake_ci.deploy.retries import until
from lake_ci.deploy.site import Site
from lake_ci.deploy.tables import restore_arguments
from lake_ci.errors import LakeCiError

ROW = "return"


def go_back(site: Site, pending: Pending, why: str) -> bool:
    """Undo what a deploy changed; a row says what was undone and what could not be.
    Returns whether all of it was.

    What could not be undone is tried again by the next deploy: the note of the one
    under way is kept for it.
    """
    with site.events.step(ROW) as step:
        last = site.ledger.current()
        if last is not None and last.id == pending.id:
            # Its entry is written: it did end well, and only what comes after that
            # failed.
            site.ledger.forget()
            step.detail = (
                f"{last.version or 'nothing'} is deployed, and the ledger says so"
            )
            return True
        release, undone, failed, runs = _undo(site, last, pending)
        where = f"to {release.version}" if release else "to nothing deployed"
        step.detail = f"back {where}: {'; '.join(undone)}"
        if failed:
            step.status = "failure"
            step.detail = f"not all of the way back {where}: {'; '.join(failed)}"
            step.findings = [
                *failed,
                "type the same again: it begins with what is left to undo",
            ]
            return False
        undoing = replace(pending, kind="returned", runs=(*pending.runs, *runs))
        site.ledger.append(
            site.entry(
                undoing, None, last, said=f"{why.splitlines()[0]}; {step.detail}"
            )
        )
        site.ledger.forget()
        return True


def _undo(
    site: Site, last: Entry | None, pending: Pending
) -> tuple[Release | None, list[str], list[str], Sequence[RunOfOurs]]:
    """Undo each part. Returns the release gone back to, what was undone, what could not
    be, and the runs that did it.
    """
    undone: list[str] = []
    failed: list[str] = []
    runs: Sequence[RunOfOurs] = ()
    release = _attempt(failed, "the last good release", lambda: _last_good(site, last))
    if not failed:
        _attempt(failed, "what still runs", lambda: stop_runs(site, pending.runs))
        _attempt(failed, "the wheel", lambda: undone.append(_wheel(site, release)))
        _attempt(failed, "the job", lambda: undone.append(_job(site, release, pending)))
        said, runs = _attempt(failed, "the tables", lambda: _tables(site, pending)) or (
            [],
            (),
        )
        undone += said
    return release, undone, failed, runs


def restored(
    site: Site,
    release: Release,
    tables: Mapping[str, int],
    runs: Sequence[RunOfOurs],
    token: str,
    *,
    started: Callable[[int], None] = lambda run_id: None,
) -> tuple[dict[str, Any], RunOfOurs]:
    """Set tables back that these runs changed, and nobody else since.

    Args:
        token: the workspace takes a second run of one token for the first one asked for
            again.

    Returns what the script `restore` tells, and its own run, whose commits are a
    deploy's, too. Raises StepError.
    """
    arguments = ["--lake", site.target.lake, *restore_arguments(tables, runs)]
    task = release.task("restore", release.restore, site.cluster, *arguments)
    run = site.runs.once(f"{release.package} restore", token, [task], started=started)
    return run.told("restore"), run.window


def told(found: Mapping[str, Any]) -> list[str]:
    """What the script `restore` did, in words."""
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
    words += [f"left {name}: {why}" for name, why in found["left"].items()]
    return words or ["no table had changed"]


def stop_runs(site: Site, runs: Sequence[RunOfOurs]) -> None:
    """Cancel the runs of a deploy that is gone, and wait until they have ended."""
    for run in runs:
        if run.ended or site.workspace.run(run.id).state in ENDED:
            continue
        site.workspace.cancel(run.id)

        def look(number: int = run.id) -> bool | None:
            return True if site.workspace.run(number).over else None

        limits = site.target.limits
        until(
            look,
            limits.start,
            f"the run {run.id} was cancelled and did not end",
            limits,
            site.clock,
        )


def _last_good(site: Site, last: Entry | None) -> Release | None:
    return (
        site.release(last.folder)
        if last is not None and last.folder is not None
        else None
    )


def _wheel(site: Site, release: Release | None) -> str:
    installation = site.installation
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


def _tables(site: Site, pending: Pending) -> tuple[list[str], Sequence[RunOfOurs]]:
    if pending.tables is None or not pending.runs or pending.folder is None:
        return ["no table was touched"], ()
    # By the script of the release that is undone: its files lay on the volume, whole,
    # before anything ran.
    used = site.release(pending.folder)
    runs = list(site.seen(pending.runs))
    mine = f"{site.me.id}-return-{pending.id}"
    if pending.restoring and pending.restoring != mine:
        # A way back that is gone has begun it: what its run did is ours, and what it
        # did well is done.
        begun: list[int] = []
        with suppress(StepError):
            found, run = restored(
                site,
                used,
                pending.tables,
                runs,
                pending.restoring,
                started=begun.append,
            )
            return told(found), (run,)
        runs += site.seen([RunOfOurs(number, 0, 0) for number in begun])
    # Noted before it is asked for: whoever finds this note can ask for the same run.
    site.ledger.note(replace(pending, runs=tuple(runs), restoring=mine))
    found, run = restored(site, used, pending.tables, runs, mine)
    return told(found), (run,)


def _job(site: Site, release: Release | None, pending: Pending) -> str:
    before = release.settings(site.cluster) if release else pending.job
    return (
        f"the job {scheduled.put_back(site.workspace, site.target.job['name'], before)}"
    )


def _attempt(failed: list[str], what: str, undo: Callable[[], Any]) -> Any:
    """Undo one part; where it cannot be, note why, and go on with the others."""
    try:
        return undo()
    except LostLockError:
        raise
    except LakeCiError as error:
        failed.append(f"{what}: {str(error).splitlines()[0]}")
    return None
