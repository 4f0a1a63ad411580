"""Fixtures: one emulator in a separate process, and clients for it."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.service.catalog import VolumeType
from databricks_cli.cli import cli as databricks

from workspace_emulator.launch import Emulator

LAST = "test_every_route.py"
RUNTIME = "15.4.x-scala2.12"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Run all tests in one worker, because they share one emulator."""
    item.add_marker(pytest.mark.xdist_group("emulator"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the tests that check the record of all requests to the end."""
    items.sort(key=lambda item: item.path.name == LAST)


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    jars = os.environ.get("LAKE_CI_JARS")
    with Emulator(
        tmp_path_factory.mktemp("workspace"), jars=Path(jars) if jars else None
    ) as running:
        yield running


@pytest.fixture(scope="session")
def sdk(emulator: Emulator) -> WorkspaceClient:
    """Return a databricks-sdk client that ignores the configuration of the user."""
    return client(emulator.url, emulator.token)


def client(url: str, token: str) -> WorkspaceClient:
    """Return a databricks-sdk client. All settings are explicit, so that environment
    variables and profiles have no effect.
    """
    return WorkspaceClient(
        config=Config(
            host=url,
            token=token,
            auth_type="pat",
            retry_timeout_seconds=300,
            http_timeout_seconds=300,
        )
    )


@pytest.fixture(scope="session")
def cli(
    emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., SimpleNamespace]:
    """Return a function that runs databricks-cli. `cli("fs", "ls", "dbfs:/")` returns
    the exit code and the output.
    """
    home = str(tmp_path_factory.mktemp("home"))
    env: dict[str, str | None] = dict.fromkeys(
        name for name in os.environ if name.startswith("DATABRICKS_")
    )
    env |= emulator.cli_environment({}) | {"HOME": home}

    def run(*arguments: str) -> SimpleNamespace:
        # databricks-cli runs in this process, because importing it for each command
        # would take longer than the command.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            done = CliRunner(env=env).invoke(databricks, arguments)
            said = SimpleNamespace(code=done.exit_code, out=done.stdout)
            del done
            # databricks-cli does not close the files that it sends; they stay open
            # until the garbage collection.
            gc.collect()
        return said

    return run


@pytest.fixture(scope="session")
def volume(sdk: WorkspaceClient) -> str:
    """Return the path of a volume. Tests store wheels and scripts in the volume."""
    sdk.schemas.create(name="release", catalog_name="spark_catalog")
    sdk.volumes.create("spark_catalog", "release", "files", VolumeType.MANAGED)
    return "/Volumes/spark_catalog/release/files"


@pytest.fixture(scope="session")
def cluster(sdk: WorkspaceClient) -> str:
    """Return the id of a running cluster, which all tests that execute code share."""
    made = sdk.clusters.create(
        cluster_name="shared",
        spark_version=RUNTIME,
        node_type_id="emulated.small",
        num_workers=0,
        spark_env_vars={"SOURCE": "/Volumes/spark_catalog/release/files"},
    ).result()
    assert made.cluster_id
    return made.cluster_id
