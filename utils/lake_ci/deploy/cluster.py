"""Installs exactly one version of the wheel on a cluster.

The cluster restarts only if necessary, and only when no run uses the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from lake_ci.deploy.client import BROKEN, LEAVING, Cluster, Library, Workspace
from lake_ci.deploy.errors import StepError
from lake_ci.deploy.retries import Clock, poll_until
from lake_ci.model.settings import Limits

DEAD = ("ERROR", "UNKNOWN")
STOPPED = ("TERMINATED",)


class Installation:
    """The package on the cluster.

    Args:
        package: the distribution's name. The file name of each wheel begins with this
            name.
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
        """Return the package's wheels on the cluster, in any state."""
        return [
            wheel
            for wheel in self._workspace.wheels(self._cluster)
            if self._is_ours(wheel.path)
        ]

    def holds(self, wheel: str | None) -> bool:
        """Return whether exactly this wheel of the package is installed.

        With None, return whether no wheel of the package is installed.
        """
        found = {(each.path, each.state) for each in self.wheels()}
        return found == ({(wheel, "INSTALLED")} if wheel else set())

    def running(self) -> Cluster:
        """Start the cluster if it is terminated, and poll until it runs.

        Raises StepError if the cluster fails or does not run in time.
        """
        started = False

        def look() -> Cluster | None:
            nonlocal started
            seen = self._workspace.cluster(self._cluster)
            if seen.state in DEAD:
                raise StepError(
                    f"the cluster {seen.name} is in state {seen.state}: {seen.message}"
                )
            if seen.state in STOPPED:
                if started:
                    raise StepError(
                        f"the cluster {seen.name} was started,"
                        f" and terminated: {seen.message}"
                    )
                self._workspace.start(self._cluster)
                started = True
            return seen if seen.state == "RUNNING" else None

        late = f"the cluster {self._cluster} did not run"
        return poll_until(look, self._limits.start, late, self._limits, self._clock)

    def wait_until_idle(self, wheel: str | None) -> None:
        """If the install needs a restart, wait until no run uses the cluster.

        Raises StepError if the runs do not end in time.
        """
        if self._others(wheel):
            self._idle()

    def install(self, wheel: str) -> str:
        """Install a wheel and poll until it is installed.

        Raises StepError with the library's messages.
        """
        known = {each.path: each for each in self.wheels()}
        if wheel in known and known[wheel].state == "INSTALLED":
            return "was already installed"
        self._workspace.install(self._cluster, wheel)
        self._installed(wheel)
        return "installed"

    def clear(self, wheel: str | None) -> str:
        """Uninstall all wheels of the package except this wheel.

        If necessary, restart the cluster as soon as no run uses it. Returns a phrase
        that describes the changes. Raises StepError if the runs do not end within the
        limit `busy`, or if the restart fails.
        """
        others = self._uninstall_others(wheel)
        leaving = {
            each.path
            for each in self.wheels()
            if each.path != wheel or each.state == LEAVING
        }
        if not leaving:
            return (
                "no other version was installed, no restart needed"
                if not others
                else "removed, no restart needed"
            )
        if wheel is not None and wheel in leaving:
            # An interrupted deploy has requested to uninstall this wheel. A new install
            # request cancels the uninstall.
            self._workspace.install(self._cluster, wheel)
        self._idle()
        self._restart(wheel)
        removed = {version(path) for path in leaving if path != wheel}
        return f"removed {', '.join(sorted(removed))}; restarted"

    def runs_of_others(self) -> Mapping[int, str]:
        """Return the runs that a restart would interrupt: each run's id and name."""
        return self._workspace.active_runs(self._cluster)

    def _idle(self) -> None:
        def look() -> bool | None:
            return None if self.runs_of_others() else True

        names = ", ".join(
            f"{name or 'a run'} ({number})"
            for number, name in self.runs_of_others().items()
        )
        late = f"the cluster must restart, but these runs did not end: {names}"
        poll_until(look, self._limits.busy, late, self._limits, self._clock)

    def _uninstall_others(self, wheel: str | None) -> list[Library]:
        others = self._others(wheel)
        for each in others:
            if each.state != LEAVING:
                self._workspace.uninstall(self._cluster, each.path)
        return others

    def _restart(self, wheel: str | None) -> None:
        """Restart the cluster; wait until this is the only wheel of the package."""
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
        poll_until(look, self._limits.start, late, self._limits, self._clock)

    def _installed(self, wheel: str) -> None:
        def look() -> bool | None:
            for each in self.wheels():
                if each.path == wheel and each.state in BROKEN:
                    reason = "; ".join(each.messages) or "no reason given"
                    raise StepError(
                        f"{PurePosixPath(wheel).name} is {each.state}"
                        f" on the cluster: {reason}"
                    )
                if each.path == wheel and each.state == "INSTALLED":
                    return True
            return None

        late = f"{PurePosixPath(wheel).name} was not installed"
        poll_until(look, self._limits.install, late, self._limits, self._clock)

    def _others(self, wheel: str | None) -> list[Library]:
        """Return all wheels of the package on the cluster except this wheel."""
        return [each for each in self.wheels() if each.path != wheel]

    def _is_ours(self, path: str) -> bool:
        return PurePosixPath(path).name.split("-")[0].lower() == self._package


def version(wheel: str) -> str:
    """Return the version in a wheel's file name."""
    return PurePosixPath(wheel).name.split("-")[1]
