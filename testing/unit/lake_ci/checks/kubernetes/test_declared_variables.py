"""The check finds all environment variables that the code of a program reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from lake_ci.checks.kubernetes.declared_variables import variables
from lake_ci.errors import UsageError

SHOP = "utils/shop"
SETTINGS = f"{SHOP}/settings.py"
API = "api/shop_api"
API_SETTINGS = f"{API}/settings.py"


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")


@pytest.fixture
def code(tmp_path: Path) -> Path:
    write(
        tmp_path,
        SETTINGS,
        'SETTINGS: Mapping[str, str] = {"lake": "where", "engine": "which"}\n',
    )
    write(
        tmp_path,
        f"{SHOP}/storage.py",
        'import os\n\na = os.environ.get("AWS_REGION") or os.getenv("HOME")\nb ='
        ' os.environ["TZ"]\nc = {}.get("NO")\n',
    )
    settings = (
        'PREFIX = "SHOP_API_"\nTOKENS = f"{PREFIX}TOKENS"\n\n\nclass Settings:\n   '
        " port: int = 8080\n"
    )
    write(tmp_path, API_SETTINGS, settings)
    return tmp_path


def test_settings_and_variables_that_are_asked_for_by_name_are_known(
    code: Path,
) -> None:
    read = {"AWS_REGION", "HOME", "TZ"}
    assert variables(code, [SHOP], {"SHOP_": f"{SETTINGS}:SETTINGS"}) == {
        "SHOP_LAKE",
        "SHOP_ENGINE",
        *read,
    }
    api = {"SHOP_API_": f"{API_SETTINGS}:Settings"}
    assert variables(code, [SHOP, API], api) == {
        "SHOP_API_PORT",
        "SHOP_API_TOKENS",
        *read,
    }


@pytest.mark.parametrize(
    ("folders", "place", "words"),
    [
        (["utils/gone"], f"{SETTINGS}:SETTINGS", "no folder 'utils/gone' with Python"),
        ([SHOP], "utils/gone.py:SETTINGS", "no file 'utils/gone.py'"),
        ([SHOP], f"{SETTINGS}:OTHER", f"{SETTINGS} has no .* class OTHER"),
        ([SHOP], f"{API_SETTINGS}:Other", f"{API_SETTINGS} has no .* class Other"),
        ([SHOP], "SETTINGS", "no file ''"),
    ],
    ids=["folder", "file", "dictionary", "class", "without-a-file"],
)
def test_code_that_moved_is_an_error_and_not_an_empty_list(
    code: Path, folders: list[str], place: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        variables(code, folders, {"SHOP_": place})


def test_code_that_is_no_python_is_an_error(code: Path) -> None:
    write(code, f"{SHOP}/broken.py", "def\n")
    with pytest.raises(UsageError, match="broken.py cannot be read as Python"):
        variables(code, [SHOP], {})
