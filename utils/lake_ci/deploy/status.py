"""What runs where, since when and by which commit; where the cluster is not what the
ledger says; and all that was.
"""

from __future__ import annotations

from collections.abc import Iterator

from lake_ci.deploy import scheduled
from lake_ci.deploy.errors import StepError
from lake_ci.deploy.ledger import Entry
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
        ]
        if current is None or current.version is None:
            lines.append("version      nothing is deployed")
        else:
            lines.append(f"version      {current.version}")
            lines.append(f"commit       {current.commit}")
            lines.append(
                f"since        {current.finished}, by {current.by}"
                f" (entry {current.number})"
            )
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


def _drift(site: Site, current: Entry | None) -> Iterator[str]:
    try:
        release = site.release(current.folder) if current and current.folder else None
    except StepError as error:
        yield str(error)
        return
    wheel = release.wheel_path if release else None
    if not site.installation.holds(wheel):
        found = ", ".join(
            f"{each.path.rpartition('/')[2]} {each.state}"
            for each in site.installation.wheels()
        )
        yield (
            f"the cluster holds {found or 'no wheel'}, not"
            f" {release.wheel if release else 'none'}"
        )
    job = site.workspace.job(site.target.job["name"])
    if release is not None and job is None:
        yield f"the job {site.target.job['name']!r} is gone"
    elif release is not None and job is not None:
        if not scheduled.agrees(release.settings(site.cluster), job.settings):
            yield f"the job {site.target.job['name']!r} was changed by somebody"


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
