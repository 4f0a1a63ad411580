"""Selects the integration tests that each variant of the matrix runs."""

from __future__ import annotations

import os
import sys
from typing import List

import pytest

# The deploy, databricks-sdk and the emulator need Python 3.10 or newer.
collect_ignore = ["lake_ci", "workspace_emulator"] if sys.version_info < (3, 10) else []
LONG_ON = ("3.11", "17")
"""The versions of Python and Java in the only variant of the matrix that runs the long
tests. Outside the matrix, the long tests always run.
"""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """Mark with `jvm` the tests that start Spark. Skip the long tests in every variant
    of the matrix except `LONG_ON`.
    """
    reason = _left_out_by()
    for item in items:
        if "spark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.jvm)
        if reason and item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason=reason))


def _left_out_by() -> str:
    """Return why this session skips the long tests, or an empty text if it runs
    them.
    """
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    java = os.environ.get("LAKE_CI_JAVA", "")
    if not java or (python, java) == LONG_ON:
        return ""
    return "long: runs on Python {} with Java {}".format(*LONG_ON)
