"""Tests the search for Python interpreters outside PATH, in home folders that the tests
create.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lake_ci.system import interpreters


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def keep(folder: Path, version: str) -> Path:
    """Create a folder with an executable `python<version>`."""
    folder.mkdir(parents=True)
    (folder / f"python{version}").touch()
    return folder


@pytest.mark.parametrize(
    "place",
    [
        ".pyenv/versions/3.10.13/bin",
        ".local/share/uv/python/cpython-3.10.13-linux-x86_64-gnu/bin",
        "miniconda3/bin",
        "miniforge3/envs/spark/bin",
        ".conda/envs/spark/bin",
    ],
)
def test_a_python_is_found_where_its_tool_keeps_it(home: Path, place: str) -> None:
    folder = keep(home / place, "3.10")
    assert interpreters.find("3.10", {"HOME": str(home)}) == folder


@pytest.mark.parametrize(
    ("variable", "value", "place"),
    [
        ("PYENV_ROOT", "elsewhere", "elsewhere/versions/3.10.13/bin"),
        (
            "UV_PYTHON_INSTALL_DIR",
            "elsewhere",
            "elsewhere/cpython-3.10.13-linux-x86_64-gnu/bin",
        ),
        (
            "XDG_DATA_HOME",
            "elsewhere",
            "elsewhere/uv/python/cpython-3.10.13-linux-x86_64-gnu/bin",
        ),
        ("CONDA_EXE", "elsewhere/bin/conda", "elsewhere/envs/spark/bin"),
    ],
)
def test_the_tools_own_variables_name_other_places(
    home: Path, variable: str, value: str, place: str
) -> None:
    folder = keep(home / place, "3.10")
    assert (
        interpreters.find("3.10", {"HOME": str(home), variable: str(home / value)})
        == folder
    )


@pytest.mark.parametrize(
    "pattern",
    [
        ".pyenv/versions/{}/bin",
        ".local/share/uv/python/cpython-{}-linux-x86_64-gnu/bin",
    ],
)
def test_the_newest_patch_release_is_taken_by_number(home: Path, pattern: str) -> None:
    for release in ("3.10.2", "3.10.13", "3.10.9"):
        keep(home / pattern.format(release), "3.10")
    found = interpreters.find("3.10", {"HOME": str(home)})
    assert found == home / pattern.format("3.10.13")


def test_another_minor_version_or_an_empty_folder_is_not_taken(home: Path) -> None:
    keep(home / ".pyenv/versions/3.1.0/bin", "3.1")
    keep(home / ".pyenv/versions/3.100.0/bin", "3.100")
    (home / ".pyenv/versions/3.10.13/bin").mkdir(parents=True)
    assert interpreters.find("3.10", {"HOME": str(home)}) is None


def test_found_folders_go_to_the_end_of_path_once(home: Path) -> None:
    ten = keep(home / ".pyenv/versions/3.10.13/bin", "3.10")
    nine = keep(home / ".pyenv/versions/3.9.18/bin", "3.9")
    env = {"HOME": str(home), "PATH": f"/usr/bin{os.pathsep}{nine}"}
    interpreters.show(["3.9", "3.10", "3.11"], env)
    interpreters.show(["3.10"], env)
    assert env["PATH"].split(os.pathsep) == ["/usr/bin", str(nine), str(ten)]


def test_missing_python_message_lists_folders_and_installation(
    home: Path,
) -> None:
    assert (
        interpreters.missing("3.9", {"HOME": str(home)})
        == "Python 3.9 was not found (looked in PATH, pyenv, uv, conda, Homebrew);"
        " install it with `uv python install 3.9`"
    )
