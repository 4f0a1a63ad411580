"""Tests the end of the emulator's process. All child processes of the emulator must
end, and the data of the workspace must survive.
"""

from __future__ import annotations

import io
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service.compute import State
from databricks.sdk.service.jobs import RunLifeCycleState
from databricks.sdk.service.workspace import ImportFormat

from testing.integration.workspace_emulator.conftest import RUNTIME, client
from testing.integration.workspace_emulator.execution import script, script_task
from workspace_emulator.__main__ import VARIABLE
from workspace_emulator.launch import PACKAGES, Emulator, LaunchError


def test_only_the_owner_can_read_the_state(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    with Emulator(state) as emulator:
        sdk = client(emulator.url, emulator.token)
        sdk.workspace.upload("/kept.txt", io.BytesIO(b"kept"), format=ImportFormat.RAW)
        sdk.dbfs.upload("/kept.txt", io.BytesIO(b"kept"))
        others = [
            path
            for path in [state, *state.rglob("*")]
            if path.lstat().st_mode & 0o077 and not path.is_symlink()
        ]
    assert any(path.name == "kept.txt" for path in state.rglob("*"))
    assert others == []


@pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="only Linux tells when a stranger ends"
)
def test_a_kill_takes_the_tasks_along_and_a_restart_knows_the_rest(
    tmp_path: Path,
) -> None:
    emulator = Emulator(tmp_path / "state")
    emulator.start()
    sdk = client(emulator.url, emulator.token)
    cluster = (
        sdk.clusters.create(cluster_name="kept", spark_version=RUNTIME, num_workers=0)
        .result()
        .cluster_id
    )
    assert cluster
    sdk.workspace.upload("/kept.txt", io.BytesIO(b"kept"), format=ImportFormat.RAW)
    path = script(
        sdk,
        "long.py",
        "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(6000)\n",
    )
    waiting = sdk.jobs.submit(run_name="long", tasks=[script_task(cluster, path)])
    logs, deadline = "", time.monotonic() + 60
    while not logs.strip():
        assert time.monotonic() < deadline
        task = (sdk.jobs.get_run(waiting.run_id).tasks or [])[0]
        assert task.run_id
        logs = sdk.jobs.get_run_output(task.run_id).logs or ""
    task_process = os.pidfd_open(int(logs))
    emulator.kill()
    assert select.select([task_process], [], [], 60)[0]
    os.close(task_process)
    with emulator:
        sdk = client(emulator.url, emulator.token)
        assert sdk.clusters.get(cluster).state is State.RUNNING
        assert sdk.workspace.export("/kept.txt").content == "a2VwdA=="
        state = sdk.jobs.get_run(waiting.run_id).state
        assert state and state.life_cycle_state is RunLifeCycleState.INTERNAL_ERROR
        assert state.state_message == "The emulator ended before the run was finished"
        with pytest.raises(LaunchError, match="another emulator uses this folder"):
            Emulator(tmp_path / "state").start()


@pytest.mark.parametrize("how", ["stdin", "SIGTERM"])
def test_emulator_ends_on_request_and_removes_a_temporary_workspace(
    how: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "workspace_emulator"]
    env = {**os.environ, "PYTHONPATH": str(PACKAGES), "TMPDIR": str(tmp_path)}
    pipes = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }
    with subprocess.Popen(  # type: ignore[call-overload]  # of a dict
        command, env=env, text=True, **pipes
    ) as process:
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        assert process.stderr.readline().startswith("the token: ")
        assert list(tmp_path.iterdir())
        if how == "stdin":
            process.stdin.close()
        else:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert not list(tmp_path.iterdir())


def test_a_port_that_is_taken_is_one_line(emulator: Emulator, tmp_path: Path) -> None:
    with pytest.raises(
        LaunchError, match=r"^cannot serve on port \d+: Address already in use$"
    ):
        Emulator(tmp_path / "state", port=int(emulator.url.rpartition(":")[2])).start()


def test_an_emulator_that_does_not_answer_in_time_is_ended(tmp_path: Path) -> None:
    emulator = Emulator(tmp_path / "state", start_seconds=0.0)
    with pytest.raises(LaunchError, match=r"^the emulator did not start within 0 s$"):
        emulator.start()
    assert emulator.stop() == 0  # every task has ended


def test_a_token_with_a_line_break_works_and_is_written_nowhere(tmp_path: Path) -> None:
    token = "dapi0123456789abcdef"
    env = {**os.environ, "PYTHONPATH": str(PACKAGES), VARIABLE: f"{token}\n"}
    command = [
        sys.executable,
        "-m",
        "workspace_emulator",
        "--state",
        str(tmp_path / "state"),
    ]
    pipes = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }
    with subprocess.Popen(  # type: ignore[call-overload]  # of a dict
        command, env=env, text=True, **pipes
    ) as process:
        url = process.stdout.readline().strip()
        sdk = client(url, token)
        assert sdk.current_user.me().user_name
        with pytest.raises(DatabricksError):
            client(url, f"{token}x").current_user.me()
        with pytest.raises(DatabricksError):
            sdk.api_client.do(
                "POST", "/api/2.1/jobs/create", body={"name": [token[:4]]}
            )
        said = "".join(process.communicate())
    assert token not in said
    written = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert len(written) >= 2
    assert [path for path in written if token.encode() in path.read_bytes()] == []
