"""The settings are read from pyproject.toml; if the file is unreadable, the error has
one line.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lake_ci.errors import UsageError
from lake_ci.system.pyproject import read_project, setting_line


def test_a_file_that_is_not_toml_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool")
    with pytest.raises(UsageError, match="^pyproject.toml: Expected"):
        read_project(tmp_path)


def test_a_missing_file_is_said_where_the_project_is_needed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pyproject.toml: .*No such file"):
        read_project(tmp_path)


LINES = """\
[tool.lake_ci.k8s]
secrets = ["tokens", "keys"]
# shop-other is commented out
[tool.lake_ci.k8s.images]
shop-nightly = { program = "shop" }
"""


@pytest.mark.parametrize(
    ("table", "name", "line"),
    [
        ("tool.lake_ci.k8s", "tokens", 2),
        ("tool.lake_ci.k8s", "shop-nightly", 5),
        ("tool.lake_ci.k8s.images", "shop-other", 4),
        ("tool.lake_ci.k8s", "shop-other", 1),
        ("tool.lake_ci.terraform", "x", None),
    ],
)
def test_a_setting_is_found_by_its_line(
    tmp_path: Path, table: str, name: str, line: int | None
) -> None:
    (tmp_path / "pyproject.toml").write_text(LINES)
    assert setting_line(tmp_path, table, name) == line
