"""Verifies the built wheel and sdist before a release or a deploy.

The build of the checked-out commit must have recorded the digests of both files. The
contents of each file must agree with the file's name and metadata.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lake_ci.deploy import distributions
from lake_ci.deploy.distributions import BUILD, DIST, refused
from lake_ci.deploy.errors import RefusedError
from lake_ci.errors import BadResultError, UsageError
from lake_ci.model import results
from lake_ci.model.results import Status
from lake_ci.system import git
from lake_ci.system.pyproject import normalized_name, read_project

REPORTS = "reports/build"
CHECKSUMS = f"{REPORTS}/SHA256SUMS"
RESULT = f"{REPORTS}/{results.FILE_NAME}"
LINE = re.compile(r"([0-9a-f]{64})  (\S+)")
# The length of the commit id in the version of an untagged commit.
# `[tool.versioningit.format]` sets the same length.
SHORT = 12


@dataclass(frozen=True)
class Artifacts:
    """The verified files of a build.

    `sha256` is the digest of the wheel's file. `commit` is the full commit id.
    """

    wheel: Path
    sdist: Path
    package: str
    version: str
    sha256: str
    commit: str


def verify(root: Path) -> Artifacts:
    """Verify the wheel and the sdist in `dist/`.

    If a file is wrong, raises RefusedError, which names the problem and the command to
    run next.
    """
    commit = _clean_commit(root)
    part = results.incomplete(root / REPORTS)
    if part is not None:
        raise RefusedError(f"{DIST}/ is incomplete: {part}", BUILD)
    sums = _sums(root)
    _verify_files(root, sums)
    _verify_result(root, sums, commit)
    wheel, sdist = (_only(root, sums, suffix) for suffix in (".whl", ".tar.gz"))
    package = distributions.verify(wheel, sdist)
    _verify_name(root, package.name)
    if not _is_of(root, package.version, commit):
        raise refused(wheel.name, f" was not built from this commit, {commit[:SHORT]}")
    return Artifacts(
        wheel, sdist, package.name, package.version, sums[wheel.name], commit
    )


def _clean_commit(root: Path) -> str:
    """Return the id of the checked-out commit.

    Raises RefusedError if there is no commit, or if a file has uncommitted changes.
    """
    commit = git.commit(root)
    if commit is None:
        raise RefusedError(
            "not a git checkout with a commit",
            "clone the repository, and build there",
        )
    if git.is_dirty(root):
        changed = [
            line[3:]
            for line in (git.ask(root, "status", "--porcelain") or "").splitlines()
        ]
        raise RefusedError(
            f"the tree is dirty: {', '.join(changed[:5])}",
            f"commit or stash it, then {BUILD}",
        )
    return commit


def _sums(root: Path) -> dict[str, str]:
    """Return the digests in SHA256SUMS as a dictionary; the keys are file names."""
    try:
        lines = (root / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        raise RefusedError(
            f"{CHECKSUMS} is missing: nothing was built here", BUILD
        ) from None
    matches = [match for match in map(LINE.fullmatch, lines) if match]
    if not lines or len(matches) != len(lines):
        raise RefusedError(f"{CHECKSUMS} is not a list of checksums", BUILD)
    for name, times in Counter(match[2] for match in matches).items():
        if "/" in name or ".." in name:
            raise RefusedError(
                f"{CHECKSUMS} names {name}, which is not a file of {DIST}/", BUILD
            )
        if times > 1:
            raise RefusedError(f"{CHECKSUMS} names {name} {times} times", BUILD)
    return {match[2]: match[1] for match in matches}


def _verify_files(root: Path, sums: Mapping[str, str]) -> None:
    """Raise RefusedError unless `dist/` contains exactly the files in SHA256SUMS."""
    for path in sorted((root / DIST).glob("*")):
        if path.is_symlink() or not path.is_file():
            raise refused(path.name, " is not a regular file")
        if path.name not in sums:
            raise refused(path.name, f" is not in {CHECKSUMS}")
    for name, expected in sums.items():
        path = root / DIST / name
        if not path.is_file():
            raise refused(name, f" is missing, which {CHECKSUMS} names")
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise refused(
                name, " differs from the built file: its sha256 does not match"
            )


def _verify_result(root: Path, sums: Mapping[str, str], commit: str) -> None:
    """Verify that the build of this commit passed and recorded these digests."""
    try:
        built = results.read(root / REPORTS)
    except BadResultError:
        raise RefusedError(
            f"{RESULT} is missing: it is unknown whether the build passed", BUILD
        ) from None
    if built.status not in (Status.SUCCESS, Status.WARNING):
        raise RefusedError(f"{RESULT}: the build did not pass", BUILD)
    if built.commit != commit or built.dirty:
        changes = " with uncommitted changes" if built.dirty else ""
        raise RefusedError(
            f"{RESULT} is of commit {(built.commit or 'none')[:SHORT]}{changes}, not of"
            f" {commit[:SHORT]}",
            BUILD,
        )
    recorded: dict[str, str] = {}
    for check in built.checks:
        digests = check.data.get("sha256")
        recorded |= digests if isinstance(digests, dict) else {}
    for name in sorted(recorded.keys() | sums.keys()):
        if recorded.get(name) != sums.get(name):
            raise RefusedError(
                f"{RESULT} and {CHECKSUMS} have different checksums of {name}", BUILD
            )


def _only(root: Path, sums: Mapping[str, str], suffix: str) -> Path:
    """Return the file with this suffix: the wheel or the sdist.

    Raises RefusedError if `dist/` does not contain exactly one wheel and one sdist.
    """
    names = [name for name in sums if name.endswith(suffix)]
    if len(names) != 1 or len(sums) != 2:
        raise RefusedError(
            f"{DIST}/ must hold one wheel and one sdist, and holds"
            f" {', '.join(sorted(sums))}",
            BUILD,
        )
    return root / DIST / names[0]


def _verify_name(root: Path, package: str) -> None:
    """Raise RefusedError if the name in the metadata is not `[project] name`."""
    try:
        name = str(read_project(root)["project"]["name"])
    except (UsageError, KeyError, TypeError):
        raise RefusedError("pyproject.toml has no [project] name", BUILD) from None
    if normalized_name(name) != normalized_name(package):
        raise RefusedError(
            f"{DIST}/ holds the package {package}, and pyproject.toml names {name}",
            BUILD,
        )


def _is_of(root: Path, version: str, commit: str) -> bool:
    """Return whether a version belongs to a commit.

    A version belongs to a commit if it contains the id of the commit, or if the commit
    has the tag `v<version>`.
    """
    match = re.search(r"\+g([0-9a-f]+)$", version)
    if match:
        return len(match[1]) >= SHORT and commit.startswith(match[1])
    return f"v{version}" in (git.ask(root, "tag", "--points-at", commit) or "").split()
