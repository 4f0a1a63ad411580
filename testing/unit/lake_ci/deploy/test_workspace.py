"""Tests the workspace client with responses that are missing, lost, repeated or
incomplete.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from databricks.sdk import errors as sdk_errors
from databricks.sdk.service import compute, jobs

from lake_ci.deploy.errors import WorkspaceError
from lake_ci.deploy.retries import Clock
from lake_ci.deploy.workspace import Databricks
from lake_ci.model.settings import Limits

LIMITS = Limits(
    request=1, attempts=3, pause=0.1, poll=0.1, start=5, install=5, run=5, busy=5
)


class Cli:
    """A fake databricks-cli with a list of responses. A response that is an exception
    is raised.
    """

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.commands: list[str] = []

    def json(self, *arguments: str) -> Any:
        self.commands.append(" ".join(arguments[:2]))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    text = json


def workspace(cli: Cli, clock: Clock, **sdk: Any) -> Databricks:
    client: Any = SimpleNamespace(**sdk)
    program: Any = cli
    return Databricks(client, program, LIMITS, clock)


def raising(error: Exception) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> Any:
        raise error

    return call


# Files


def files(clock: Clock, **methods: Any) -> Databricks:
    return workspace(Cli(), clock, files=SimpleNamespace(**methods))


def test_missing_file_reads_as_none_lists_empty_and_deletes_without_error(
    clock: Clock,
) -> None:
    missing = raising(sdk_errors.NotFound("no such file"))
    there = files(
        clock, download=missing, list_directory_contents=missing, delete=missing
    )
    assert there.read("/Volumes/a") is None
    assert there.names("/Volumes") == ()
    there.delete("/Volumes/a")


def test_truncated_download_is_retried(clock: Clock) -> None:
    answers = [b"ha", b"half"]

    def download(path: str) -> Any:
        return SimpleNamespace(contents=io.BytesIO(answers.pop(0)), content_length=4)

    assert files(clock, download=download).read("/Volumes/a") == b"half"


def test_a_file_that_only_ever_comes_in_half_is_an_error(clock: Clock) -> None:
    def download(path: str) -> Any:
        return SimpleNamespace(contents=io.BytesIO(b"ha"), content_length=4)

    with pytest.raises(WorkspaceError, match="only 2 of 4 bytes came"):
        files(clock, download=download).read("/Volumes/a")


def test_write_of_an_existing_file_returns_false(
    clock: Clock,
) -> None:
    there = files(clock, upload=raising(sdk_errors.AlreadyExists("exists")))
    assert there.write("/Volumes/lock", b"me", overwrite=False) is False
    denied = files(
        clock,
        upload=raising(
            sdk_errors.PermissionDenied("no", error_code="PERMISSION_DENIED")
        ),
    )
    with pytest.raises(WorkspaceError, match="no"):
        denied.write("/Volumes/lock", b"me", overwrite=False)


def test_malformed_sdk_answer_is_retried_then_raised(
    clock: Clock,
) -> None:
    with pytest.raises(WorkspaceError, match="KeyError: 'user'"):
        workspace(
            Cli(), clock, current_user=SimpleNamespace(me=raising(KeyError("user")))
        ).user()


# Clusters


def test_a_name_that_two_clusters_have_is_refused_with_both(clock: Clock) -> None:
    rows = [{"cluster_id": each, "cluster_name": "lake"} for each in ("01-a", "02-b")]
    assert workspace(Cli({"clusters": rows[:1]}), clock).find_cluster("lake") == "01-a"
    assert workspace(Cli({}), clock).find_cluster("lake") is None
    with pytest.raises(
        WorkspaceError, match="2 clusters of the name 'lake': 01-a, 02-b"
    ):
        workspace(Cli({"clusters": rows}), clock).find_cluster("lake")


def test_start_that_is_retried_after_a_lost_answer_succeeds(
    clock: Clock,
) -> None:
    lost = WorkspaceError("no answer", retryable=True)
    started = WorkspaceError(
        "the cluster is in an unexpected state Pending", code="INVALID_STATE"
    )
    cli = Cli(lost, started)
    workspace(cli, clock).start("01-a")
    assert cli.commands == ["clusters start"] * 2
    with pytest.raises(WorkspaceError, match="no such cluster"):
        workspace(
            Cli(WorkspaceError("no such cluster", code="INVALID_PARAMETER_VALUE")),
            clock,
        ).start("01-a")


def test_only_wheels_are_listed_with_their_state(clock: Clock) -> None:
    rows = [
        compute.LibraryFullStatus(
            library=compute.Library(whl="/Volumes/a.whl"),
            status=compute.LibraryInstallStatus.FAILED,
            messages=["x"],
        ),
        compute.LibraryFullStatus(library=compute.Library(jar="/Volumes/a.jar")),
    ]
    there = workspace(
        Cli(),
        clock,
        libraries=SimpleNamespace(cluster_status=lambda cluster: iter(rows)),
    )
    [wheel] = there.wheels("01-a")
    assert (wheel.path, wheel.state, wheel.messages) == (
        "/Volumes/a.whl",
        "FAILED",
        ("x",),
    )


# Runs and jobs


def test_runs_of_a_cluster_are_found_wherever_the_api_tells_it(clock: Clock) -> None:
    runs = [
        jobs.BaseRun(
            run_id=1,
            run_name="theirs",
            cluster_instance=jobs.ClusterInstance(cluster_id="01-a"),
        ),
        jobs.BaseRun(
            run_id=2, cluster_spec=jobs.ClusterSpec(existing_cluster_id="01-a")
        ),
        jobs.BaseRun(
            run_id=3, tasks=[jobs.RunTask(task_key="fill", existing_cluster_id="01-a")]
        ),
        jobs.BaseRun(
            run_id=4, cluster_instance=jobs.ClusterInstance(cluster_id="02-b")
        ),
    ]
    there = workspace(
        Cli(), clock, jobs=SimpleNamespace(list_runs=lambda **_: iter(runs))
    )
    assert there.active_runs("01-a") == {1: "theirs", 2: "", 3: ""}


def test_a_run_that_has_no_state_yet_is_pending(clock: Clock) -> None:
    seen = jobs.Run(run_id=9, tasks=[jobs.RunTask(task_key="fill", run_id=10)])
    found = workspace(Cli(), clock, jobs=SimpleNamespace(get_run=lambda run: seen)).run(
        9
    )
    assert (found.state, found.tasks[0].state) == ("PENDING", "PENDING")


def test_job_created_without_an_answer_is_found_by_name_and_created_once(
    clock: Clock,
) -> None:
    lost = WorkspaceError("no answer", retryable=True)
    settings = {"name": "nightly"}
    found = {"jobs": [{"job_id": 7, "settings": settings}]}
    cli = Cli(lost, found)
    assert workspace(cli, clock).create_job(settings) == 7
    assert cli.commands == ["jobs create", "jobs list"]
    cli = Cli(lost, {}, {"job_id": 8})
    assert workspace(cli, clock).create_job(settings) == 8
    assert cli.commands == ["jobs create", "jobs list", "jobs create"]


def test_create_job_ends_after_the_declared_attempts(clock: Clock) -> None:
    busy = WorkspaceError("503", code="TEMPORARILY_UNAVAILABLE", retryable=True)
    answers: list[Any] = [busy, {}]
    cli = Cli(*answers * 20)
    with pytest.raises(WorkspaceError, match="503"):
        workspace(cli, clock).create_job({"name": "nightly"})
    assert cli.commands == [
        "jobs create",
        "jobs list",
        "jobs create",
        "jobs list",
        "jobs create",
    ]
    assert clock.now() == pytest.approx(1_000_000 + 0.1 + 0.2)


def test_malformed_cli_answer_is_retried(clock: Clock) -> None:
    cli = Cli({"error": "?"}, {"run_id": 5})
    assert workspace(cli, clock).submit({}) == 5
    with pytest.raises(WorkspaceError, match="databricks runs submit .* KeyError"):
        workspace(Cli(*[{}] * 3), clock).submit({})


def test_a_timeout_of_the_sdk_says_what_did_not_work(clock: Clock) -> None:
    def me() -> None:
        raise TimeoutError(
            "Timed out after 0:00:01"
        ) from sdk_errors.TemporarilyUnavailable("503: busy")

    with pytest.raises(WorkspaceError, match="Timed out after 0:00:01: 503: busy"):
        workspace(Cli(), clock, current_user=SimpleNamespace(me=me)).user()


def test_two_jobs_of_a_name_are_an_error_that_says_which(clock: Clock) -> None:
    rows = [{"job_id": each, "settings": {"name": "nightly"}} for each in (7, 8)]
    with pytest.raises(
        WorkspaceError, match="2 jobs of the name 'nightly': 7, 8 .delete all but one."
    ):
        workspace(Cli({"jobs": rows}), clock).job("nightly")


def test_a_job_that_is_gone_is_deleted(clock: Clock) -> None:
    workspace(Cli(WorkspaceError("Job 7 does not exist.")), clock).delete_job(7)
    with pytest.raises(WorkspaceError, match="denied"):
        workspace(Cli(WorkspaceError("denied")), clock).delete_job(7)
