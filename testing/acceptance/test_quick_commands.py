"""Tests the commands in CONTRIBUTING.md that do not use nox. These commands must work
in the environment that CONTRIBUTING.md describes.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from testing.acceptance.conftest import REPOSITORY, Checkout, clean_environment

CONTRIBUTING = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
SPECIFIED = [
    "black utils/ scripts/ api/",
    "isort utils/ scripts/ api/",
    "flake8 utils/ scripts/ api/ --max-line-length=88",
    "pytest testing/unit/ -v",
    "mypy utils/ scripts/ api/ --ignore-missing-imports",
]


def commands(title: str) -> list[str]:
    """Return the commands in the code block that follows an HTML comment."""
    block = re.search(rf"<!-- {title} -->\n```sh\n(.+?)```", CONTRIBUTING, re.S)
    assert block is not None, title
    return block[1].splitlines()


def test_the_commands_of_the_specification_are_the_documented_ones() -> None:
    assert commands("quick commands") == SPECIFIED


@pytest.mark.nightly
def test_quick_commands_pass_as_typed_and_change_nothing(original: Checkout) -> None:
    original.commit()
    environment = clean_environment() | {"VIRTUAL_ENV_DISABLE_PROMPT": "1"}
    # The first command runs `python`. With this shell function, `python` is the Python
    # of this test.
    python = f'python() {{ "{sys.executable}" "$@"; unset -f python; }}'
    lines = [python, *commands("environment"), *commands("quick commands")]
    done = subprocess.run(
        [
            "bash",
            "-euxo",
            "pipefail",
            "-c",
            "\n".join([*lines, "git diff --exit-code"]),
        ],
        cwd=original.root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"\d+ passed", done.stdout)
    assert "Success: no issues found" in done.stdout
