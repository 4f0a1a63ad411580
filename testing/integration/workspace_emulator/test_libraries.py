"""Tests libraries through databricks-cli and the SDK: installations into the cluster's
environment, and the effects of a restart.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue, NotImplemented
from databricks.sdk.service.compute import (
    Library,
    LibraryInstallStatus,
    MavenLibrary,
    PythonPyPiLibrary,
)

from testing.integration.workspace_emulator.execution import (
    output,
    run,
    script,
    script_task,
    wheel_task,
)
from testing.integration.workspace_emulator.wheels import make_wheel

Cli = Callable[..., SimpleNamespace]
PENDING = ("PENDING", "RESOLVING", "INSTALLING")


def wait_for_installs(
    sdk: WorkspaceClient, cluster: str, seconds: float = 600
) -> dict[str, tuple[str, str]]:
    """Wait until no installation is pending. Returns the status and messages of a
    cluster's libraries.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = list(sdk.libraries.cluster_status(cluster))
        if not any(each.status and each.status.value in PENDING for each in found):
            break
        assert time.monotonic() < deadline, found
    return {
        _named(each.library): (each.status.value, "".join(each.messages or []))
        for each in found
        if each.status
    }


def _named(library: Library | None) -> str:
    assert library is not None
    return (
        library.whl
        or library.requirements
        or (library.pypi.package if library.pypi else "")
    )


def upload(sdk: WorkspaceClient, volume: str, wheel: Path, folder: str) -> str:
    path = f"{volume}/{folder}/{wheel.name}"
    sdk.files.upload(path, io.BytesIO(wheel.read_bytes()), overwrite=True)
    return path


@pytest.fixture(scope="module")
def own(sdk: WorkspaceClient) -> str:
    """Return the id of a cluster that only these tests use."""
    made = sdk.clusters.create(
        cluster_name="libraries", spark_version="15.4.x-scala2.12", num_workers=0
    ).result()
    assert made.cluster_id
    return made.cluster_id


def test_new_code_is_there_only_after_a_restart(
    sdk: WorkspaceClient, cli: Cli, own: str, volume: str, tmp_path: Path
) -> None:
    """A wheel with a compiled dependency is replaced by its next version, which has a
    new entry point.
    """
    said = (
        "import markupsafe._speedups as c\ndef work(): print(__file__.split('/')[-2],"
        " {!r}, c.__file__)\n"
    )
    one = make_wheel(
        tmp_path,
        "shiny",
        "1.0",
        said.format("one"),
        entry_points={"go": "shiny:work"},
        requires=["markupsafe>=3"],
    )
    first = upload(sdk, volume, one, "one")
    assert cli("libraries", "install", "--cluster-id", own, "--whl", first).code == 0
    assert wait_for_installs(sdk, own) == {first: ("INSTALLED", "")}
    told = output(sdk, run(sdk, wheel_task(own, "shiny", "go"))).logs or ""
    assert told.startswith("site-packages one ") and told.strip().endswith(".so")

    two = make_wheel(
        tmp_path,
        "shiny",
        "2.0",
        said.format("two"),
        entry_points={"start": "shiny:work"},
        requires=["markupsafe>=3"],
    )
    second = upload(sdk, volume, two, "two")
    sdk.libraries.install(own, [Library(whl=second)])
    assert wait_for_installs(sdk, own)[second] == ("INSTALLED", "")
    assert "site-packages one" in (
        output(sdk, run(sdk, wheel_task(own, "shiny", "go"))).logs or ""
    )
    sdk.libraries.uninstall(
        own, [Library(whl=first), Library(whl="/Volumes/never/was/there.whl")]
    )
    assert wait_for_installs(sdk, own)[first] == ("UNINSTALL_ON_RESTART", "")

    sdk.clusters.restart(own).result()
    assert wait_for_installs(sdk, own) == {second: ("INSTALLED", "")}
    assert "site-packages two" in (
        output(sdk, run(sdk, wheel_task(own, "shiny", "start"))).logs or ""
    )
    gone = output(sdk, run(sdk, wheel_task(own, "shiny", "go")))
    assert "AttributeError" in (gone.error or "") and "no attribute" in (
        gone.error_trace or ""
    )


