"""The name of a release's folder depends on the release's content. The job of a release
contains the paths of the release's scripts.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lake_ci.deploy.artifacts import verify
from lake_ci.deploy.bundle import read
from lake_ci.deploy.release import Release, make, parse
from testing.deploys import project as projects


def release(root: Path) -> Release:
    return make(root, read(root, "trial", {}), verify(root))[0]


@pytest.fixture
def made(tmp_path: Path) -> Release:
    return release(projects.make(tmp_path / "one", "1.0"))


def test_same_files_have_the_same_address(made: Release, tmp_path: Path) -> None:
    same = release(projects.make(tmp_path / "two", "1.0"))
    assert same.folder == made.folder
    assert made.folder.startswith(f"{projects.BASE}/1.0/")


def test_other_script_has_another_address(made: Release, tmp_path: Path) -> None:
    other = release(projects.make(tmp_path / "two", "1.0", fill="print()"))
    assert other.folder != made.folder
    assert other.sha256 == made.sha256


def test_other_settings_of_the_job_have_another_address(
    made: Release, tmp_path: Path
) -> None:
    root = projects.make(tmp_path / "two", "1.0")
    text = (root / "databricks.yml").read_text()
    (root / "databricks.yml").write_text(text.replace("PAUSED", "UNPAUSED"))
    target = read(root, "trial", {})
    (root / "databricks.yml").write_text(text)
    assert make(root, target, verify(root))[0].folder != made.folder


def test_settings_name_the_scripts_of_this_release(made: Release) -> None:
    settings = made.settings("0101-x")
    assert [task["existing_cluster_id"] for task in settings["tasks"]] == [
        "0101-x",
        "0101-x",
    ]
    files = [task["spark_python_task"]["python_file"] for task in settings["tasks"]]
    assert files == [f"{made.folder}/fill.py", f"{made.folder}/check.py"]
    assert settings["tags"] == {
        "environment": "trial",
        "version": "1.0",
        "commit": made.commit[:12],
    }


def test_one_time_run_has_the_tasks_without_what_only_jobs_know(made: Release) -> None:
    job = {
        **made.job,
        "tasks": [{**made.job["tasks"][0], "max_retries": 3, "timeout_seconds": 9}],
    }
    [task] = Release(**{**made.__dict__, "job": job}).once("c")
    assert "max_retries" not in task and task["timeout_seconds"] == 9


def test_manifest_is_read_as_it_was_written(made: Release) -> None:
    assert parse(made.text()) == made
    for damaged in (b"", b"{}", b'{"odd": 1}'):
        with pytest.raises(ValueError, match="."):
            parse(damaged)
