"""Artifacts are verified. `test_provenance.py` tests all changes that must be
refused.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lake_ci.deploy.artifacts import verify
from lake_ci.deploy.errors import RefusedError
from testing.deploys.project import build, make
from testing.deploys.tampering import wheel_changed


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


def test_refusal_has_the_next_command(project: Path) -> None:
    wheel_changed(project)
    with pytest.raises(RefusedError, match="dist/shop-1.0.*`nox -s build`"):
        verify(project)


def test_folder_without_git_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="not a git checkout"):
        verify(tmp_path)
