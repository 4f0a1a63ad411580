"""The script metadata at the top of the noxfile requires the locked versions."""

from __future__ import annotations

import re
from pathlib import Path

from nox.project import dependency_groups, load_toml

ROOT = Path(__file__).resolve().parents[3]


def test_the_block_and_the_lock_ask_for_the_same_versions() -> None:
    """If the noxfile requires a different nox than the lock, every run on GitHub
    installs a second nox and starts it.
    """
    block = load_toml(ROOT / "noxfile.py")["dependencies"]
    group = dependency_groups(load_toml(ROOT / "pyproject.toml"), "nox")
    assert [re.sub(r"\s*;.*", "", each) for each in group] == block
