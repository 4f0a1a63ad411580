"""Defines the context of a deploy: workspace, environment, cluster, ledger and lock."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from lake_ci.deploy import release as releases
from lake_ci.deploy.bundle import Target
from lake_ci.deploy.client import Workspace
from lake_ci.deploy.cluster import Installation
from lake_ci.deploy.errors import StepError, WorkspaceError
from lake_ci.deploy.events import Events
from lake_ci.deploy.ledger import DeployRun, Ledger, LedgerEntry, Pending
from lake_ci.deploy.lock import Holder, Lock
from lake_ci.deploy.release import MANIFEST, Release
from lake_ci.deploy.retries import Clock
from lake_ci.deploy.runs import Runs, window


@dataclass
class DeployContext:
    """The workspace, the environment and the services that all steps of a deploy use.

    Attributes:
        cluster: the cluster's id.
        runtime: the Databricks runtime of the cluster.
        me: the description of this deploy as the holder of the lock.
    """

    workspace: Workspace
    target: Target
    cluster: str
    runtime: str
    events: Events
    clock: Clock
    me: Holder

    def __post_init__(self) -> None:
        limits = self.target.limits
        self.ledger = Ledger(self.workspace, self.target.base)
        self.lock = Lock(self.workspace, f"{self.target.base}/locks", self.clock)
        self.runs = Runs(self.workspace, limits, self.clock)
        self.installation = Installation(
            self.workspace, self.cluster, self.target.package, limits, self.clock
        )

    def release(self, folder: str) -> Release:
        """Read a release from the volume and verify each file.

        The ledger records the folder, and the folder's name contains a digest of all
        files. Raises StepError if a file is missing or was changed after the upload.
        """
        content = self.workspace.read(f"{folder}/{MANIFEST}")
        try:
            found = releases.parse(content or b"")
        except ValueError:
            raise StepError(f"{folder} does not contain a release") from None
        if found.folder != folder or not found.is_consistent:
            raise StepError(f"{folder}/{MANIFEST} is not what was uploaded")
        for name, expected in found.files.items():
            content = self.workspace.read(f"{folder}/{name}")
            if content is None or hashlib.sha256(content).hexdigest() != expected:
                raise StepError(f"{folder}/{name} is not what was uploaded")
        return found

    def inspect(self, release: Release, name: str, *options: str) -> dict[str, Any]:
        """Run a release's script `inspect` on the cluster; return the script's result.

        The result lists the installed packages and the tables. Raises StepError if the
        run fails.
        """
        arguments = ["--package", release.package, "--lake", self.target.lake, *options]
        task = release.task("inspect", release.inspect, self.cluster, *arguments)
        # Each process uses a new idempotency token, so that it does not get a run that
        # an earlier process canceled. The script only reads, so it may run twice.
        return self.runs.once(
            f"{self.target.package} {name}", f"{self.me.id}-{name}", [task]
        ).result("inspect")

    def seen(self, runs: Sequence[DeployRun]) -> tuple[DeployRun, ...]:
        """Return the runs; look up the end of each run whose end is not recorded."""
        found = []
        for run in runs:
            if not run.ended:
                with suppress(WorkspaceError):
                    run = window(self.workspace.run(run.id))
            found.append(run)
        return tuple(found)

    def entry(
        self,
        pending: Pending,
        release: Release | None,
        previous: LedgerEntry | None,
        **more: Any,
    ) -> LedgerEntry:
        """Create the ledger entry of a deploy that ends now."""
        entry = LedgerEntry(
            number=0,
            kind=pending.kind,
            id=pending.id,
            folder=release.folder if release else None,
            version=release.version if release else None,
            commit=release.commit if release else None,
            sha256=release.sha256 if release else None,
            cluster=self.cluster,
            runtime=self.runtime,
            by=self.me.who,
            started=stamp(self.me.since),
            finished=stamp(self.clock.now()),
            previous=previous.number if previous else None,
            tables=pending.tables or {},
            runs=self.seen(pending.runs),
        )
        return self.events.redact.tree(replace(entry, **more))


def stamp(seconds: float) -> str:
    """Format a time in seconds since 1970 in UTC, as `2026-01-31T12:00:00Z`."""
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
