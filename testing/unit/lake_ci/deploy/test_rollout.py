"""After a deploy, the workspace has completely the new or the old version, and the
ledger names the version on the cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lake_ci.deploy.client import Library, Output
from lake_ci.deploy.errors import RefusedError, WorkspaceError
from lake_ci.deploy.release import Release
from lake_ci.deploy.rollback import ROLLED_BACK, roll_back
from lake_ci.deploy.rollout import DEPLOYED, NOT_BACK, RETURNED, UNCHANGED, Rollout
from testing.unit.lake_ci.deploy.conftest import BASE, Scene

Built = Callable[..., tuple[Release, dict[str, bytes]]]
STEPS = [
    "lock",
    "compare",
    "upload",
    "before",
    "install",
    "replace",
    "fill",
    "inside",
    "scripts",
]
STEPS += ["version", "gold", "job", "ledger", "unlock"]


def deploy(scene: Scene, made: tuple[Release, dict[str, bytes]]) -> str:
    return Rollout(scene.context(), *made, Path()).deploy()


def assert_whole(scene: Scene, release: Release | None) -> None:
    """Assert that the wheel, the job and the ledger's entry are those of this release,
    and that the deploy has left no lock and no pending change.
    """
    workspace = scene.workspace
    assert workspace.names(f"{BASE}/locks") == []
    assert f"{BASE}/pending.json" not in workspace.files
    current = scene.context().ledger.current()
    wheel = release.wheel_path if release else None
    assert {(each.path, each.state) for each in workspace.libraries.values()} == (
        {(wheel, "INSTALLED")} if wheel else set()
    )
    assert workspace.running == wheel
    assert (current.folder if current else None) == (
        release.folder if release else None
    )
    jobs = [
        settings["tasks"][0]["spark_python_task"]["python_file"]
        for settings in workspace.jobs.values()
    ]
    assert jobs == ([f"{release.folder}/fill.py"] if release else [])


def test_first_deploy_installs_runs_and_records(scene: Scene, built: Built) -> None:
    made = built("1.0")
    assert deploy(scene, made) == DEPLOYED
    assert scene.steps == STEPS
    assert_whole(scene, made[0])
    assert not scene.workspace.calls_of("restart")
    entry = scene.context().ledger.current()
    assert entry is not None
    assert (entry.version, entry.commit, entry.previous) == ("1.0", "c" * 40, None)
    assert entry.gold == {"gold_sales": {"rows": 3, "sums": {"price": "7.5"}}}


def test_same_release_again_changes_nothing_and_says_so(
    scene: Scene, built: Built
) -> None:
    deploy(scene, built("1.0"))
    before = dict(scene.workspace.files)
    scene.workspace.calls.clear()
    assert deploy(scene, built("1.0")) == UNCHANGED
    assert scene.workspace.files == before
    assert {call[0] for call in scene.workspace.calls} == {
        "write",
        "delete",
    }  # the lock
    assert "nothing to change" in scene.row("compare")["detail"]


def test_upgrade_removes_the_old_wheel_and_restarts_once(
    scene: Scene, built: Built
) -> None:
    deploy(scene, built("1.0"))
    made = built("1.1")
    assert deploy(scene, made) == DEPLOYED
    assert_whole(scene, made[0])
    assert len(scene.workspace.calls_of("restart")) == 1
    entry = scene.context().ledger.current()
    assert entry is not None
    assert (entry.number, entry.previous, entry.tables) == (2, 1, {"gold_sales": 0})


def test_known_version_with_other_bytes_is_refused(scene: Scene, built: Built) -> None:
    made = built("1.0")
    deploy(scene, made)
    with pytest.raises(
        RefusedError, match="1.0 was already deployed with other content"
    ):
        deploy(scene, built("1.0", b"other"))
    assert_whole(scene, made[0])


def test_version_whose_upload_was_cut_short_is_not_known(
    scene: Scene, built: Built, lost: WorkspaceError
) -> None:
    release, contents = built("1.0", b"other")
    scene.workspace.files[release.wheel_path] = contents[release.wheel]
    made = built("1.0")
    assert deploy(scene, made) == DEPLOYED


def test_terminated_cluster_is_started(scene: Scene, built: Built) -> None:
    scene.workspace.state = "TERMINATED"
    made = built("1.0")
    assert deploy(scene, made) == DEPLOYED
    assert scene.workspace.calls_of("start") == [()]
    assert_whole(scene, made[0])


def test_failed_library_returns_with_its_own_messages(
    scene: Scene, built: Built
) -> None:
    scene.workspace.library_result = "FAILED"
    assert deploy(scene, built("1.0")) == RETURNED
    assert "no matching distribution" in scene.row("install")["findings"][0]
    assert_whole(scene, None)
    assert scene.context().ledger.entries()[0].kind == "returned"


def test_failed_script_returns_to_the_old_version_and_restores_its_tables(
    scene: Scene, built: Built
) -> None:
    old = built("1.0")
    deploy(scene, old)
    scene.workspace.result = "FAILED"
    scene.workspace.restored = {
        "restored": {"gold_sales": 0},
        "dropped": [],
        "left": {"notes": "of somebody else"},
    }
    assert deploy(scene, built("1.1")) == RETURNED
    assert "division by zero" in scene.row("scripts")["findings"][0]
    assert "back to 1.0" in scene.row("return")["detail"]
    assert (
        "restored gold_sales to version 0; notes was not restored: of somebody else"
        in scene.row("return")["detail"]
    )
    assert_whole(scene, old[0])


def test_other_version_inside_the_cluster_is_noticed(
    scene: Scene, built: Built
) -> None:
    scene.workspace.running = "/elsewhere/shop-0.9-py3-none-any.whl"
    assert deploy(scene, built("1.0")) == RETURNED
    assert "shop 0.9, not 1.0" in scene.row("version")["detail"]


def test_package_of_the_runtime_that_changes_is_named(
    scene: Scene, built: Built
) -> None:
    workspace = scene.workspace
    real = workspace.install

    def install(cluster_id: str, wheel: str) -> None:
        workspace.extra_packages = {"numpy": "2.0"}
        real(cluster_id, wheel)

    # This fake installation also upgrades numpy.
    workspace.install = install  # type: ignore[method-assign]  # a double
    assert deploy(scene, built("1.0")) == RETURNED
    [found] = [
        each for each in scene.row("version")["findings"] if each.startswith("numpy")
    ]
    assert "1.26" in found and "2.0" in found


def test_runs_of_others_are_waited_for_and_never_cut(
    scene: Scene, built: Built
) -> None:
    old = built("1.0")
    deploy(scene, old)
    scene.workspace.others = {5: "their report"}
    assert deploy(scene, built("1.1")) == RETURNED
    assert not scene.workspace.calls_of("restart")
    assert "these runs did not end: their report (5)" in scene.row("install")["detail"]
    assert_whole(scene, old[0])


def test_what_cannot_be_undone_now_is_undone_by_the_next_deploy(
    scene: Scene, built: Built
) -> None:
    old = built("1.0")
    deploy(scene, old)
    scene.workspace.result = "FAILED"
    real = scene.workspace.submit

    def submit(body: Any) -> int:
        scene.workspace.others = (
            {5: "their report"} if "1.1" in body["run_name"] else {}
        )
        return real(body)

    # While the scripts fail, somebody else starts a run on the cluster.
    scene.workspace.submit = submit  # type: ignore[method-assign]  # a double
    assert deploy(scene, built("1.1")) == NOT_BACK
    assert "their report (5)" in scene.row("return")["detail"]
    scene.workspace.others = {}
    assert deploy(scene, old) == UNCHANGED
    assert_whole(scene, old[0])


def test_job_of_somebody_elses_making_is_given_back(scene: Scene, built: Built) -> None:
    theirs = {"name": "shop nightly", "tasks": [], "tags": {}}
    scene.workspace.jobs[3] = dict(theirs)
    scene.workspace.break_at["write"] = WorkspaceError("never mind", retryable=False)
    with pytest.raises(WorkspaceError):
        deploy(scene, built("1.0"))
    scene.workspace.result = "FAILED"
    assert deploy(scene, built("1.0")) == RETURNED
    assert scene.workspace.jobs == {3: theirs}


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("lost", [False, True], ids=["before", "after"])
def test_undo_killed_at_its_restore_is_finished_by_the_next_deploy(
    scene: Scene, built: Built, version: str, lost: bool
) -> None:
    old = built("1.0")
    deploy(scene, old)
    scene.workspace.result = "FAILED"
    real = scene.workspace.submit

    def submit(body: Any) -> int:
        if body["run_name"] != "shop restore":
            return real(body)
        # The next call succeeds.
        scene.workspace.submit = real  # type: ignore[method-assign]  # a double
        if lost:
            real(body)
        raise SystemExit("killed")

    # The deploy is killed during the request that starts the run.
    scene.workspace.submit = submit  # type: ignore[method-assign]  # a double
    with pytest.raises(SystemExit):
        deploy(scene, built("1.1"))
    scene.workspace.result = "SUCCESS"
    assert deploy(scene, built(version)) == (
        UNCHANGED if version == "1.0" else DEPLOYED
    )
    assert "no table had changed" in scene.row("return")["detail"]
    restores = [
        token
        for name, token in scene.workspace.calls_of("submit")
        if name == "shop restore"
    ]
    assert len(set(restores)) == 1, "the retry submits the same run"
    assert_whole(scene, built(version)[0])


def test_undo_whose_restore_failed_starts_another_run(
    scene: Scene, built: Built
) -> None:
    old = built("1.0")
    deploy(scene, old)
    scene.workspace.result = "FAILED"
    real, bodies = scene.workspace.submit, []

    def submit(body: Any) -> int:
        number = real(body)
        if body["run_name"] == "shop restore":
            bodies.append(body)
            run, outputs = scene.workspace.runs[number]
            if len(bodies) == 1:
                bad = replace(run.tasks[0], result="FAILED")
                scene.workspace.runs[number] = (
                    replace(run, result="FAILED", tasks=(bad,)),
                    outputs,
                )
        return number

    # The first restore fails.
    scene.workspace.submit = submit  # type: ignore[method-assign]  # a double
    assert deploy(scene, built("1.1")) == NOT_BACK
    assert deploy(scene, old) == UNCHANGED
    assert_whole(scene, old[0])
    tokens = [body["idempotency_token"] for body in bodies]
    assert tokens[0] == tokens[1] != tokens[2]
    runs = [
        [
            word
            for word in body["tasks"][0]["spark_python_task"]["parameters"]
            if word.count(":") == 2
        ]
        for body in bodies
    ]
    assert (
        len(runs[2]) == len(runs[0]) + 1
    ), "what the failed one wrote is a deploy's own, too"


CALLS = ("install", "uninstall", "restart", "submit", "reset_job", "write", "delete")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", ["break_at", "lose_at"])
def test_killed_at_any_change_the_next_deploy_completes(
    scene: Scene, built: Built, call: str, kind: str
) -> None:
    deploy(scene, built("1.0"))
    made = built("1.1")
    getattr(scene.workspace, kind)[call] = SystemExit("killed")
    try:
        deploy(scene, made)
    except SystemExit:
        pass
    assert deploy(scene, made) in (DEPLOYED, UNCHANGED)
    assert_whole(scene, made[0])


@pytest.mark.parametrize("call", CALLS)
def test_killed_at_any_change_another_release_goes_on_from_the_old_one(
    scene: Scene, built: Built, call: str
) -> None:
    deploy(scene, built("1.0"))
    scene.workspace.lose_at[call] = SystemExit("killed")
    try:
        deploy(scene, built("1.1"))
    except SystemExit:
        pass
    made = built("1.2")
    assert deploy(scene, made) == DEPLOYED
    assert_whole(scene, made[0])


def test_rollback_goes_to_the_version_before(scene: Scene, built: Built) -> None:
    old = built("1.0")
    deploy(scene, old)
    deploy(scene, built("1.1"))
    assert roll_back(scene.context(), None) == ROLLED_BACK
    assert_whole(scene, old[0])
    assert [entry.kind for entry in scene.context().ledger.entries()] == [
        "deploy",
        "deploy",
        "rollback",
    ]
    assert roll_back(scene.context(), None) == ROLLED_BACK
    assert_whole(scene, None)
    with pytest.raises(RefusedError, match="nothing to roll back"):
        roll_back(scene.context(), None)


def test_rollback_to_a_version_that_is_not_known_offers_those_that_are(
    scene: Scene, built: Built
) -> None:
    deploy(scene, built("1.0"))
    with pytest.raises(RefusedError, match="2.0 is not a version to roll back to: 1.0"):
        roll_back(scene.context(), "2.0")


def test_rollback_that_fails_goes_back_to_what_ran(scene: Scene, built: Built) -> None:
    deploy(scene, built("1.0"))
    new = built("1.1")
    deploy(scene, new)
    scene.workspace.break_at["uninstall"] = WorkspaceError("no", retryable=False)
    assert roll_back(scene.context(), None) == RETURNED
    assert_whole(scene, new[0])


def test_drift_is_mended_by_the_same_release(scene: Scene, built: Built) -> None:
    made = built("1.0")
    deploy(scene, made)
    stray = "/elsewhere/shop-0.9-py3-none-any.whl"
    scene.workspace.libraries[stray] = Library(stray, "INSTALLED")
    assert deploy(scene, made) == DEPLOYED
    assert_whole(scene, made[0])


def test_plan_says_what_would_change_and_changes_nothing(
    scene: Scene, built: Built
) -> None:
    release, contents = built("1.0")
    assert Rollout(scene.context(), release, contents, Path()).plan() == "planned"
    assert "nothing → 1.0" in scene.row("plan")["detail"]
    assert scene.workspace.calls == []


def test_lock_that_could_not_be_made_sure_of_does_not_stay(
    scene: Scene, built: Built
) -> None:
    context = scene.context()
    real = scene.workspace.read

    def read(path: str) -> bytes | None:
        if path.endswith(f"{context.me.id}.json"):
            raise WorkspaceError("the token has expired")
        return real(path)

    # The lock is written, but cannot be read.
    scene.workspace.read = read  # type: ignore[method-assign]  # a double
    with pytest.raises(WorkspaceError, match="expired"):
        Rollout(context, *built("1.0"), Path()).deploy()
    assert scene.workspace.names(f"{BASE}/locks") == []


def test_failure_after_the_ledger_was_written_is_no_failure(
    scene: Scene, built: Built
) -> None:
    made = built("1.0")
    scene.workspace.break_at["delete"] = WorkspaceError("the token has expired")
    assert deploy(scene, made) == DEPLOYED
    assert_whole(scene, made[0])


def test_a_secret_of_an_error_is_not_in_the_ledger(scene: Scene, built: Built) -> None:
    context = scene.context()
    context.events.hide("dapi0123456789abcdef")
    scene.workspace.break_at["submit"] = WorkspaceError(
        "bad header 'Bearer dapi0123456789abcdef\\n'"
    )
    assert Rollout(context, *built("1.0"), Path()).deploy() == RETURNED
    [entry] = context.ledger.entries()
    assert "bad header 'Bearer [hidden]\\n'" in entry.said
    assert not any(
        b"0123456789abcdef" in content for content in scene.workspace.files.values()
    )
    assert "0123456789abcdef" not in str(scene.events)


def test_output_that_is_cut_holds_no_part_of_a_secret(
    scene: Scene, built: Built
) -> None:
    context, real = scene.context(), scene.workspace.output
    context.events.hide("dapi0123456789abcdef")

    def output(task_run_id: int) -> Output:
        # The shown part, the last 4000 characters, starts in the middle of the secret.
        logs = real(task_run_id).logs
        return Output(f"dapi0123456789abcdef{'x' * (3990 - len(logs))}\n{logs}", "")

    scene.workspace.output = output  # type: ignore[method-assign]  # a long log
    assert Rollout(context, *built("1.0"), Path()).deploy() == DEPLOYED
    shown = scene.row("scripts")["data"]["output"]["fill"]
    assert len(shown) > 3900 and "abcdef" not in shown
