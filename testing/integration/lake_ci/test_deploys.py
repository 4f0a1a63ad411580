"""Tests deploys to the emulator, with and without faults. Each deploy is a separate
process that uses the real clients.

Clusters have only Python, without Spark. The wheel and the scripts are small, but the
wheel is really installed, and the scripts really run. These tests inject only a few
faults; `testing/deploys/cases.py` injects every fault into every request.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.version_info < (3, 10):  # lake_ci needs Python 3.10
    pytest.skip("the deploy needs Python 3.10", allow_module_level=True)

from testing.deploys.cases import FIRST, ROLLBACK, UPGRADE, Case, Stage
from testing.deploys.harness import DeployHarness, finish, kill
from testing.deploys.project import BASE, LAKE, make

# All tests share the fixture `stage`, because creating its workspaces takes half a
# minute.
pytestmark = pytest.mark.xdist_group("deploys")

REPRESENTATIVE = [
    Case(FIRST, "PUT", f"/api/2.0/fs/files{BASE}/locks/*.json", "drop after"),
    Case(UPGRADE, "POST", "/api/2.0/clusters/restart", "kill -9 after"),
    Case(UPGRADE, "POST", "/api/2.1/jobs/runs/submit", "kill -9 after"),
    Case(UPGRADE, "POST", "/api/2.0/libraries/install", "expired token"),
    Case(ROLLBACK, "POST", "/api/2.1/jobs/reset", "500"),
]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Return a stage, which creates the workspaces of all scenarios only once."""
    return Stage(tmp_path_factory.mktemp("stage"))


@pytest.fixture
def harness(stage: Stage, tmp_path: Path) -> Iterator[DeployHarness]:
    """Yield a workspace in which version 1.0 is deployed."""
    shutil.copytree(stage.folder / UPGRADE, tmp_path / "state", symlinks=True)
    with DeployHarness(tmp_path / "state") as opened:
        yield opened


@pytest.mark.long
@pytest.mark.parametrize("case", REPRESENTATIVE, ids=str)
def test_fault_leaves_the_old_version_or_the_new_one_whole(
    stage: Stage, case: Case
) -> None:
    assert case in list(stage.cases()), "the request is not made any more"
    result = stage.try_out(case)
    assert result.wrong == ()


def test_second_deploy_changes_nothing_and_says_so(
    stage: Stage, harness: DeployHarness
) -> None:
    before = harness.ledger()
    ran = harness.deploy(stage.projects["1.0"])
    assert (ran.code, ran.outcome) == (0, "unchanged")
    assert harness.ledger() == before
    assert harness.wrong("1.0") == []


def test_version_with_other_bytes_is_refused(
    stage: Stage, harness: DeployHarness, tmp_path: Path
) -> None:
    other = make(tmp_path / "other", "1.0", fill="print('other')")
    ran = harness.deploy(other)
    assert ran.code == 2
    assert ran.row("compare")["status"] == "failure"
    assert "1.0" in ran.row("compare")["findings"][0]
    assert harness.wrong("1.0") == []


@pytest.mark.long
def test_script_that_fails_returns_to_the_old_version_and_its_tables(
    stage: Stage, harness: DeployHarness, tmp_path: Path
) -> None:
    fill = (
        "import shop\nadd(lake().lake / 'gold_sales.json', shop.VERSION)\n"
        "raise SystemExit('the till is empty')"
    )
    ran = harness.deploy(make(tmp_path / "bad", "1.1", fill=fill))
    assert (ran.code, ran.outcome) == (1, "returned")
    assert "the till is empty" in ran.row("scripts")["findings"][0]
    assert re.search(r"gold_sales\D+0\b", ran.row("return")["detail"])
    assert harness.wrong("1.0") == []
    assert harness.rows() == ["1.0"]


@pytest.mark.long
def test_rollback_that_fails_after_it_set_tables_back_returns_them_as_well(
    stage: Stage, harness: DeployHarness
) -> None:
    assert harness.deploy(stage.projects["1.1"]).code == 0
    harness.order(
        kind="expired-token", method="POST", path="/api/2.1/jobs/reset", count=1
    )
    ran = harness.deploy(stage.projects["1.1"], "--rollback")
    assert (ran.code, ran.outcome) == (1, "returned")
    assert re.search(r"gold_sales\D+0\b", ran.row("tables")["detail"])
    assert re.search(r"gold_sales\D+1\b", ran.row("return")["detail"])
    assert harness.wrong("1.1") == []
    assert harness.rows() == ["1.0", "1.1"]


@pytest.mark.long
def test_undo_killed_during_the_restore_is_completed_by_the_next_deploy(
    stage: Stage, harness: DeployHarness, tmp_path: Path
) -> None:
    fill = (
        "import shop\nadd(lake().lake / 'gold_sales.json', shop.VERSION)\n"
        "raise SystemExit('the till is empty')"
    )
    bad = make(tmp_path / "bad", "1.1", fill=fill)
    submit = {"method": "POST", "path": "/api/2.1/jobs/runs/submit"}
    # The deploy submits three runs: for the state before the deploy, for the scripts,
    # and for the tables. Hold the third.
    order = harness.order(kind="hold", when="after", skip=2, count=1, **submit)
    process = harness.start(bad)
    assert harness.reached(order)
    kill(process)
    process.communicate()
    harness.ask("DELETE", "/emulator/faults")
    ran = harness.deploy(stage.projects["1.0"])
    assert (ran.code, ran.outcome) == (0, "unchanged")
    assert re.search(r"gold_sales\D+0\b", ran.row("return")["detail"])
    assert harness.wrong("1.0") == []
    assert harness.rows() == ["1.0"]


