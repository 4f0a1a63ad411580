"""Selection of the integration tests in the matrix."""

from __future__ import annotations

import os
import sys
from typing import List

import pytest

# The deploy, databricks-sdk and the emulator need Python 3.10.
collect_ignore = ["lake_ci", "workspace_emulator"] if sys.version_info < (3, 10) else []
LONG_ON = ("3.11", "17")
"""The Python and Java that run the long tests in the matrix. Outside the matrix, all
variants run them.
"""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """Mark the tests that start Spark. Skip the long tests, with a reason, on the
    Python and Java versions that do not run them.
    """
    reason = _left_out_by()
    for item in items:
        if "spark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.jvm)
        if reason and item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason=reason))


def _left_out_by() -> str:
    """Return why the long tests are skipped in this session, or an empty text."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    java = os.environ.get("LAKE_CI_JAVA", "")
    if not java or (python, java) == LONG_ON:
        return ""
    return "long: runs on Python {} with Java {}".format(*LONG_ON)
