"""Brings a cluster to run exactly one version of the wheel: nothing is restarted that
need not be, and no run is cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from lake_ci.deploy.client import BROKEN, LEAVING, Cluster, Library, Workspace
from lake_ci.deploy.errors import StepError
from lake_ci.deploy.retries import Clock, Limits, until

DEAD = ("ERROR", "UNKNOWN")
STOPPED = ("TERMINATED",)


class Installation:
    """The package on the cluster.

    Args:
        package: the distribution's name; wheels of it are told by their file names.
    """

    def __init__(
        self,
        workspace: Workspace,
        cluster_id: str,
        package: str,
        limits: Limits,
        clock: Clock,
    ) -> None:
        self._workspace = workspace
        self._cluster = cluster_id
        self._package = package.replace("-", "_").lower()
        self._limits = limits
        self._clock = clock

    def wheels(self) -> list[Library]:
        """The package's wheels on the cluster, whatever their state."""
        return [
            wheel
            for wheel in self._workspace.wheels(self._cluster)
            if self._is_ours(wheel.path)
        ]

    def holds(self, wheel: str | None) -> bool:
        """Whether the cluster has exactly this wheel of the package installed; None: no
        wheel of it.
        """
        found = {(each.path, each.state) for each in self.wheels()}
        return found == ({(wheel, "INSTALLED")} if wheel else set())

    def running(self) -> Cluster:
        """Wait until the cluster runs; one that is terminated is started. Raises
        StepError.
        """
        asked = False

        def look() -> Cluster | None:
            nonlocal asked
            seen = self._workspace.cluster(self._cluster)
            if seen.state in DEAD:
                raise StepError(
                    f"the cluster {seen.name} is in state {seen.state}: {seen.message}"
                )
            if seen.state in STOPPED:
                if asked:
                    raise StepError(
                        f"the cluster {seen.name} was started,"
                        f" and terminated: {seen.message}"
                    )
                self._workspace.start(self._cluster)
                asked = True
            return seen if seen.state == "RUNNING" else None

        late = f"the cluster {self._cluster} did not run"
        return until(look, self._limits.start, late, self._limits, self._clock)

    def make_room(self, wheel: str | None) -> None:
        """Where a restart is to come, wait for the runs of others before anything is
        changed. Raises StepError.
        """
        if self._others(wheel):
            self._idle()

    def install(self, wheel: str) -> str:
        """Install a wheel and wait until it is. Raises StepError with the library's own
        messages.
        """
        known = {each.path: each for each in self.wheels()}
        if wheel in known and known[wheel].state == "INSTALLED":
            return "was installed already"
        self._workspace.install(self._cluster, wheel)
        self._installed(wheel)
        return "installed"

    def clear(self, wheel: str | None) -> str:
        """Remove every other wheel of the package, and restart where that is what it
        takes. Raises StepError.

        Where the restart would cut the runs of others, they are waited for, up to the
        limit.
        """
        others = self._uninstall_others(wheel)
        leaving = {
            each.path
            for each in self.wheels()
            if each.path != wheel or each.state == LEAVING
        }
        if not leaving:
            return (
                "no other version was there, so no restart"
                if not others
                else "removed, no restart needed"
            )
        if wheel is not None and wheel in leaving:
            # It was asked to leave by a deploy that did not come to its end: asked for
            # again, it stays.
            self._workspace.install(self._cluster, wheel)
        self._idle()
        self._restart(wheel)
        removed = {version(path) for path in leaving if path != wheel}
        return f"removed {', '.join(sorted(removed))}; restarted"

    def runs_of_others(self) -> Mapping[int, str]:
        """What a restart would cut."""
        return self._workspace.active_runs(self._cluster)

    def _idle(self) -> None:
        def look() -> bool | None:
            return None if self.runs_of_others() else True

        names = ", ".join(
            f"{name or 'a run'} ({number})"
            for number, name in self.runs_of_others().items()
        )
        late = f"the cluster must restart, which would cut {names}: not ended"
        until(look, self._limits.busy, late, self._limits, self._clock)

    def _uninstall_others(self, wheel: str | None) -> list[Library]:
        others = self._others(wheel)
        for each in others:
            if each.state != LEAVING:
                self._workspace.uninstall(self._cluster, each.path)
        return others

    def _restart(self, wheel: str | None) -> None:
        """Restart the cluster and wait until it runs with this wheel alone."""
        self._workspace.restart(self._cluster)
        self._gone(wheel)
        self.running()
        if wheel is not None:
            self._installed(wheel)

    def _gone(self, wheel: str | None) -> None:
        def look() -> bool | None:
            seen = self._workspace.cluster(self._cluster)
            if seen.state in DEAD:
                raise StepError(
                    f"the cluster {seen.name} is in state {seen.state}: {seen.message}"
                )
            if seen.state in STOPPED:
                return True  # `running` starts it
            others = self._others(wheel)
            return True if seen.state == "RUNNING" and not others else None

        late = f"the cluster {self._cluster} did not lose the other versions"
        until(look, self._limits.start, late, self._limits, self._clock)

    def _installed(self, wheel: str) -> None:
        def look() -> bool | None:
            for each in self.wheels():
                if each.path == wheel and each.state in BROKEN:
                    said = "; ".join(each.messages) or "it says no more"
                    raise StepError(
                        f"{PurePosixPath(wheel).name} is {each.state}"
                        f" on the cluster: {said}"
                    )
                if each.path == wheel and each.state == "INSTALLED":
                    return True
            return None

        late = f"{PurePosixPath(wheel).name} was not installed"
        until(look, self._limits.install, late, self._limits, self._clock)

    def _others(self, wheel: str | None) -> list[Library]:
        """The other wheels of the package on the cluster."""
        return [each for each in self.wheels() if each.path != wheel]

    def _is_ours(self, path: str) -> bool:
        return PurePosixPath(path).name.split("-")[0].lower() == self._package


def version(wheel: str) -> str:
    """The version in a wheel's file name."""
    return PurePosixPath(wheel).name.split("-")[1]
