"""The check of declared inputs runs each job in a copy of the checkout, and reports
files that the job reads without declaring them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lake_ci.checks import input_audit
from lake_ci.checks.input_audit import (
    UNREAD_NS,
    Copies,
    checks,
    chosen,
    differing,
    failure_text,
    mark_unread,
    named_in,
    options,
    same_result,
)
from lake_ci.errors import LakeCiError, UsageError
from lake_ci.model.job import Graph, Job
from lake_ci.model.results import CheckResult, Finding, Result, Status
from lake_ci.system import git as git_

RESULT = Result(
    run="1",
    attempt=1,
    event="push",
    commit=None,
    dirty=False,
    job="lint",
    session="lint",
    started="2026-01-31T02:00:00Z",
    seconds=1.0,
    reproduce="nox -s lint",
    checks=(CheckResult("style", Status.SUCCESS, 1.0, "12 files, 29 passed in 0.05s"),),
    artifacts=(
        "dist/lakekit-0.1.0.dev2+g123abcd-py3-none-any.whl",
        "reports/lint/one.json",
    ),
)


def session(run: object) -> None:
    """A job."""


@pytest.fixture
def graph() -> Graph:
    found = Graph()
    found.add(Job("lint", session))
    found.add(Job("docker", session, pythons=("3.10", "3.11"), javas=("11", "17")))
    found.add(Job("k8s", session, needs=("docker",), artifacts_from=("docker",)))
    found.add(Job("inputs", session, never_cached=True))
    return found


def test_copy_has_the_given_files_and_the_checkouts_tags_and_history(
    root: Path, tmp_path: Path, git: Callable[..., str]
) -> None:
    git(root, "tag", "v1.2.3")
    git(root, "remote", "add", "origin", "https://example.org/lake.git")
    (root / "declared.sh").write_text("new")
    (root / "declared.sh").chmod(0o755)
    (root / "link").symlink_to("declared.sh")
    (root / "other").write_text("not declared")
    copy = Copies(root, tmp_path).make("lint-declared", ["declared.sh", "link"])
    assert sorted(path.name for path in copy.iterdir()) == [
        ".cache",
        ".git",
        ".nox",
        "declared.sh",
        "link",
    ]
    assert os.readlink(copy / "link") == "declared.sh"
    assert (copy / "declared.sh").stat().st_mode & 0o777 == 0o755
    assert git(copy, "status", "--porcelain") == ""
    assert git(copy, "rev-parse", "HEAD^") == git(root, "rev-parse", "HEAD")
    assert git(copy, "log", "-1", "--format=%cI") == git(
        root, "log", "-1", "--format=%cI"
    )
    assert (git_.branch(copy), git_.version_tag(copy)) == ("feature", "v1.2.3")
    assert git(copy, "remote", "get-url", "origin") == "https://example.org/lake.git"
    assert (
        git(root, "status", "--porcelain").count("\n") == 2
    )  # the checkout did not change


def test_git_does_not_read_what_is_marked_unread(
    root: Path, tmp_path: Path, git: Callable[..., str]
) -> None:
    (root / "undeclared").write_text("any")
    copy = Copies(root, tmp_path).make("lint-all", git_.files(root))
    indexed = int((copy / ".git" / "index").stat().st_ctime)
    clock = tmp_path / "clock"
    clock.touch()
    # git compares times in whole seconds. If a file is written in a later second than
    # git's index, git regards the file as changed.
    while int(clock.stat().st_ctime) == indexed:
        time.sleep(0.05)  # wait until the file system's clock shows a later second
        clock.touch()
    unread = mark_unread(copy, ["undeclared"])
    if not unread:
        pytest.skip("this file system notes no reads")
    assert git(copy, "status", "--porcelain") == ""
    assert (copy / "undeclared").stat().st_atime_ns == UNREAD_NS


def test_a_checkout_that_cannot_be_copied_is_said(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(
        LakeCiError, match="git clone failed in a copy of the repository"
    ):
        Copies(tmp_path / "none", tmp_path).make("copy", [])


def test_what_a_job_takes_comes_from_the_copy_of_its_need(
    root: Path, tmp_path: Path, graph: Graph
) -> None:
    copies, copy = Copies(root, tmp_path), tmp_path / "copy"
    assert copies.take(copy, graph.jobs["k8s"], graph) == "docker"
    made = tmp_path / "docker" / "reports" / "docker-3.11-java17"
    made.mkdir(parents=True)
    (made / "images.json").write_text("[]")
    copies.left["docker"] = tmp_path / "docker"
    assert copies.take(copy, graph.jobs["k8s"], graph) is None
    assert (copy / "reports" / "docker-3.11-java17" / "images.json").read_text() == "[]"


def test_chosen_has_one_session_per_job_with_artifact_sources_first(
    graph: Graph, root: Path
) -> None:
    assert [each.session for each in chosen(graph, (), "inputs")] == [
        "lint",
        "docker-3.11(java17)",
        "k8s",
    ]
    assert [each.session for each in chosen(graph, ("k8s",), "inputs")] == [
        "docker-3.11(java17)",
        "k8s",
    ]
    assert [each.name for each in checks(graph, root, ("lint",), root, "inputs")] == [
        "lint"
    ]
    with pytest.raises(UsageError, match="'lint'"):
        chosen(graph, ("lnt",), "inputs")
    with pytest.raises(UsageError, match="'--all'"):
        options(("--all",))
    assert options(("lint",)).partial and not options(()).partial


def test_results_with_other_times_and_commits_are_the_same() -> None:
    other = replace(
        RESULT,
        run="2",
        seconds=9.0,
        checks=(
            CheckResult("style", Status.SUCCESS, 9.0, "12 files, 29 passed in 0.08s"),
        ),
        artifacts=(
            "dist/lakekit-0.1.0.dev3+gabcdef1-py3-none-any.whl",
            "reports/lint/one.json",
        ),
    )
    assert same_result(RESULT, other)
    assert not same_result(RESULT, replace(other, artifacts=()))
    fewer = replace(
        RESULT,
        checks=(
            CheckResult("style", Status.SUCCESS, 1.0, "11 files, 29 passed in 3 s"),
        ),
    )
    assert differing(fewer, RESULT) == [
        "style: '11 files, 29 passed in …', not '12 files, 29 passed in …'"
    ]
    failed = replace(RESULT, checks=(CheckResult("types", Status.FAILURE),))
    assert differing(failed, RESULT) == [
        "style: 'absent', not 'success'",
        "types: 'failure', not 'absent'",
    ]


def test_files_that_a_text_names_are_found_by_their_whole_path() -> None:
    text = (
        "[Errno 2] No such file or directory:"
        " 'docs/a.md'\nopen('other/docs/b.md')\nfile LICENSE.txt"
    )
    assert named_in(
        text, ["a.md", "docs/a.md", "b.md", "other/docs/b.md", "LICENSE"]
    ) == [
        "docs/a.md",
        "other/docs/b.md",
    ]


def test_a_reading_is_seen_where_the_file_system_notes_it(
    root: Path, git: Callable[..., str]
) -> None:
    for name in ("read", "unread"):
        (root / name).write_text(name)
    marked = mark_unread(root, ["unread", "read"])
    (root / "read").read_text()
    changed = [
        name
        for name in marked
        if (root / name).stat().st_atime_ns != input_audit.UNREAD_NS
    ]
    assert (marked, changed) in [(["read", "unread"], ["read"]), ([], [])]


def test_what_failed_is_told_with_its_findings() -> None:
    failed = CheckResult(
        "style",
        Status.FAILURE,
        1.0,
        "1 finding",
        (Finding("flake8", "F401", "unused", "a.py", 3),),
    )
    assert (
        failure_text(replace(RESULT, checks=(failed,)))
        == "style: 1 finding\na.py:3 F401 unused"
    )