@pytest.mark.long
def test_table_that_somebody_else_wrote_to_is_left_and_named(
    stage: Stage, harness: DeployHarness, tmp_path: Path
) -> None:
    notes = "[{'at': 1, 'rows': 'theirs'}]"
    check = (
        "file = lake().lake /"
        f" 'notes.json'\nfile.write_text(str({notes}).replace(chr(39),"
        " chr(34)))\nassert False"
    )
    ran = harness.deploy(make(tmp_path / "bad", "1.1", check=check))
    assert (ran.code, ran.outcome) == (1, "returned")
    detail = ran.row("return")["detail"]
    assert re.search(r"gold_sales\D+0\b", detail) and "notes" in detail
    assert sorted(harness.names(LAKE)) == ["gold_sales.json", "notes.json"]


@pytest.mark.long
def test_two_at_once_the_second_is_refused_by_the_name_of_the_first(
    stage: Stage, harness: DeployHarness
) -> None:
    order = harness.order(
        kind="hold", method="POST", path="/api/2.0/libraries/install", count=1
    )
    first = harness.start(stage.projects["1.1"])
    assert harness.reached(order)
    second = harness.deploy(stage.projects["1.1"])
    assert second.code == 2
    assert re.search(rf"\b{first.pid}\b", second.output)
    harness.ask("POST", f"/emulator/faults/{order}/release", {})
    assert finish(first).outcome == "deployed"
    assert harness.wrong("1.1") == []


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_a_deploy_with_its_run_and_its_lock(
    stage: Stage, harness: DeployHarness, tmp_path: Path, number: signal.Signals
) -> None:
    slow = make(tmp_path / "slow", "1.1", fill="time.sleep(6000)")
    order = harness.order(
        kind="hold", method="GET", path="/api/2.*/jobs/runs/get", skip=4, count=1
    )
    process = harness.start(slow)
    assert harness.reached(order)
    harness.ask("POST", f"/emulator/faults/{order}/release", {})
    process.send_signal(number)
    ran = finish(process)
    assert (ran.code, ran.outcome) == (130, "interrupted")
    assert harness.names(f"{BASE}/locks") == []
    assert (
        harness.ask("GET", "/api/2.1/jobs/runs/list?active_only=true").get("runs", [])
        == []
    )
    # The next deploy first undoes the changes of this incomplete deploy.
    assert harness.deploy(stage.projects["1.0"]).code == 0
    assert harness.wrong("1.0") == []


@pytest.mark.long
def test_parent_that_is_gone_takes_its_deploy_along(
    stage: Stage, harness: DeployHarness
) -> None:
    order = harness.order(
        kind="hold", method="POST", path="/api/2.0/libraries/install", count=1
    )
    process = harness.start(
        stage.projects["1.1"], below=["sh", "-c", '"$@"; true', "sh"]
    )
    assert harness.reached(order)
    process.kill()
    # The output is complete when no process has the pipe open any more.
    ran = finish(process)
    assert ran.events[-1]["outcome"] == "interrupted"
    harness.ask("DELETE", "/emulator/faults")
    assert harness.names(f"{BASE}/locks") == []
    assert harness.deploy(stage.projects["1.1"]).outcome == "deployed"
    assert harness.wrong("1.1") == []


@pytest.mark.long
def test_no_token_in_any_output_or_process_list(
    stage: Stage, harness: DeployHarness
) -> None:
    order = harness.order(
        kind="hold", method="POST", path="/api/2.0/libraries/install", count=1
    )
    process = harness.start(stage.projects["1.1"])
    assert harness.reached(order)
    listing = subprocess.run(
        ["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True
    ).stdout
    assert "databricks libraries install" in listing
    assert harness.token not in listing
    harness.ask("POST", f"/emulator/faults/{order}/release", {})
    assert harness.token not in finish(process).output
    written = [
        path
        for path in harness.state.rglob("*")
        if path.is_file() and path.suffix in (".json", ".jsonl", ".log")
    ]
    assert written
    assert not [path for path in written if harness.token.encode() in path.read_bytes()]


def test_other_environment_without_credentials_is_refused(
    stage: Stage, harness: DeployHarness
) -> None:
    since = harness.requests()[-1]["number"]
    for environment in ("dev", "staging", "production"):
        argv = [sys.executable, "-m", "lake_ci.deploy", "--environment", environment]
        argv += ["--root", str(stage.projects["1.0"])]
        env = {
            "PATH": "/usr/bin:/bin",
            "HOME": "/nowhere",
            "PYTHONPATH": str(Path("utils").resolve()),
        }
        done = subprocess.run(
            argv, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 3
        assert environment in done.stdout
        assert "DATABRICKS_HOST" in done.stdout and "DATABRICKS_TOKEN" in done.stdout
    assert harness.requests(since) == []


def test_credentials_of_another_workspace_are_refused(
    stage: Stage, harness: DeployHarness
) -> None:
    # The variables contain the emulator's address, but dev's host in the bundle is
    # https://dev.invalid.
    ran = harness.deploy(stage.projects["1.0"], "--environment", "dev")
    assert ran.code == 3
    assert "https://dev.invalid" in ran.output
