"""Tests the errors for settings that are missing, or that name something missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lake_ci.checks.docker.settings import BAKE, TARGETS, docker_settings
from lake_ci.errors import UsageError
from lake_ci.model.settings import Docker

REPOSITORY = Path(__file__).resolve().parents[5]
SOUND: dict[str, Any] = {
    "prefix": "pond-",
    "packages": {"prod": "pond"},
    "context": ["docker", "src"],
    "planted": [".env", "src/.env"],
    "megabytes": dict.fromkeys(TARGETS, 100),
    "tests": "testing/pond",
}
Read = Callable[..., Docker]


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return (
            f"{{ {', '.join(f'{key} = {toml(each)}' for key, each in value.items())} }}"
        )
    return json.dumps(value)


@pytest.fixture
def read(root: Path) -> Read:
    """Return a function that changes a repository's settings and then reads them.

    The value None removes a setting.
    """
    tests = [f"testing/pond/test_{target}.py" for target in TARGETS]
    for name in (BAKE, "src/pond.py", *tests):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text('variable "PREFIX" { default = "pond-" }\n')

    def read(**changed: Any) -> Docker:
        lines = [
            f"{name} = {toml(value)}\n"
            for name, value in {**SOUND, **changed}.items()
            if value is not None
        ]
        (root / "pyproject.toml").write_text(f"[tool.lake_ci.docker]\n{''.join(lines)}")
        return docker_settings(root)

    return read


def test_sound_settings_are_read(read: Read) -> None:
    settings = read()
    assert settings.image("api") == "pond-api"
    assert settings.packages == {"prod": "pond"}


def test_settings_of_this_repository_are_sound() -> None:
    assert docker_settings(REPOSITORY).image("api") == "lakekit-api"


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"prefix": "lake-"}, "prefix: PREFIX of docker/docker-bake.hcl"),
        ({"packages": {"batch": "pond"}}, "packages: no image 'batch'"),
        ({"megabytes": {"prod": 1}}, "megabytes: no limit for 'dev'"),
        ({"context": ["docker", "source"]}, "context: no tracked file at 'source'"),
        ({"planted": ["src/more/.env"]}, "planted: 'src/more/.env' is not in"),
        ({"tests": "testing/lake"}, "tests: testing/lake/test_api.py is missing"),
        ({"planted": ["k8s/.env"]}, "planted: 'k8s/.env' is not in"),
    ],
)
def test_setting_that_names_nothing_is_refused(
    read: Read, changed: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UsageError) as raised:
        read(**changed)
    assert f"pyproject.toml: [tool.lake_ci.docker] {problem}" in str(raised.value)


def test_tests_of_no_image_are_refused(read: Read, root: Path) -> None:
    read()
    (root / "testing/pond/test_prd.py").touch()
    with pytest.raises(UsageError, match="test_prd.py does not match an image"):
        read()
