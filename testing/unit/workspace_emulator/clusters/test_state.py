from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from workspace_emulator.clusters.state import Clusters
from workspace_emulator.errors import ApiError
from workspace_emulator.runtime.background import Background
from workspace_emulator.runtime.environment import (
    Environment,
    InstallError,
    Template,
)
from workspace_emulator.runtime.release import SPARK_VERSION
from workspace_emulator.store import Store


class Ready(Template):
    """A fake template. If `error` is given, `ready` raises InstallError; otherwise, it
    returns an empty environment.
    """

    def __init__(self, folder: Path, error: str = "") -> None:
        super().__init__(folder / "lock", folder)
        self._folder = folder
        self._error = error

    async def ready(self) -> Environment:
        if self._error:
            raise InstallError(self._error)
        (self._folder / "bin").mkdir(parents=True, exist_ok=True)
        return Environment(self._folder)


def play(
    store: Store, folder: Path, what: Callable[[Clusters], object], error: str = ""
) -> Clusters:
    """Call a function that changes clusters, and wait until all state transitions have
    ended.
    """

    async def go() -> Clusters:
        background = Background()
        clusters = Clusters(
            store,
            folder / "clusters",
            background,
            Ready(folder / "template", error),
            "me",
        )
        what(clusters)
        for each in clusters.all():
            await clusters.wait_until_stable(each["cluster_id"])
        await background.stop()
        return clusters

    return asyncio.run(asyncio.wait_for(go(), 60))


def test_an_environment_that_cannot_be_made_ends_the_start_with_the_reason(
    store: Store, tmp_path: Path
) -> None:
    clusters = play(
        store,
        tmp_path,
        lambda each: each.create({"spark_version": SPARK_VERSION}),
        "uv is missing",
    )
    [cluster] = clusters.all()
    assert (cluster["state"], cluster["state_message"]) == (
        "TERMINATED",
        "uv is missing",
    )
    assert cluster["termination_reason"]["code"] == "BOOTSTRAP_FAILURE"


def test_a_start_that_was_cut_goes_on(store: Store, tmp_path: Path) -> None:
    clusters = play(
        store, tmp_path, lambda each: each.create({"spark_version": SPARK_VERSION})
    )
    [cluster] = clusters.all()
    assert (
        cluster["state"] == "RUNNING"
        and clusters.environment(cluster["cluster_id"]).folder.is_dir()
    )
    store.collection("cluster").change(cluster["cluster_id"], state="RESTARTING")
    assert (
        play(store, tmp_path, lambda each: each.resume()).all()[0]["state"] == "RUNNING"
    )


def test_a_restart_leaves_one_environment(store: Store, tmp_path: Path) -> None:
    made = play(
        store, tmp_path, lambda each: each.create({"spark_version": SPARK_VERSION})
    ).all()[0]["cluster_id"]
    play(store, tmp_path, lambda each: each.restart(made))
    assert [each.name for each in (tmp_path / "clusters" / made).iterdir()] == ["2"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({}, "Missing required field: spark_version"),
        ({"spark_version": "16.4.x-scala2.12"}, "is not emulated"),
        (
            {"spark_version": SPARK_VERSION, "spark_env_vars": {"A": 1}},
            "must map strings to strings",
        ),
    ],
)
def test_what_could_not_start_is_refused(
    store: Store, tmp_path: Path, wanted: dict[str, object], message: str
) -> None:
    with pytest.raises(ApiError, match=message):
        play(store, tmp_path, lambda each: each.create(wanted))
