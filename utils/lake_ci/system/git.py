"""What git knows of the repository; everything is None, False or empty where there is
no git.
"""

from __future__ import annotations

import subprocess
from pathlib import Path


def ask(root: Path, *arguments: str) -> str | None:
    """The output of a git command without its last newline, or None where it fails."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, check=False
        )
    except OSError:
        return None
    return (
        done.stdout.decode("utf-8", errors="surrogateescape").rstrip("\n")
        if done.returncode == 0
        else None
    )


def branch(root: Path) -> str | None:
    """The branch that is checked out; None when none is."""
    return ask(root, "symbolic-ref", "--short", "-q", "HEAD") or None


def commit(root: Path) -> str | None:
    """The full id of the commit that is checked out."""
    return ask(root, "rev-parse", "--verify", "-q", "HEAD") or None


def is_dirty(root: Path) -> bool:
    """Whether a file that git tracks, or would track, differs from the commit."""
    return bool(ask(root, "status", "--porcelain"))


def commit_time(root: Path) -> int:
    """When the commit was made, in seconds since 1970 UTC; 0 where there is none."""
    return int(ask(root, "log", "-1", "--format=%ct") or 0)


def files(root: Path, *paths: str) -> tuple[str, ...]:
    """The existing files that git tracks, or would track, under these paths, relative
    to `root`.
    """
    listing = (
        ask(
            root,
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "--",
            *paths,
        )
        or ""
    )
    return tuple(
        sorted(
            {name for name in listing.split("\0") if name and (root / name).is_file()}
        )
    )


def is_shallow(root: Path) -> bool:
    """Whether the clone lacks the beginning of its history."""
    return ask(root, "rev-parse", "--is-shallow-repository") == "true"


def version_tag(root: Path) -> str | None:
    """The newest version tag (`v1.2.3`) that the commit descends from."""
    return ask(root, "describe", "--tags", "--abbrev=0", "--match", "v*") or None
