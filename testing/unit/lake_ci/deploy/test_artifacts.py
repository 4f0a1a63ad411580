"""Artifacts that differ from the build of this commit are rejected; the error names the
file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lake_ci.deploy.artifacts import verify
from lake_ci.deploy.errors import RefusedError
from lake_ci.model import results
from lake_ci.model.results import Result
from testing.deploys.project import make, wheel


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make(tmp_path / "project", "1.0")


def test_wheel_of_a_tagged_commit(project: Path, git: Callable[..., str]) -> None:
    built = verify(project)
    assert (built.package, built.version, built.commit) == (
        "shop",
        "1.0",
        git(project, "rev-parse", "HEAD"),
    )


def test_wheel_whose_version_holds_the_commit(
    project: Path, git: Callable[..., str]
) -> None:
    commit = git(project, "rev-parse", "HEAD")
    replace_wheel(project, f"1.1.dev3+g{commit[:12]}")
    assert verify(project).version == f"1.1.dev3+g{commit[:12]}"


def replace_wheel(project: Path, version: str) -> None:
    import hashlib

    for old in (project / "dist").iterdir():
        old.unlink()
    file = wheel(project / "dist", version)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    (project / "reports/build/SHA256SUMS").write_text(f"{digest}  {file.name}\n")


def dirty(project: Path) -> None:
    (project / "scripts/fill.py").write_text("changed")


def missing(project: Path) -> None:
    next((project / "dist").iterdir()).unlink()


def altered(project: Path) -> None:
    with next((project / "dist").iterdir()).open("ab") as file:
        file.write(b"more")


def stray(project: Path) -> None:
    (project / "dist/stray.whl").write_bytes(b"")


def no_sums(project: Path) -> None:
    (project / "reports/build/SHA256SUMS").unlink()


def odd_sums(project: Path) -> None:
    (project / "reports/build/SHA256SUMS").write_text("odd\n")


def other_commit(project: Path) -> None:
    replace_wheel(project, "1.1.dev3+g" + "0" * 12)


def other_tag(project: Path) -> None:
    replace_wheel(project, "9.9")


def in_part(project: Path) -> None:
    made = Result(
        run="1",
        attempt=1,
        event="push",
        commit=None,
        dirty=False,
        job="build",
        session="build",
        started="2026-01-31T02:00:00Z",
        seconds=1.0,
        reproduce="nox -s build",
        partial=True,
    )
    results.write(project / "reports" / "build", made)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (dirty, "the tree is dirty: scripts/fill.py"),
        (missing, r"dist/shop-1.0-py3-none-any.whl is missing, which .*nox -s build"),
        (altered, "its sha256 does not match"),
        (stray, "dist/stray.whl is not in reports/build/SHA256SUMS"),
        (in_part, "dist/ is incomplete: arguments .*nox -s build"),
        (no_sums, "SHA256SUMS is missing: nothing was built here"),
        (odd_sums, "is not a list of checksums"),
        (other_commit, r"was not built from this commit, .*nox -s build"),
        (other_tag, r"shop-9.9-py3-none-any.whl was not built from this commit"),
    ],
)
def test_refused(project: Path, damage: Callable[[Path], None], words: str) -> None:
    damage(project)
    with pytest.raises(RefusedError, match=words):
        verify(project)


def test_folder_without_git_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="not a git checkout"):
        verify(tmp_path)
