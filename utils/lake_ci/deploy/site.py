"""Where a deploy works: one workspace, one environment and its cluster, with all that
keeps track of it.
"""

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
from lake_ci.deploy.ledger import Entry, Ledger, Pending, RunOfOurs
from lake_ci.deploy.lock import Holder, Lock
from lake_ci.deploy.release import MANIFEST, Release
from lake_ci.deploy.retries import Clock
from lake_ci.deploy.runs import Runs, window


@dataclass
class Site:
    """An environment in its workspace, and who works there.

    Attributes:
        cluster: the cluster's id; `runtime` is its Databricks runtime.
        me: this deploy, as the lock names it.
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
        """A release that lies on the volume, every file verified. Raises StepError."""
        content = self.workspace.read(f"{folder}/{MANIFEST}")
        try:
            found = releases.parse(content or b"")
        except ValueError:
            raise StepError(f"{folder} holds no release (any more)") from None
        for name, expected in found.files.items():
            content = self.workspace.read(f"{folder}/{name}")
            if content is None or hashlib.sha256(content).hexdigest() != expected:
                raise StepError(f"{folder}/{name} is not what was uploaded")
        return found

    def inspect(self, release: Release, name: str, *options: str) -> dict[str, Any]:
        """What a release's script `inspect` tells of the cluster and the lake, from
        inside. Raises StepError.
        """
        arguments = ["--package", release.package, "--lake", self.target.lake, *options]
        task = release.task("inspect", release.inspect, self.cluster, *arguments)
        # It only reads: one token a process is enough, and a run that a signal
        # cancelled is not met again.
        return self.runs.once(
            f"{self.target.package} {name}", f"{self.me.id}-{name}", [task]
        ).told("inspect")

    def seen(self, runs: Sequence[RunOfOurs]) -> tuple[RunOfOurs, ...]:
        """The runs with their ends, for those that had none when they were noted."""
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
        previous: Entry | None,
        **more: Any,
    ) -> Entry:
        """The ledger's entry for a deploy that ends now."""
        entry = Entry(
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
    """A time as results write it."""
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
