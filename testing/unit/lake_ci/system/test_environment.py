"""A session's environment is installed from its lock file. The environment is installed
again only if the lock file has changed.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from lake_ci.errors import NoEnvironmentError
from lake_ci.system import environment
from lake_ci.system.environment import Environment
from lake_ci.system.processes import Completed


class Uv:
    """Fakes `Run.execute`, and records the commands."""

    def __init__(
        self, code: int = 0, stderr: str = "", stopped: str | None = None
    ) -> None:
        self.done = Completed(("uv",), code, "", stderr, 0.1, stopped)
        self.calls: list[list[str]] = []

    def __call__(self, argv: list[str], **options: Any) -> Completed:
        self.calls.append(argv)
        return self.done


@pytest.fixture
def locked_root(tmp_path: Path) -> Path:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "lint.txt").write_text("black==1 --hash=sha256:0\n")
    return tmp_path


@pytest.fixture
def made(tmp_path: Path) -> Environment:
    (tmp_path / ".nox" / "lint").mkdir(parents=True)
    return Environment(tmp_path / ".nox" / "lint")


def test_the_lock_is_installed_once_with_hashes_and_again_when_it_changed(
    locked_root: Path, made: Environment
) -> None:
    uv = Uv()
    assert made.install(locked_root, "lint", uv) is True
    assert made.install(locked_root, "lint", uv) is False
    (locked_root / "requirements" / "lint.txt").write_text("black==2 --hash=sha256:0\n")
    assert made.install(locked_root, "lint", uv) is True
    assert [call[1:] for call in uv.calls] == [
        [
            "pip",
            "sync",
            "--quiet",
            "--require-hashes",
            "--python",
            str(made.python),
            "requirements/lint.txt",
        ]
    ] * 2


def test_another_purpose_in_the_same_environment_is_installed(
    locked_root: Path, made: Environment
) -> None:
    (locked_root / "requirements" / "build.txt").write_text(
        "build==1 --hash=sha256:0\n"
    )
    uv = Uv()
    assert [
        made.install(locked_root, purpose, uv) for purpose in ("lint", "build", "lint")
    ] == [True] * 3


def test_an_environment_that_may_not_be_touched_is_left_alone(
    locked_root: Path, made: Environment
) -> None:
    uv = Uv()
    assert (
        Environment(made.folder, may_install=False).install(locked_root, "no-lock", uv)
        is False
    )
    assert uv.calls == []


def test_a_missing_lock_is_said_with_the_command_that_makes_it(
    locked_root: Path, made: Environment
) -> None:
    with pytest.raises(NoEnvironmentError) as raised:
        made.install(locked_root, "docs", Uv())
    assert str(raised.value) == "requirements/docs.txt is missing (run `nox -s lock`)"


@pytest.mark.parametrize(
    ("uv", "hint"),
    [
        (
            Uv(127, "uv: No such file or directory"),
            "uv is missing; run `python -m pip install 'nox[uv]'`",
        ),
        (Uv(-15, "", "timeout"), "the job's time limit was reached"),
        (
            Uv(2, "error: Failed to fetch: `black`\n  Caused by: dns error"),
            "unreachable",
        ),
        (Uv(1, "error: Hash mismatch for `black==1`"), None),
    ],
)
def test_a_failed_install_says_uvs_words_and_is_tried_again(
    locked_root: Path, made: Environment, uv: Uv, hint: str | None
) -> None:
    made.install(locked_root, "lint", Uv())
    (locked_root / "requirements" / "lint.txt").write_text("black==2 --hash=sha256:0\n")
    with pytest.raises(NoEnvironmentError) as raised:
        made.install(locked_root, "lint", uv)
    assert raised.value.message.startswith(
        "requirements/lint.txt could not be installed"
    )
    assert uv.done.stderr in raised.value.message
    assert (hint in (raised.value.hint or "")) if hint else raised.value.hint is None
    assert made.install(locked_root, "lint", Uv()) is True


def test_tools_get_the_environment_first_and_no_internal_variables(
    made: Environment,
) -> None:
    variables = made.variables(
        {
            "PATH": "/usr/bin",
            "HOME": "/home/me",
            "LAKE_CI_PLAN": "[]",
            "LAKE_CI_RUN": "1",
            "LAKE_CI_EVENT": "push",
            "LAKE_CI_STRICT": "1",
            "LAKE_CI_JAVA11": "/jdk",
            "NOX_DEFAULT_VENV_BACKEND": "uv",
            "NOXSESSION": "lint",
            "VIRTUAL_ENV": "/other",
            "CONDA_PREFIX": "/conda",
            "UV_PYTHON": "3.12",
            "PYTHONUNBUFFERED": "0",
            "PYTEST_ADDOPTS": "-k fine",
            "PYTEST_PLUGINS": "mine",
            "COVERAGE_RCFILE": "/mine",
            "COV_CORE_SOURCE": "mine",
            "MYPYPATH": "/stubs",
            "HADOLINT_IGNORE": "DL3008",
            "SEMGREP_BASELINE_COMMIT": "HEAD",
            "YAMLLINT_CONFIG_FILE": "/mine",
            "ZIZMOR_MIN_SEVERITY": "high",
            "PYTHONOPTIMIZE": "1",
            "PYTHONPATH": "/mine",
            "PYTHONWARNINGS": "error",
            "BANDIT_X": "mine",
            "BLACK_NUM_WORKERS": "1",
            "CKV_FRAMEWORK": "none",
            "DOCKER_DEFAULT_PLATFORM": "linux/arm64",
            "FLAKE8_X": "mine",
            "GIT_DIR": "/other/.git",
            "GIT_INDEX_FILE": "/other/index",
            "ISORT_X": "mine",
            "PIP_NO_DEPS": "1",
            "TF_CLI_ARGS_plan": "-target=none",
            "UV_EXCLUDE_NEWER": "2020-01-01",
            "UV_NO_BUILD_PACKAGE": "mine",
        }
    )
    assert variables == {
        "PATH": f"{made.folder}/bin{os.pathsep}/usr/bin",
        "HOME": "/home/me",
        "LAKE_CI_STRICT": "1",
        "LAKE_CI_JAVA11": "/jdk",
        "VIRTUAL_ENV": str(made.folder),
        "UV_SYSTEM_CERTS": "1",
        "PYTHONUNBUFFERED": "0",
    }


def test_the_version_is_that_of_the_environment(venv: Path) -> None:
    assert Environment(venv).python_version == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (None, None),
        ("home = /usr/bin\n", None),
        ("home = /usr/bin\nversion = 3.10.13\n", "3.10.13"),  # as venv writes it
        ("home = /usr/bin\nversion_info = 3.9.18\n", "3.9.18"),  # as uv writes it
    ],
)
def test_the_version_is_read_from_what_made_the_environment(
    made: Environment, text: str | None, version: str | None
) -> None:
    if text is not None:
        (made.folder / "pyvenv.cfg").write_text(text)
    assert made.python_version == version


def test_uv_is_the_one_that_came_with_nox() -> None:
    assert Path(environment.uv_program() or "").is_file()


@pytest.mark.parametrize("present", [True, False])
def test_without_it_uv_is_looked_for_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, present: bool
) -> None:
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    if present:
        shutil.copy("/bin/sh", tmp_path / "uv")
    assert environment.uv_program() == (str(tmp_path / "uv") if present else None)
