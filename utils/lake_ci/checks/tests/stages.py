"""Creates the checks of a test session: Java, jars, tests and coverage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lake_ci.checks.tests import affected
from lake_ci.checks.tests.java import Jars, Java
from lake_ci.checks.tests.pytest import Coverage, Pytest
from lake_ci.errors import UsageError, nearest
from lake_ci.model.settings import Tests, read_settings
from lake_ci.runner.check import Check
from lake_ci.runner.run import Run

TABLE = "tool.lake_ci.tests"


def declared_folders(root: Path, name: str) -> Tests:
    """Return the folders in `[tool.lake_ci.tests.<name>]` of pyproject.toml.

    Raises:
        UsageError: the name is not declared, or a folder does not exist.
    """
    tables = read_settings(root).tests
    if name not in tables:
        raise UsageError(f"pyproject.toml: {TABLE}: no {name!r}{nearest(name, tables)}")
    found = tables[name]
    for folder in (*found.unit, *found.integration, *found.cover):
        if not (root / folder).is_dir():
            raise UsageError(f"pyproject.toml: {TABLE}.{name}: no folder {folder!r}")
    return found


def checks(run: Run, name: str, javas: Sequence[str], *, minimum: float) -> list[Check]:
    """Return the checks of a test session for one Python and one Java version.

    Args:
        name: the key of the tests in `[tool.lake_ci.tests]`.
        javas: the Java versions of the matrix. On the last Java version, all tests run.
            On all other Java versions, only the tests that start a JVM run.
        minimum: the minimum coverage, in percent.
    """
    folders = declared_folders(run.root, name)
    provided: list[Check] = [Java(run.java or javas[-1]), Jars()]
    if run.java not in (None, javas[-1]) and not run.partial:
        return [*provided, Pytest("integration", folders.integration, marks="jvm")]
    kinds = {"unit": folders.unit, "integration": folders.integration}
    inputs = run.variant.job.inputs
    tests = affected.pytest_rows(kinds, folders.cover, run.posargs, inputs)
    return [*provided, *tests, Coverage(minimum=minimum)]
