"""Tests clusters through databricks-cli and the SDK: states, errors in each state, and
the environment.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import (
    BadRequest,
    InvalidParameterValue,
    ResourceDoesNotExist,
)
from databricks.sdk.service.compute import ClusterSource, State

from testing.integration.workspace_emulator.conftest import RUNTIME


def test_a_cluster_lives_through_its_states(sdk: WorkspaceClient) -> None:
    wait = sdk.clusters.create(
        cluster_name="states",
        spark_version=RUNTIME,
        num_workers=1,
        custom_tags={"team": "lake"},
    )
    assert sdk.clusters.get(wait.cluster_id).state in (State.PENDING, State.RUNNING)
    running = wait.result()
    assert running.state is State.RUNNING and running.custom_tags == {"team": "lake"}
    assert running.cluster_source is ClusterSource.API
    with pytest.raises(BadRequest, match="unexpected state Running") as refused:
        sdk.clusters.start(wait.cluster_id)
    assert refused.value.error_code == "INVALID_STATE"
    assert sdk.clusters.restart(wait.cluster_id).result().state is State.RUNNING
    sdk.clusters.delete(wait.cluster_id).result()
    ended = sdk.clusters.get(wait.cluster_id)
    assert ended.state is State.TERMINATED and ended.termination_reason is not None
    with pytest.raises(BadRequest, match="unexpected state Terminated"):
        sdk.clusters.restart(wait.cluster_id)
    assert sdk.clusters.start(wait.cluster_id).result().state is State.RUNNING
    sdk.clusters.permanent_delete(wait.cluster_id)
    with pytest.raises(
        ResourceDoesNotExist, match=f"Cluster {wait.cluster_id} does not exist"
    ):
        sdk.clusters.get(wait.cluster_id)


@pytest.mark.parametrize(
    "version", ["14.3.x-scala2.12", "16.4.x-scala2.12", "15.4.x-gpu-ml-scala2.12"]
)
def test_another_runtime_is_refused(sdk: WorkspaceClient, version: str) -> None:
    before = len(list(sdk.clusters.list()))
    with pytest.raises(
        InvalidParameterValue,
        match=f"{version} is not emulated; use {RUNTIME}",
    ):
        sdk.clusters.create(cluster_name="other", spark_version=version, num_workers=0)
    assert len(list(sdk.clusters.list())) == before


def test_what_there_is_to_choose_from_is_listed(sdk: WorkspaceClient) -> None:
    assert [each.key for each in sdk.clusters.spark_versions().versions or ()] == [
        RUNTIME
    ]
    assert [
        each.node_type_id for each in sdk.clusters.list_node_types().node_types or ()
    ] == ["emulated.small"]
    with pytest.raises(
        InvalidParameterValue, match="Missing required field: spark_version"
    ):
        sdk.clusters.create(
            spark_version=None,  # type: ignore[arg-type]  # what is refused
            cluster_name="none",
        )


def test_cli_sees_the_same_clusters(
    cli: Callable[..., SimpleNamespace], sdk: WorkspaceClient, cluster: str
) -> None:
    assert cluster in cli("clusters", "list").out
    assert (
        json.loads(cli("clusters", "get", "--cluster-id", cluster).out)["cluster_name"]
        == "shared"
    )
    refused = cli("clusters", "start", "--cluster-id", cluster)
    assert refused.code == 1 and "INVALID_STATE" in refused.out
    missing = cli("clusters", "restart", "--cluster-id", "none")
    assert missing.code == 1 and "Cluster none does not exist" in missing.out
    assert sdk.clusters.get(cluster).state is State.RUNNING
