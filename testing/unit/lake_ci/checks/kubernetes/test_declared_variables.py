"""Which variables the programs read, by their code."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lake_ci.checks.kubernetes.declared_variables import (
    API_SETTINGS,
    LAKEKIT,
    LAKEKIT_SETTINGS,
    Programs,
    known,
)
from lake_ci.errors import LakeCiError


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")


@pytest.fixture
def code(tmp_path: Path) -> Path:
    write(
        tmp_path,
        LAKEKIT_SETTINGS,
        'SETTINGS: Mapping[str, str] = {"lake": "where", "engine": "which"}\n',
    )
    write(
        tmp_path,
        f"{LAKEKIT}/storage.py",
        'import os\n\na = os.environ.get("AWS_REGION") or os.getenv("HOME")\nb ='
        ' os.environ["TZ"]\nc = {}.get("NO")\n',
    )
    settings = (
        'PREFIX = "LAKEKIT_API_"\nTOKENS = f"{PREFIX}TOKENS"\n\n\nclass Settings:\n   '
        " port: int = 8080\n"
    )
    write(tmp_path, API_SETTINGS, settings)
    return tmp_path


def test_settings_and_variables_that_are_asked_for_by_name_are_known(
    code: Path,
) -> None:
    read = {"AWS_REGION", "HOME", "TZ"}
    assert known(code) == {
        "lakekit": {"LAKEKIT_LAKE", "LAKEKIT_ENGINE"} | read,
        "lakekit-api": {"LAKEKIT_API_PORT", "LAKEKIT_API_TOKENS"} | read,
    }


def test_the_code_is_read_once(code: Path) -> None:
    programs = Programs()
    first = programs.read(code)
    shutil.rmtree(code / "utils")
    assert programs.read(code) is first


@pytest.mark.parametrize(
    ("file", "what"),
    [(LAKEKIT_SETTINGS, "dictionary SETTINGS"), (API_SETTINGS, "class Settings")],
)
def test_settings_that_moved_are_an_error_and_not_an_empty_list(
    code: Path, file: str, what: str
) -> None:
    write(code, file, "moved = True\n")
    with pytest.raises(LakeCiError, match=f"there is no {what}"):
        known(code)
