"""Prints the status of an environment, and the history of its deploys.

The status shows the deployed version, its commit, the deployment time, and drift.
"""

from __future__ import annotations

from collections.abc import Iterator

from lake_ci.deploy import scheduled_job
from lake_ci.deploy.context import DeployContext
from lake_ci.deploy.errors import StepError
from lake_ci.deploy.ledger import LedgerEntry
from lake_ci.deploy.release import Release


def tell(context: DeployContext) -> bool:
    """Print the status of an environment.

    Returns whether the workspace agrees with the ledger.
    """
    current, pending = context.ledger.current(), context.ledger.pending()
    with context.events.step("status") as step:
        lines = [
            f"environment  {context.target.name}",
            f"cluster      {context.cluster}, {context.runtime}",
            *_version_lines(current),
        ]
        for holder, stale in context.lock.holders():
            fate = "; stale: the next deploy removes it" if stale else ""
            lines.append(f"lock         {holder}{fate}")
        drift = list(_drift(context, current))
        if pending is not None and (current is None or pending.id != current.id):
            drift.append(
                f"a {pending.kind} of {pending.version} was interrupted; deploy again"
                " to finish it"
            )
        context.events.text("\n".join(lines))
        step.detail = (current and current.version) or "nothing is deployed"
        if drift:
            step.findings.extend(drift)
            step.status, step.detail = "failure", f"{step.detail}; {'; '.join(drift)}"
    return not drift


def _version_lines(current: LedgerEntry | None) -> list[str]:
    if current is None or current.version is None:
        return ["version      nothing is deployed"]
    return [
        f"version      {current.version}",
        f"commit       {current.commit}",
        f"since        {current.finished}, by {current.by} (entry {current.number})",
    ]


def _drift(context: DeployContext, current: LedgerEntry | None) -> Iterator[str]:
    try:
        release = (
            context.release(current.folder) if current and current.folder else None
        )
    except StepError as error:
        yield str(error)
        return
    yield from _wheel_drift(context, release)
    yield from _job_drift(context, release)


def _wheel_drift(context: DeployContext, release: Release | None) -> Iterator[str]:
    if context.installation.holds(release.wheel_path if release else None):
        return
    found = ", ".join(
        f"{each.path.rpartition('/')[2]} {each.state}"
        for each in context.installation.wheels()
    )
    yield (
        f"the cluster has {found or 'no wheel'}, not"
        f" {release.wheel if release else 'none'}"
    )


def _job_drift(context: DeployContext, release: Release | None) -> Iterator[str]:
    name = context.target.job["name"]
    job = context.workspace.job(name)
    if release is None:
        return
    if job is None:
        yield f"the job {name!r} was deleted"
    elif not scheduled_job.agrees(release.settings(context.cluster), job.settings):
        yield f"the job {name!r} was changed outside of a deploy"


def history(context: DeployContext) -> None:
    """Print all entries of the ledger, newest first."""
    with context.events.step("history") as step:
        entries = context.ledger.entries()
        lines = [
            f"{entry.number:>4}  {entry.finished}  {entry.kind:<9}"
            f" {entry.version or '-':<32} {(entry.commit or '-')[:12]:<12} "
            f" {entry.by}{'  ' + entry.said if entry.said else ''}"
            for entry in reversed(entries)
        ]
        context.events.text("\n".join(lines) or "no deploys")
        step.detail = f"{len(entries)} entries"
