"""Reads the state of the repository from git.

If git is missing or fails, the results are None, False, 0 or empty.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from lake_ci.system import secret_variables

# These options override the developer's settings that would change git's output.
OPTIONS = (
    *("-c", "color.ui=false"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.quotePath=true"),
    *("-c", "log.showSignature=false"),
    *("-c", "status.showUntrackedFiles=normal"),
)
# Variables that point git to another repository or change git's output. When git runs a
# hook, git sets some of these variables.
VARIABLES = re.compile(
    r"GIT_(DIR|WORK_TREE|COMMON_DIR|INDEX_FILE|OBJECT_DIRECTORY|NAMESPACE|EXTERNAL_DIFF"
    r"|ALTERNATE_OBJECT_DIRECTORIES|(LITERAL|GLOB|NOGLOB|ICASE)_PATHSPECS)"
)


def command(*arguments: str) -> list[str]:
    """Return a git command whose output does not depend on the developer's settings."""
    return ["git", *OPTIONS, *arguments]


def variables() -> dict[str, str]:
    """Return the environment variables for git, except the variables in `VARIABLES`."""
    shown, withheld = secret_variables.split(os.environ)
    return {
        name: value
        for name, value in {**shown, **secret_variables.of("git", withheld)}.items()
        if not VARIABLES.fullmatch(name)
    }


def ask(root: Path, *arguments: str) -> str | None:
    """Return a git command's output except the last newline; None if git fails."""
    try:
        done = subprocess.run(
            command(*arguments),
            cwd=root,
            env=variables(),
            capture_output=True,
            check=False,
        )
    except OSError:
        return None
    return (
        done.stdout.decode("utf-8", errors="surrogateescape").rstrip("\n")
        if done.returncode == 0
        else None
    )


def branch(root: Path) -> str | None:
    """Return the name of the checked-out branch; None if no branch is checked out."""
    return ask(root, "symbolic-ref", "--short", "-q", "HEAD") or None


def commit(root: Path) -> str | None:
    """Return the full id of the checked-out commit."""
    return ask(root, "rev-parse", "--verify", "-q", "HEAD") or None


def is_dirty(root: Path) -> bool:
    """Return whether a tracked or untracked file differs from the commit.

    Ignored files do not count.
    """
    return bool(ask(root, "status", "--porcelain"))


def commit_time(root: Path) -> int:
    """Return the commit's time in seconds since 1970 UTC; 0 if no commit exists."""
    return int(ask(root, "log", "-1", "--format=%ct") or 0)


def files(root: Path, *paths: str) -> tuple[str, ...]:
    """Return the existing files under these paths, relative to `root`.

    The result contains the files that git tracks, and the untracked files that git does
    not ignore.
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


def is_ancestor(root: Path, commit: str, branch: str) -> bool:
    """Return whether a branch contains a commit."""
    return ask(root, "merge-base", "--is-ancestor", commit, branch) is not None


def is_shallow(root: Path) -> bool:
    """Return whether the clone is shallow, so that old commits are missing."""
    return ask(root, "rev-parse", "--is-shallow-repository") == "true"


def version_tag(root: Path) -> str | None:
    """Return the newest version tag (`v1.2.3`) of the commit and its ancestors."""
    return ask(root, "describe", "--tags", "--abbrev=0", "--match", "v*") or None
