"""Settings for all unit tests.

Like nox, some code needs Python 3.10 or newer: the suite (`lake_ci`), its scripts in
`.ci`, the tests of the images, and the emulator.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

SUITE = [
    "ci",
    "ci/*",
    "images",
    "images/*",
    "lake_ci",
    "lake_ci/*",
    "workspace_emulator",
    "workspace_emulator/*",
]
collect_ignore_glob = SUITE if sys.version_info < (3, 10) else []


def pytest_pycollect_makemodule(module_path: Path) -> None:
    """Load hypothesis' profile before the first module that uses hypothesis'
    decorators.

    If no selected module uses hypothesis, hypothesis is not imported.
    """
    if "hypothesis" in module_path.read_text(encoding="utf-8"):
        from hypothesis import HealthCheck, settings

        # A busy machine is not a defect, so examples have no time limit.
        checks = [HealthCheck.too_slow]
        settings.register_profile(
            "unhurried", settings(), deadline=None, suppress_health_check=checks
        )
        settings.load_profile("unhurried")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Report which tests are skipped because of this Python's version, so that nobody
    takes the run for a full run.
    """
    return (
        ["ci, images, lake_ci, workspace_emulator: not collected, need Python 3.10"]
        if collect_ignore_glob
        else []
    )
