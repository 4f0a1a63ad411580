"""Settings in `[tool.lake_ci]` have defaults. A wrong setting is an error that contains
the file and the line.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lake_ci.errors import UsageError
from lake_ci.model.settings import Settings, read_settings

REPOSITORY = Path(__file__).resolve().parents[4]


def test_a_repository_without_settings_has_the_defaults(tmp_path: Path) -> None:
    assert read_settings(tmp_path) == Settings()
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'shop'\n")
    settings = read_settings(tmp_path)
    assert settings.cache.megabytes == 500
    assert settings.security.fail_on == "low"
    assert settings.performance.threshold == 1.15
    assert settings.docker is None
    assert settings.deploy is None


def test_settings_are_read_with_their_types(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.lake_ci.locks]\nlint = { python = '3.11', groups = ['lint'] }\n"
        "[tool.lake_ci.seconds]\nlint = 90\n"
        "[tool.lake_ci.deploy]\n"
        "package = 'shop'\njob = 'daily'\ninspect = 'a.py'\nrestore = 'b.py'\n"
        "[tool.lake_ci.deploy.limits]\nbusy = 30\n"
    )
    settings = read_settings(tmp_path)
    assert settings.locks["lint"].groups == ("lint",)
    assert settings.seconds == {"lint": 90.0}
    assert settings.deploy is not None
    assert settings.deploy.limits.busy == 30.0
    assert settings.deploy.limits.request == 60.0


def test_the_settings_of_this_repository_are_valid() -> None:
    settings = read_settings(REPOSITORY)
    assert settings.k8s.images["lakekit-api"].program == "lakekit-api"


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (
            "[tool.lake_ci.cahe]\nmegabytes = 5\n",
            1,
            "[tool.lake_ci] cahe is unknown; did you mean 'cache'?",
        ),
        (
            "[tool.lake_ci.k8s]\nversion = ['1.34']\n",
            2,
            "[tool.lake_ci.k8s] version is unknown; did you mean 'versions'?",
        ),
        (
            "[tool.lake_ci.k8s.programs.shop]\ncode = ['a']\ngrase = 'G'\n",
            3,
            "[tool.lake_ci.k8s.programs.shop] grase is unknown; did you mean 'grace'?",
        ),
        (
            "[tool.lake_ci.k8s.images]\nshop = { program = 's', environ = 1 }\n",
            2,
            "[tool.lake_ci.k8s.images.shop] environ is unknown",
        ),
        (
            "[tool.lake_ci.deploy]\npackage = 'a'\njob = 'b'\ninspect = 'c'\n"
            "restore = 'd'\n[tool.lake_ci.deploy.limits]\nbusi = 1\n",
            7,
            "[tool.lake_ci.deploy.limits] busi is unknown; did you mean 'busy'?",
        ),
        (
            "[tool.lake_ci.tests.lake]\nunit = ['a']\ncover = ['b']\n",
            1,
            "[tool.lake_ci.tests.lake] integration is missing",
        ),
        (
            "[tool.lake_ci]\ncache = 5\n",
            2,
            "[tool.lake_ci] cache is 5: expected a table",
        ),
        (
            "[tool.lake_ci.cache]\nmegabytes = -1\n",
            2,
            "[tool.lake_ci.cache] megabytes is -1: expected int >= 0",
        ),
        (
            "[tool.lake_ci.cache]\nmegabytes = true\n",
            2,
            "[tool.lake_ci.cache] megabytes is True: expected int, got bool",
        ),
        (
            "[tool.lake_ci.seconds]\nlint = inf\n",
            2,
            "[tool.lake_ci.seconds] lint is inf",
        ),
        (
            "[tool.lake_ci.seconds]\nlint = nan\n",
            2,
            "[tool.lake_ci.seconds] lint is nan",
        ),
        (
            "[tool.lake_ci.security]\nfail_on = 'hgh'\n",
            2,
            "[tool.lake_ci.security] fail_on is 'hgh'; did you mean 'high'?",
        ),
        (
            "[tool.lake_ci.k8s.programs.shop]\ncode = 'utils/shop'\n",
            2,
            "[tool.lake_ci.k8s.programs.shop] code is 'utils/shop': expected a list",
        ),
        (
            "[tool.lake_ci.k8s.images]\n"
            "shop = { program = 's', environment = { SHOP = 1 } }\n",
            2,
            "[tool.lake_ci.k8s.images.shop.environment] SHOP is 1: expected text",
        ),
        (
            "[tool.lake_ci.k8s]\nversions = []\n",
            2,
            "[tool.lake_ci.k8s] versions is []",
        ),
    ],
)
def test_a_wrong_setting_is_refused_with_its_line_and_the_nearest_name(
    tmp_path: Path, text: str, line: int, problem: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(f"# A comment.\n{text}")
    with pytest.raises(UsageError) as raised:
        read_settings(tmp_path)
    assert raised.value.message.startswith(f"pyproject.toml:{line + 1}: {problem}")


def test_without_msgspec_the_machine_lacks_something(tmp_path: Path) -> None:
    code = "import sys; sys.modules['msgspec'] = None; import lake_ci.model.settings"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "utils")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "python -m pip install msgspec" in done.stderr
    assert "Traceback" not in done.stderr
