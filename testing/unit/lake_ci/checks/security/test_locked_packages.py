"""Tests how pinned versions are read from lock files, and that the wheel's requirements
are resolved only once per day.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from lake_ci.checks.security.locked_packages import (
    Pin,
    lock_pins,
    locks,
    oldest_python,
    resolve,
    wheel_pins,
)
from lake_ci.errors import UsageError
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed
from lake_ci.system.pyproject import normalized_name

PROJECT = """\
[project]
requires-python = ">=3.9"
dependencies = ["Click>=8.1", "sqlglot>=26"]
"""
LOCK = """\
# Generated
jinja2==3.1.6 \\
    --hash=sha256:00
Ruamel.yaml==0.18 ; python_version < '3.10'
ruamel_yaml==0.19 ; python_version >= '3.10'
uvicorn[standard]==0.30
"""


def write_lock(root: Path, name: str = "lint.txt") -> Path:
    (root / "requirements").mkdir(exist_ok=True)
    (root / "requirements" / name).write_text(LOCK)
    return root / "requirements" / name


def test_every_pin_has_its_line_and_one_spelling(root: Path) -> None:
    assert [
        (pin.name, pin.version, pin.line) for pin in lock_pins(write_lock(root), root)
    ] == [
        ("jinja2", "3.1.6", 2),
        ("ruamel-yaml", "0.18", 4),
        ("ruamel-yaml", "0.19", 5),
        ("uvicorn", "0.30", 6),
    ]
    assert normalized_name("Ruamel.YAML_clib") == "ruamel-yaml-clib"


@pytest.mark.parametrize(
    "text", [">=3.9", ">=3.9,<4.0", "<4, >= 3.9", "~=3.9", "==3.9.*", "!=3.9.1,>=3.9"]
)
def test_oldest_python_is_the_lower_limit_of_a_range(root: Path, text: str) -> None:
    (root / "pyproject.toml").write_text(f'[project]\nrequires-python = "{text}"\n')
    assert oldest_python(root) == "3.9"


@pytest.mark.parametrize("text", ["[project]\n", '[project]\nrequires-python = "<4"\n'])
def test_requires_python_without_a_lower_limit_is_named(root: Path, text: str) -> None:
    (root / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError, match="pyproject.toml: requires-python"):
        oldest_python(root)


def test_the_jars_are_no_packages(root: Path) -> None:
    lock = write_lock(root)
    write_lock(root, "jars.txt")
    assert locks(root) == [lock]


def test_what_is_required_stands_where_it_is_declared(root: Path) -> None:
    (root / "pyproject.toml").write_text(PROJECT)
    resolved = root / "resolved.txt"
    resolved.write_text("sqlglot==27.1\nmarkupsafe==3.0\n")
    assert list(wheel_pins(resolved, root)) == [
        Pin("sqlglot", "27.1", "pyproject.toml", 3),
        Pin("markupsafe", "3.0", "pyproject.toml", 3),
    ]


def test_the_index_is_asked_once_a_day(
    ctx: CheckContext, answering: Callable[..., list[list[str]]]
) -> None:
    (ctx.root / "pyproject.toml").write_text(PROJECT)

    def uv(argv: list[str]) -> Completed:
        Path(argv[-1]).write_text("click==8.2\n")
        return Completed(tuple(argv), 0, "", "", 0.1)

    calls = answering(uv)
    first = resolve(ctx, date(2026, 3, 1))
    again = resolve(ctx, date(2026, 3, 1))
    assert (first, len(calls)) == (again, 1)
    assert "--python-version 3.9" in " ".join(calls[0])
    tomorrow = resolve(ctx, date(2026, 3, 2))
    assert tomorrow is not None and first is not None
    assert (tomorrow.read_text(), first.exists(), len(calls)) == (
        "click==8.2\n",
        False,
        2,
    )


def test_what_cannot_be_resolved_is_not_kept(
    ctx: CheckContext, answering: Callable[..., list[list[str]]]
) -> None:
    (ctx.root / "pyproject.toml").write_text(PROJECT)
    calls = answering(Completed(("uv",), 2, "", "dns error", 0.1))
    assert resolve(ctx, date(2026, 3, 1)) is None
    assert resolve(ctx, date(2026, 3, 1)) is None
    assert len(calls) == 2