def test_what_cannot_be_installed_says_why(
    sdk: WorkspaceClient, own: str, volume: str, tmp_path: Path
) -> None:
    broken = tmp_path / "broken-1.0-py3-none-any.whl"
    broken.write_bytes(b"no wheel")
    bad = upload(sdk, volume, broken, "broken")
    sdk.dbfs.put("/old.whl", contents="eA==")
    missing = f"{volume}/none-1.0-py3-none-any.whl"
    wanted = [bad, "dbfs:/old-1.0-py3-none-any.whl", missing]
    sdk.libraries.install(own, [Library(whl=each) for each in wanted])
    found = wait_for_installs(sdk, own)
    assert [found[each][0] for each in wanted] == ["FAILED"] * 3
    assert "broken" in found[bad][1] and "/tmp" not in found[bad][1]
    assert "DBFS root is not supported" in found[wanted[1]][1]
    assert f"does not exist: {missing}" in found[missing][1]
    sdk.libraries.uninstall(own, [Library(whl=each) for each in wanted])


def test_packages_and_requirements_are_installed(
    sdk: WorkspaceClient, own: str, volume: str
) -> None:
    sdk.files.upload(
        f"{volume}/requirements.txt", io.BytesIO(b"iniconfig==2.0.0\n"), overwrite=True
    )
    sdk.libraries.install(
        own,
        [
            Library(pypi=PythonPyPiLibrary("toolz==1.0.0")),
            Library(requirements=f"{volume}/requirements.txt"),
        ],
    )
    found = wait_for_installs(sdk, own)
    assert (
        found["toolz==1.0.0"]
        == ("INSTALLED", "")
        == found[f"{volume}/requirements.txt"]
    )
    shown = script(
        sdk,
        "versions.py",
        "from importlib.metadata import version as v\nprint(v('toolz'),"
        " v('iniconfig'))\n",
    )
    assert output(sdk, run(sdk, script_task(own, shown))).logs == "1.0.0 2.0.0\n"


def test_a_library_asked_for_while_terminated_comes_with_the_start(
    sdk: WorkspaceClient, volume: str, tmp_path: Path
) -> None:
    wheel = upload(
        sdk,
        volume,
        make_wheel(tmp_path, "later", "1.0", "def go(): print('late')\n"),
        "later",
    )
    wait = sdk.clusters.create(
        cluster_name="later", spark_version="15.4.x-scala2.12", num_workers=0
    )
    sdk.clusters.delete(wait.cluster_id).result()
    sdk.libraries.install(wait.cluster_id, [Library(whl=wheel)])
    [waiting] = sdk.libraries.cluster_status(wait.cluster_id)
    assert waiting.status is LibraryInstallStatus.PENDING
    assert (
        output(sdk, run(sdk, wheel_task(wait.cluster_id, "later", "go"))).logs
        == "late\n"
    )
    assert wait_for_installs(sdk, wait.cluster_id) == {wheel: ("INSTALLED", "")}
    sdk.clusters.permanent_delete(wait.cluster_id)


def test_cli_lists_uninstalls_and_is_refused(
    sdk: WorkspaceClient, cli: Cli, own: str
) -> None:
    sdk.libraries.install(own, [Library(pypi=PythonPyPiLibrary("toolz==1.0.0"))])
    wait_for_installs(sdk, own)
    assert "toolz==1.0.0" in cli("libraries", "list", "--cluster-id", own).out
    assert own in cli("libraries", "all-cluster-statuses").out
    done = cli(
        "libraries", "uninstall", "--cluster-id", own, "--pypi-package", "toolz==1.0.0"
    )
    assert (
        done.code == 0
        and wait_for_installs(sdk, own)["toolz==1.0.0"][0] == "UNINSTALL_ON_RESTART"
    )
    missing = cli(
        "libraries", "install", "--cluster-id", "none", "--pypi-package", "toolz"
    )
    assert missing.code == 1 and "Cluster none does not exist" in missing.out


def test_other_kinds_are_refused_by_name(sdk: WorkspaceClient, own: str) -> None:
    with pytest.raises(NotImplemented, match="libraries of kind maven"):
        sdk.libraries.install(own, [Library(maven=MavenLibrary("a:b:1"))])
    with pytest.raises(InvalidParameterValue, match="exactly one of"):
        sdk.libraries.install(own, [Library()])
    assert own in [each.cluster_id for each in sdk.libraries.all_cluster_statuses()]
