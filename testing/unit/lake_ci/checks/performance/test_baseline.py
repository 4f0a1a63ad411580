"""Tests how the baseline is chosen, and how both versions are built and installed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lake_ci.checks.performance import baseline
from lake_ci.checks.performance.baseline import (
    Baseline,
    InstallVersion,
    changed_files,
    check_out,
    pushed_from,
    reference,
    worktree,
)
from lake_ci.errors import UsageError
from lake_ci.model.results import Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed

Git = Callable[..., str]


@pytest.fixture
def commits(root: Path, git: Git) -> list[str]:
    """Return three commits that change a file, oldest first."""
    made = [git(root, "rev-parse", "HEAD")]
    for text in ("second", "third"):
        (root / "file").write_text(text)
        git(root, "add", ".")
        git(root, "commit", "-qm", text)
        made.append(git(root, "rev-parse", "HEAD"))
    return made


def pushed(tmp_path: Path, before: object) -> dict[str, str]:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"before": before}))
    return {"GITHUB_EVENT_NAME": "push", "GITHUB_EVENT_PATH": str(event)}


def test_the_commit_asked_for_comes_first(
    root: Path, commits: list[str], tmp_path: Path
) -> None:
    assert reference(root, pushed(tmp_path, commits[1]), "HEAD~2").commit == commits[0]


def test_an_unknown_commit_asked_for_is_wrong_usage(root: Path) -> None:
    with pytest.raises(UsageError, match="no commit 'v9'.*--baseline REF"):
        reference(root, {}, "v9")


def test_on_github_it_is_the_commit_before_the_push(
    root: Path, commits: list[str], tmp_path: Path
) -> None:
    found = reference(root, pushed(tmp_path, commits[0]))
    assert (found.commit, found.why) == (commits[0], "the commit before this push")


@pytest.mark.parametrize("before", ["0" * 40, "f" * 40, None, 7])
def test_a_new_branch_or_one_rewritten_is_compared_with_the_first_parent(
    root: Path, commits: list[str], tmp_path: Path, before: object
) -> None:
    found = reference(root, pushed(tmp_path, before))
    assert (found.commit, found.why) == (commits[1], "the first parent")


def test_another_event_has_no_commit_before_it(tmp_path: Path) -> None:
    assert (
        pushed_from({**pushed(tmp_path, "a" * 40), "GITHUB_EVENT_NAME": "schedule"})
        is None
    )
    assert (
        pushed_from(
            {"GITHUB_EVENT_NAME": "push", "GITHUB_EVENT_PATH": str(tmp_path / "none")}
        )
        is None
    )


def test_an_uncommitted_change_is_compared_with_its_commit(
    root: Path, commits: list[str]
) -> None:
    (root / "file").write_text("changed")
    assert reference(root, {}).commit == commits[2]


def test_of_a_merge_it_is_the_first_parent(
    root: Path, commits: list[str], git: Git
) -> None:
    git(root, "checkout", "-q", "-b", "other", commits[0])
    git(root, "commit", "-q", "--allow-empty", "-m", "other")
    git(root, "checkout", "-q", "feature")
    git(root, "merge", "-q", "--no-ff", "-m", "merge", "other")
    assert reference(root, {}).commit == commits[2]


def test_the_first_commit_has_none_and_says_so(root: Path, ctx: CheckContext) -> None:
    outcome = Baseline({}, None).run(ctx)
    assert (outcome.status, outcome.detail) == (
        Status.SKIPPED,
        "no baseline: this is the first commit",
    )


def test_a_shallow_clone_says_how_to_get_more(
    root: Path, commits: list[str], git: Git, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "-q", "--depth=1", root.as_uri(), "shallow")
    assert "git fetch --unshallow" in reference(tmp_path / "shallow", {}).why


def test_a_folder_without_git_has_none(tmp_path: Path) -> None:
    assert reference(tmp_path, {}).commit is None


def test_changed_files_are_those_committed_edited_added_and_removed(
    root: Path, commits: list[str], git: Git
) -> None:
    (root / "new").write_text("not added")
    (root / ".gitignore").unlink()
    assert changed_files(root, commits[0]) == {"file", "new", ".gitignore"}


def test_a_worktree_is_made_whatever_was_there_and_leaves_nothing(
    root: Path, commits: list[str], git: Git
) -> None:
    tree = root / baseline.TREE
    with worktree(root):
        for commit, text in ((commits[2], "third"), (commits[1], "second")):
            check_out(root, tree, commit)
            assert (tree / "file").read_text() == text
        (tree / "left.txt").write_text("by an earlier run")
    assert not tree.exists()
    assert git(root, "worktree", "list").count("\n") == 0
    # A killed run may leave a worktree in git's list although the worktree's folder is
    # gone.
    check_out(root, tree, commits[1])
    git(tree, "status")
    for file in tree.iterdir():
        file.unlink()
    tree.rmdir()
    with worktree(root):
        check_out(root, tree, commits[2])
    assert git(root, "worktree", "list").count("\n") == 0


def test_baseline_that_cannot_be_built_fails_with_the_next_command(
    root: Path,
    commits: list[str],
    git: Git,
    ctx: CheckContext,
    answering: Callable[..., list[list[str]]],
) -> None:
    git(root, "tag", "v1.0.0")
    answering(Completed(("build",), 1, "", "ValueError: requires-python", 0.1))
    before = Baseline({}, None)
    before.run(ctx)
    tool = InstallVersion("baseline wheel", before)
    outcome = tool.run(ctx)
    assert outcome.status is Status.FAILURE
    assert commits[1][:12] in outcome.detail
    assert "--baseline REF" in outcome.detail
    assert "requires-python" in outcome.findings[0].message
    assert tool.side is None


def test_without_a_baseline_there_is_nothing_to_install(ctx: CheckContext) -> None:
    outcome = InstallVersion("baseline wheel", Baseline({}, None)).run(ctx)
    assert (outcome.status, outcome.detail) == (Status.SKIPPED, "no baseline")


def test_both_sides_lie_in_paths_of_one_length_and_take_their_own_suite(
    root: Path,
    commits: list[str],
    git: Git,
    ctx: CheckContext,
    answering: Callable[..., list[list[str]]],
) -> None:
    git(root, "tag", "v1.0.0")
    (root / "requirements").mkdir()
    (root / baseline.LOCK).write_text("# a lock\n")
    (root / baseline.SUITE).mkdir(parents=True)
    (root / baseline.SUITE / "job.py").write_text("NEW = True\n")

    def answer(argv: list[str]) -> Completed:
        if "build" in argv:
            folder = Path(argv[argv.index("--outdir") + 1])
            folder.mkdir(parents=True)
            (folder / "lakekit-1.0.0-py3-none-any.whl").write_text("a wheel")
        return Completed(tuple(argv), 0, "", "", 0.1)

    calls = answering(answer)
    before = Baseline({}, "HEAD^")
    before.run(ctx)
    with worktree(root):
        new, old = InstallVersion("wheel"), InstallVersion("baseline wheel", before)
        assert [tool.run(ctx).detail for tool in (new, old)] == [
            "lakekit-1.0.0-py3-none-any.whl"
        ] * 2
    assert new.side is not None and old.side is not None
    assert len(str(new.side.python)) == len(str(old.side.python))
    assert (new.side.folder / "suite" / "lake_ci" / "job.py").exists()
    assert list((old.side.folder / "suite").iterdir()) == []
    assert new.side.variables(ctx)["PYTHONPATH"] == str(new.side.folder / "suite")
    # No installation may replace a locked package with a package from the index.
    wheels = [call for call in calls if call[-1].endswith(".whl")]
    assert (
        all("--no-deps" in call and "--no-index" in call for call in wheels)
        and len(wheels) == 2
    )
