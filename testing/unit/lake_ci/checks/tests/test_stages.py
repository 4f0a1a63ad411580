"""A session's Python, Java and arguments determine which tests the session runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lake_ci.checks.tests import pytest as pytest_checks, stages
from lake_ci.errors import UsageError
from lake_ci.model.job import Job, Variant
from lake_ci.runner.run import Run
from lake_ci.system.environment import Environment

DECLARED = """\
[tool.lake_ci.tests.lake]
unit = ["tests/unit"]
integration = ["tests/integration"]
cover = ["lake"]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a repository that declares its tests."""
    (tmp_path / "pyproject.toml").write_text(DECLARED)
    for folder in ("tests/unit", "tests/integration", "lake"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def rows(root: Path, java: str | None, *posargs: str) -> list[str]:
    """Return the names of the checks of a session that runs on this Java version."""

    def tests(run: Run) -> None:
        """Test."""

    job = Job("tests", tests, javas=("11", "17") if java else ())
    environment = Environment(root / "env", may_install=False, install_only=False)
    run = Run(Variant(job, "3.11", java), root, environment, {"PATH": ""}, posargs)
    run.options(pytest_checks.Arguments)
    return [each.name for each in stages.checks(run, "lake", ["11", "17"], minimum=90)]


def test_the_last_java_runs_all_and_the_others_what_starts_a_jvm(root: Path) -> None:
    everything = ["java", "jars", "unit", "integration", "coverage"]
    assert rows(root, "17") == everything
    assert rows(root, None) == everything
    assert rows(root, "11") == ["java", "jars", "integration"]


def test_a_selection_is_one_row_on_any_java(root: Path) -> None:
    for java in ("11", "17"):
        assert rows(root, java, "-k", "merge") == ["java", "jars", "tests", "coverage"]


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("lake]", "lakes]", "tool.lake_ci.tests: .*'lakes'"),
        ('"tests/unit"', '"tests/unti"', "tests.lake: no folder 'tests/unti'"),
        ("cover", "covers", r"tests.lake\] covers is unknown; did you mean 'cover'"),
    ],
)
def test_a_wrong_declaration_is_named(
    root: Path, old: str, new: str, message: str
) -> None:
    (root / "pyproject.toml").write_text(DECLARED.replace(old, new))
    with pytest.raises(UsageError, match=message):
        rows(root, "17")
