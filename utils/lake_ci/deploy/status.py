"""What runs where, since when and by which commit; where the cluster is not what the
ledger says; and all that was.
"""

from __future__ import annotations

from collections.abc import Iterator

from lake_ci.deploy import scheduled
from lake_ci.deploy.errors import StepError
from lake_ci.deploy.ledger import Entry
from lake_ci.deploy.release import Release
from lake_ci.deploy.site import Site


def tell(site: Site) -> bool:
    """Show the status of an environment, and return whether the cluster is what the
    ledger says.
    """
    current, pending = site.ledger.current(), site.ledger.pending()
    with site.events.step("status") as step:
        lines = [
            f"environment  {site.target.name}",
            f"cluster      {site.cluster}, {site.runtime}",
            *_version_lines(current),
        ]
        for holder, stale in site.lock.holders():
            fate = "; stale: the next deploy clears it away" if stale else ""
            lines.append(f"lock         {holder}{fate}")
        drift = list(_drift(site, current))
        if pending is not None and (current is None or pending.id != current.id):
            drift.append(
                f"a {pending.kind} of {pending.version} did not come to its end; deploy"
                " again to finish it"
            )
        site.events.text("\n".join(lines))
        step.detail = (current and current.version) or "nothing is deployed"
        if drift:
            step.findings.extend(drift)
            step.status, step.detail = "failure", f"{step.detail}; {'; '.join(drift)}"
    return not drift


def _version_lines(current: Entry | None) -> list[str]:
    if current is None or current.version is None:
        return ["version      nothing is deployed"]
    return [
        f"version      {current.version}",
        f"commit       {current.commit}",
        f"since        {current.finished}, by {current.by} (entry {current.number})",
    ]


def _drift(site: Site, current: Entry | None) -> Iterator[str]:
    try:
        release = site.release(current.folder) if current and current.folder else None
    except StepError as error:
        yield str(error)
        return
    yield from _wheel_drift(site, release)
    yield from _job_drift(site, release)


def _wheel_drift(site: Site, release: Release | None) -> Iterator[str]:
    if site.installation.holds(release.wheel_path if release else None):
        return
    found = ", ".join(
        f"{each.path.rpartition('/')[2]} {each.state}"
        for each in site.installation.wheels()
    )
    yield (
        f"the cluster holds {found or 'no wheel'}, not"
        f" {release.wheel if release else 'none'}"
    )


def _job_drift(site: Site, release: Release | None) -> Iterator[str]:
    name = site.target.job["name"]
    job = site.workspace.job(name)
    if release is None:
        return
    if job is None:
        yield f"the job {name!r} is gone"
    elif not scheduled.agrees(release.settings(site.cluster), job.settings):
        yield f"the job {name!r} was changed by somebody"


def history(site: Site) -> None:
    """Show the whole ledger, newest first."""
    with site.events.step("history") as step:
        entries = site.ledger.entries()
        lines = [
            f"{entry.number:>4}  {entry.finished}  {entry.kind:<9}"
            f" {entry.version or '-':<32} {(entry.commit or '-')[:12]:<12} "
            f" {entry.by}{'  ' + entry.said if entry.said else ''}"
            for entry in reversed(entries)
        ]
        site.events.text("\n".join(lines) or "nothing was ever deployed")
        step.detail = f"{len(entries)} entries"
