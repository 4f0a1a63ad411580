"""Tests all queries to git in real repositories."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lake_ci.system import git as module

Git = Callable[..., str]


def test_a_folder_without_git_knows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert module.branch(tmp_path) is None
    assert module.commit(tmp_path) is None
    assert module.is_dirty(tmp_path) is False
    assert module.commit_time(tmp_path) == 0
    assert module.files(tmp_path) == ()
    assert module.is_shallow(tmp_path) is False
    assert module.version_tag(tmp_path) is None


def test_a_machine_without_git_knows_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(root))
    assert module.commit(root) is None
    assert module.files(root) == ()


def test_a_repository_without_a_commit_has_a_branch_only(
    tmp_path: Path, git: Git
) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    assert module.branch(tmp_path) == "main"
    assert module.commit(tmp_path) is None


def test_branch_commit_and_time_are_those_of_the_checkout(root: Path, git: Git) -> None:
    assert module.branch(root) == "feature"
    assert module.commit(root) == git(root, "rev-parse", "HEAD")
    assert str(module.commit_time(root)) == git(root, "log", "-1", "--format=%ct")


def test_a_detached_checkout_has_no_branch(root: Path, git: Git) -> None:
    git(root, "checkout", "-q", "--detach")
    assert module.branch(root) is None


def test_ignored_files_do_not_make_the_tree_dirty_and_untracked_ones_do(
    root: Path,
) -> None:
    (root / "reports").mkdir()
    (root / "reports" / "x.txt").touch()
    assert not module.is_dirty(root)
    (root / "new.py").touch()
    assert module.is_dirty(root)


def test_files_are_those_tracked_or_to_be_tracked_that_exist(
    root: Path, git: Git
) -> None:
    for name in (
        "kept.py",
        "deleted.py",
        "a b/größe.py",
        "reports/ignored.py",
        "note.txt",
    ):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    git(root, "add", ".")
    (root / "deleted.py").unlink()
    (root / "new.py").touch()
    assert module.files(root, "*.py") == ("a b/größe.py", "kept.py", "new.py")
    assert module.files(root, "a b") == ("a b/größe.py",)


def test_a_file_in_conflict_is_named_once(root: Path, git: Git) -> None:
    (root / "x.py").write_text("base = 1\n")
    git(root, "add", ".")
    git(root, "commit", "-qm", "base")
    git(root, "checkout", "-qb", "other")
    (root / "x.py").write_text("other = 1\n")
    git(root, "commit", "-qam", "other")
    git(root, "checkout", "-q", "feature")
    (root / "x.py").write_text("mine = 1\n")
    git(root, "commit", "-qam", "mine")
    with pytest.raises(Exception, match="merge"):
        git(root, "merge", "other")
    assert module.files(root, "*.py") == ("x.py",)


def test_the_newest_version_tag_behind_the_commit_counts(root: Path, git: Git) -> None:
    git(root, "tag", "v1.0.0")
    git(root, "tag", "nightly")
    git(root, "commit", "-q", "--allow-empty", "-m", "second")
    assert module.version_tag(root) == "v1.0.0"
    git(root, "tag", "v1.1.0")
    assert module.version_tag(root) == "v1.1.0"


def test_a_clone_of_depth_one_is_shallow(root: Path, tmp_path: Path, git: Git) -> None:
    git(root, "commit", "-q", "--allow-empty", "-m", "second")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{root}", "shallow")
    assert module.is_shallow(tmp_path / "shallow")
    assert not module.is_shallow(root)


@pytest.fixture
def answers(root: Path, git: Git) -> Callable[[], list[object]]:
    """Return a function that runs all git queries in a repository.

    The repository has a tag, an untracked file, and a file whose name git would quote.
    """
    git(root, "tag", "v1.2.3")
    (root / "näme.txt").touch()

    def ask() -> list[object]:
        return [
            module.branch(root),
            module.commit(root),
            module.is_dirty(root),
            module.commit_time(root),
            module.files(root),
            module.is_ancestor(root, "HEAD", "feature"),
            module.is_shallow(root),
            module.version_tag(root),
        ]

    return ask


@pytest.mark.parametrize(
    "setting",
    [
        ("status.showUntrackedFiles", "no"),
        ("core.quotePath", "false"),
        ("core.fsmonitor", "exit 1; :"),
        ("color.ui", "always"),
        ("log.showSignature", "true"),
        ("diff.external", "false"),
        ("core.pager", "false"),
        ("alias.status", "!false"),
    ],
    ids=lambda setting: setting[0],
)
@pytest.mark.parametrize("by", ["file", "variables"])
def test_settings_of_the_developer_change_no_answer(
    answers: Callable[[], list[object]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    setting: tuple[str, str],
    by: str,
) -> None:
    before = answers()
    assert before[2] is True
    name, value = setting
    if by == "file":
        section, _, key = name.partition(".")
        file = tmp_path / "gitconfig"
        file.write_text(f'[{section}]\n{key} = "{value}"\n', encoding="utf-8")
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(file))
    else:
        monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
        monkeypatch.setenv("GIT_CONFIG_KEY_0", name)
        monkeypatch.setenv("GIT_CONFIG_VALUE_0", value)
    assert answers() == before


@pytest.mark.parametrize(
    "variable",
    [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_COMMON_DIR",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_NAMESPACE",
        "GIT_EXTERNAL_DIFF",
        "GIT_LITERAL_PATHSPECS",
    ],
)
def test_variables_of_another_repository_change_no_answer(
    answers: Callable[[], list[object]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variable: str,
) -> None:
    before = answers()
    monkeypatch.setenv(variable, str(tmp_path / "other"))
    assert answers() == before
