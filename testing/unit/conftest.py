"""What all unit tests share.

The suite's own code, `lake_ci`, its scripts in `.ci`, and the emulator are for Python 3.10
and up, as nox is.
"""

from __future__ import annotations

import sys

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is not a defect: no example has a time limit.
settings.register_profile(
    "unhurried", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")
SUITE = ["ci", "ci/*", "lake_ci", "lake_ci/*", "workspace_emulator", "workspace_emulator/*"]
collect_ignore_glob = SUITE if sys.version_info < (3, 10) else []


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what this Python leaves out, so that nobody takes its run for the whole."""
    return (
        ["ci, lake_ci, workspace_emulator: not collected, they need Python 3.10"]
        if collect_ignore_glob
        else []
    )
