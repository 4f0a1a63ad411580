"""Stores clusters and executes their state transitions. Each running cluster has a
separate Python environment.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import invalid_parameter
from ..runtime.background import Background
from ..runtime.environment import Environment, InstallError, Template
from ..runtime.release import NODE_TYPE, check
from ..store import Collection, Document, Store
from ..tree import milliseconds
from . import errors

STABLE = ("RUNNING", "TERMINATED")
# The request fields that are stored, and returned in responses. Not all of these fields
# have an effect.
KEPT = (
    "cluster_name",
    "spark_version",
    "node_type_id",
    "driver_node_type_id",
    "num_workers",
    "autoscale",
    "spark_conf",
    "spark_env_vars",
    "custom_tags",
    "autotermination_minutes",
    "data_security_mode",
    "single_user_name",
    "policy_id",
    "aws_attributes",
    "is_single_node",
    "kind",
)


class Clusters:
    """The clusters of the workspace by id.

    Attributes:
        on_start: called with the cluster's id when the cluster's new environment is
            ready. Clients see the cluster in the state RUNNING only after `on_start`
            was called.
        on_delete: called with the cluster's id when the cluster is permanently deleted.
        on_stop: called with the cluster's id and the reason for the stop, before the
            cluster's environment is removed.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        background: Background,
        template: Template,
        owner: str,
    ) -> None:
        self._clusters: Collection = store.collection("cluster")
        self._folder = folder
        self._background = background
        self._template = template
        self._owner = owner
        self.on_start: list[Callable[[str], None]] = []
        self.on_delete: list[Callable[[str], None]] = []
        self.on_stop: list[Callable[[str, str], None]] = []

    def resume(self) -> None:
        """Continue the state transitions that were interrupted when the previous
        emulator process ended.
        """
        for cluster_id, cluster in self._clusters.items():
            if cluster["state"] == "TERMINATING":
                self._terminated(cluster_id, "USER_REQUEST", cluster["state_message"])
            elif cluster["state"] not in STABLE:
                self._background.spawn(_name(cluster_id), self._bring_up(cluster_id))

    def create(self, wanted: Mapping[str, Any], source: str = "API") -> Document:
        """Create a cluster and start it in the background. Raises ApiError for an
        unsupported runtime.
        """
        version = wanted.get("spark_version")
        if not isinstance(version, str):
            raise invalid_parameter("Missing required field: spark_version")
        check(version)
        for name in ("spark_conf", "spark_env_vars", "custom_tags"):
            value = wanted.get(name, {})
            if not isinstance(value, dict) or not all(
                isinstance(each, str) for each in value.values()
            ):
                raise invalid_parameter(f"{name} must map strings to strings")
        cluster_id = (
            f"{time.strftime('%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
        )
        self._clusters[cluster_id] = {
            "cluster_id": cluster_id,
            "creator_user_name": self._owner,
            "cluster_source": source,
            "num_workers": 0,
            "node_type_id": NODE_TYPE["node_type_id"],
            **{name: wanted[name] for name in KEPT if name in wanted},
            "cluster_name": wanted.get("cluster_name") or "",
            "start_time": milliseconds(time.time()),
            "generation": 0,
            "made": 0,
            "state": "TERMINATED",
            "state_message": "",
        }
        self._start(cluster_id, "PENDING", "Making the environment")
        return self.get(cluster_id)

    def get(self, cluster_id: str) -> Document:
        """Return a cluster in the API's format. Raises ApiError if the cluster does not
        exist.
        """
        cluster = dict(self._get(cluster_id))
        del cluster["generation"], cluster["made"]
        return cluster

    def all(self) -> list[Document]:
        """Return all clusters, newest first."""
        return [self.get(cluster_id) for cluster_id in reversed(list(self._clusters))]

    def start(self, cluster_id: str) -> None:
        """Start a terminated cluster. Raises ApiError if the cluster is not
        terminated.
        """
        state = self._get(cluster_id)["state"]
        if state != "TERMINATED":
            raise errors.unexpected_state(cluster_id, state)
        self._start(cluster_id, "PENDING", "Making the environment")

    def restart(self, cluster_id: str) -> None:
        """Stop the tasks of a running cluster, and restart the cluster in a new
        environment.
        """
        state = self._get(cluster_id)["state"]
        if state != "RUNNING":
            raise errors.unexpected_state(cluster_id, state)
        self._stopping(cluster_id, "restarted")
        self._start(cluster_id, "RESTARTING", "Recreating the environment")

    def delete(self, cluster_id: str) -> None:
        """Terminate a cluster. A terminated cluster can be started again."""
        if self._get(cluster_id)["state"] in ("TERMINATED", "TERMINATING"):
            return
        self._stopping(cluster_id, "terminated")
        self._clusters.change(
            cluster_id, state="TERMINATING", state_message="Terminated by the user"
        )
        self._background.spawn(_name(cluster_id), self._take_down(cluster_id))

    def permanent_delete(self, cluster_id: str) -> None:
        """Terminate a cluster and delete it permanently."""
        self._get(cluster_id)
        self._stopping(cluster_id, "deleted")
        self._background.cancel(_name(cluster_id))
        shutil.rmtree(self._folder / cluster_id, ignore_errors=True)
        del self._clusters[cluster_id]
        for listener in self.on_delete:
            listener(cluster_id)
        self._background.changed()

    def environment(self, cluster_id: str) -> Environment:
        """Return the environment in which a running cluster executes tasks."""
        return Environment(
            self._folder / cluster_id / str(self._get(cluster_id)["generation"])
        )

    def runs(self, cluster_id: str) -> bool:
        """Return whether a cluster is in the state RUNNING."""
        return self.state(cluster_id) == "RUNNING"

    def state(self, cluster_id: str) -> str:
        """Return the state of a cluster. A permanently deleted cluster is
        TERMINATED.
        """
        return str(self._clusters.get(cluster_id, {"state": "TERMINATED"})["state"])

    async def wait_until_stable(self, cluster_id: str) -> None:
        """Wait until a cluster is in the state RUNNING or TERMINATED."""
        await self._background.until(lambda: self.state(cluster_id) in STABLE)

    def _get(self, cluster_id: str) -> Document:
        if cluster_id not in self._clusters:
            raise errors.does_not_exist(cluster_id)
        return self._clusters[cluster_id]

    def _start(self, cluster_id: str, state: str, message: str) -> None:
        self._clusters.change(cluster_id, state=state, state_message=message)
        self._background.spawn(_name(cluster_id), self._bring_up(cluster_id))

    def _stopping(self, cluster_id: str, reason: str) -> None:
        for listener in self.on_stop:
            listener(cluster_id, f"Cluster {cluster_id} was {reason}")

    async def _bring_up(self, cluster_id: str) -> None:
        before = self._get(cluster_id)["generation"]
        # Increase the number before the folder is created. If this start is
        # interrupted, the next start gets a new number, and therefore a new folder.
        made = int(
            self._clusters.change(cluster_id, made=self._get(cluster_id)["made"] + 1)[
                "made"
            ]
        )
        environment = Environment(self._folder / cluster_id / str(made))
        try:
            await environment.make(self._template)
        except InstallError as error:
            self._terminated(cluster_id, "BOOTSTRAP_FAILURE", str(error))
            return
        now = milliseconds(time.time())
        self._clusters.change(
            cluster_id,
            state="RUNNING",
            state_message="",
            generation=made,
            last_restarted_time=now,
        )
        shutil.rmtree(self._folder / cluster_id / str(before), ignore_errors=True)
        for listener in self.on_start:
            listener(cluster_id)
        self._background.changed()

    async def _take_down(self, cluster_id: str) -> None:
        self._terminated(cluster_id, "USER_REQUEST", "Terminated by the user")

    def _terminated(self, cluster_id: str, code: str, message: str) -> None:
        shutil.rmtree(self._folder / cluster_id, ignore_errors=True)
        self._clusters.change(
            cluster_id,
            state="TERMINATED",
            state_message=message,
            terminated_time=milliseconds(time.time()),
            termination_reason={
                "code": code,
                "type": "SUCCESS" if code == "USER_REQUEST" else "CLIENT_ERROR",
                "parameters": (
                    {"username": self._owner} if code == "USER_REQUEST" else {}
                ),
            },
        )
        self._background.changed()


def _name(cluster_id: str) -> str:
    return f"cluster {cluster_id}"
