"""A cluster has exactly one version of the wheel, and restarts only if necessary."""

from __future__ import annotations

import pytest

from lake_ci.deploy.client import LEAVING, Library
from lake_ci.deploy.cluster import Installation, version
from lake_ci.deploy.errors import StepError
from lake_ci.deploy.retries import Clock
from lake_ci.model.settings import Limits
from testing.unit.lake_ci.deploy.conftest import FakeWorkspace

NEW, OLD = "/v/shop-1.1-py3-none-any.whl", "/v/shop-1.0-py3-none-any.whl"


@pytest.fixture
def installation(workspace: FakeWorkspace, clock: Clock) -> Installation:
    limits = Limits(poll=0.5, start=5, install=5, busy=5)
    return Installation(workspace, "cluster", "shop", limits, clock)


def test_wheels_of_other_packages_are_none_of_ours(
    installation: Installation, workspace: FakeWorkspace
) -> None:
    for path in (
        OLD,
        "/v/workshop-1.0-py3-none-any.whl",
        "/v/shop_api-1.0-py3-none-any.whl",
    ):
        workspace.libraries[path] = Library(path, "INSTALLED")
    assert [each.path for each in installation.wheels()] == [OLD]
    assert installation.holds(OLD)


def test_wheel_that_never_comes_is_named_with_the_time(
    installation: Installation, workspace: FakeWorkspace
) -> None:
    workspace.library_result = "PENDING"
    with pytest.raises(
        StepError, match="shop-1.1-py3-none-any.whl was not installed within 5 s"
    ):
        installation.install(NEW)


def test_skipped_library_is_an_error(
    installation: Installation, workspace: FakeWorkspace
) -> None:
    workspace.library_result = "SKIPPED"
    with pytest.raises(StepError, match="is SKIPPED on the cluster: no reason given"):
        installation.install(NEW)


def test_wheel_that_is_there_is_not_installed_again(
    installation: Installation, workspace: FakeWorkspace
) -> None:
    workspace.libraries[NEW] = Library(NEW, "INSTALLED")
    assert installation.install(NEW) == "was already installed"
    assert workspace.calls == []


def test_uninstall_that_was_never_followed_by_a_restart_is_finished(
    installation: Installation, workspace: FakeWorkspace
) -> None:
    workspace.libraries = {OLD: Library(OLD, LEAVING), NEW: Library(NEW, "INSTALLED")}
    assert "removed 1.0; restarted" in installation.clear(NEW)
    assert [call[0] for call in workspace.calls] == ["restart"]
    assert installation.holds(NEW)


def test_wheel_that_was_to_leave_stays_when_it_is_wanted_again(
    installation: Installation, workspace: FakeWorkspace
) -> None:
    workspace.libraries = {OLD: Library(OLD, LEAVING), NEW: Library(NEW, "INSTALLED")}
    installation.install(OLD)
    installation.clear(OLD)
    assert installation.holds(OLD)


def test_cluster_in_error_is_not_waited_for(
    installation: Installation, workspace: FakeWorkspace
) -> None:
    workspace.state = "ERROR"
    with pytest.raises(StepError, match="is in state ERROR"):
        installation.running()


def test_cluster_that_does_not_come_up_ends_the_wait(
    installation: Installation, workspace: FakeWorkspace
) -> None:
    workspace.state = "PENDING"
    with pytest.raises(StepError, match="did not run within 5 s"):
        installation.running()


def test_cluster_that_terminates_again_is_not_started_for_ever(
    installation: Installation, workspace: FakeWorkspace
) -> None:
    workspace.state = "TERMINATED"
    # The cluster terminates again immediately.
    workspace._up = lambda: None  # type: ignore[method-assign]  # a double
    with pytest.raises(StepError, match="was started, and terminated"):
        installation.running()
    assert len(workspace.calls_of("start")) == 1


def test_version_is_read_from_the_file_name() -> None:
    assert version("/v/shop-1.0.dev1+gabc-py3-none-any.whl") == "1.0.dev1+gabc"
