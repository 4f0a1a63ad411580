"""What all unit tests share: the suite's own code, `lake_ci`, is for Python 3.10 and up, as nox is."""

from __future__ import annotations

import sys

import pytest

collect_ignore_glob = ["lake_ci", "lake_ci/*"] if sys.version_info < (3, 10) else []


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what this Python leaves out, so that nobody takes its run for the whole."""
    return ["lake_ci: not collected, it needs Python 3.10"] if collect_ignore_glob else []
