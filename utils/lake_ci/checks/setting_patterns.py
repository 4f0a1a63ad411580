"""Reports patterns in pyproject.toml that match nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from lake_ci.model.results import Finding
from lake_ci.system.pyproject import FILE, setting_line


def unmatched_patterns(
    check: str,
    root: Path,
    table: str,
    patterns: Iterable[str],
    names: Collection[str],
    noun: str,
) -> Iterator[Finding]:
    """Yield a finding for each pattern in a table's `may_differ` that matches no name.

    Args:
        noun: the word with which the message describes a name, for example `value`.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            message = f"may_differ: no {noun} matches {pattern!r}"
            line = setting_line(root, table, pattern)
            yield Finding(check, "unmatched", message, FILE, line)
