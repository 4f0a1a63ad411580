"""Creates all security scans."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from lake_ci.checks.security.accepted_risks import AcceptedRisksCheck, Register
from lake_ci.checks.security.safety import Safety
from lake_ci.checks.security.scanners import Bandit, Rules, Sarif, Secrets, Semgrep
from lake_ci.runner.check import Check

REPORTS = [f"{name}.json" for name in ("safety", "bandit", "semgrep", "secrets")]
"""The names of the reports that the scanners write."""


def checks(root: Path, today: date) -> list[Check]:
    """Return the scanners, the check of exceptions, and the report of findings."""
    register = Register(root, today)
    bandit, semgrep = Bandit(register), Semgrep(register)
    scans = [Safety(register, today), bandit, semgrep, Secrets(register)]
    return [*scans, Rules(), AcceptedRisksCheck(register), Sarif(register, scans)]
