"""Artifacts that differ from the build of this commit are rejected, with the file's
name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lake_ci.deploy.artifacts import verify
from lake_ci.deploy.errors import RefusedError
from testing.deploys.project import build, make
from testing.deploys.tampering import KINDS


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make(tmp_path / "project", "1.0")


def test_files_of_a_tagged_commit(project: Path, git: Callable[..., str]) -> None:
    built = verify(project)
    assert (built.package, built.version, built.commit) == (
        "shop",
        "1.0",
        git(project, "rev-parse", "HEAD"),
    )
    assert [file.name for file in (built.wheel, built.sdist)] == [
        "shop-1.0-py3-none-any.whl",
        "shop-1.0.tar.gz",
    ]


def test_files_whose_version_has_the_commit(
    project: Path, git: Callable[..., str]
) -> None:
    commit = git(project, "rev-parse", "HEAD")
    build(project, f"1.1.dev3+g{commit[:12]}")
    assert verify(project).version == f"1.1.dev3+g{commit[:12]}"


@pytest.mark.parametrize("change", KINDS, ids=lambda change: change.__name__)
def test_changed_files_are_refused(
    project: Path, change: Callable[[Path], None]
) -> None:
    change(project)
    with pytest.raises(RefusedError, match=re.escape(KINDS[change])) as raised:
        verify(project)
    assert "`nox -s build`" in str(raised.value)


def test_folder_without_git_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="not a git checkout"):
        verify(tmp_path)
