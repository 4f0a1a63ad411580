"""All the scans for weaknesses and secrets."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from lake_ci.checks.security.accepted_risks import Exceptions, Register
from lake_ci.checks.security.safety import Safety
from lake_ci.checks.security.scanners import Bandit, Rules, Sarif, Secrets, Semgrep
from lake_ci.runner.check import Tool

REPORTS = [f"{name}.json" for name in ("safety", "bandit", "semgrep", "secrets")]
"""What the scanners leave, by name."""


def checks(root: Path, today: date) -> list[Tool]:
    """The scans, what they may leave out, and one report of all they found."""
    register = Register(root, today)
    bandit, semgrep = Bandit(register), Semgrep(register)
    scans = [Safety(register, today), bandit, semgrep, Secrets(register)]
    return [*scans, Rules(), Exceptions(register), Sarif(register, scans)]
