"""An option on the command line overrides the setting of the same name in
pyproject.toml.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lake_ci.checks.performance.options import options
from lake_ci.errors import UsageError

SETTINGS = """
[tool.lake_ci.performance]
threshold = 1.15
memory_threshold = 1.25
interval = 0.03
seconds = 20
"""


def test_options_are_read_over_what_the_project_declares(root: Path) -> None:
    (root / "pyproject.toml").write_text(SETTINGS)
    typed = options(
        ["--baseline", "v1", "--all", "-k", "merge", "--generations", "9"], root
    )
    assert (typed.baseline, typed.every, typed.select, typed.generations) == (
        "v1",
        True,
        "merge",
        9,
    )
    assert (typed.threshold, typed.memory, typed.width, typed.seconds) == (
        1.15,
        1.25,
        0.03,
        20.0,
    )
    assert typed.partial and not options([], root).partial


@pytest.mark.parametrize(
    "posargs", [["--nosuch"], ["--generations", "0"], ["--generations", "many"]]
)
def test_what_is_no_option_is_wrong_usage(root: Path, posargs: list[str]) -> None:
    (root / "pyproject.toml").write_text(SETTINGS)
    with pytest.raises(UsageError, match="nox -s performance -- "):
        options(posargs, root)
