"""Verifies the built wheel before a deploy.

The checksums must match, and the wheel must be built from the commit that is checked
out.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

from lake_ci.deploy.errors import RefusedError
from lake_ci.model import results
from lake_ci.system import git

DIST = "dist"
CHECKSUMS = "reports/build/SHA256SUMS"
BUILD = "run `nox -s build`"
LINE = re.compile(r"([0-9a-f]{64})  (\S+)")
# The length of the commit id in a version without a tag, as in
# `[tool.versioningit.format]`.
SHORT = 12


@dataclass(frozen=True)
class Artifacts:
    """The wheel to deploy.

    `sha256` is the digest of the wheel's file. `commit` is the full commit id.
    """

    wheel: Path
    package: str
    version: str
    sha256: str
    commit: str


def verify(root: Path) -> Artifacts:
    """Verify the wheel in `dist/`.

    If the wheel is wrong, raises RefusedError with the problem and the next command.
    """
    commit = _clean_commit(root)
    part = results.incomplete((root / CHECKSUMS).parent)
    if part is not None:
        raise RefusedError(f"{DIST}/ is incomplete: {part}", BUILD)
    sums = _sums(root)
    _refuse_other_files(root, sums)
    wheels = [name for name in sorted(sums) if name.endswith(".whl")]
    if len(wheels) != 1:
        raise RefusedError(f"{DIST}/ holds {len(wheels)} wheels, expected 1", BUILD)
    wheel = root / DIST / wheels[0]
    package, version = _metadata(wheel)
    if not _is_of(root, version, commit):
        raise RefusedError(
            f"{wheel.name} was not built from this commit, {commit[:SHORT]}",
            f"{BUILD}, then deploy again",
        )
    return Artifacts(wheel, package, version, sums[wheel.name], commit)


def _clean_commit(root: Path) -> str:
    """Return the id of the checked-out commit; raise RefusedError if files changed."""
    commit = git.commit(root)
    if commit is None:
        raise RefusedError(
            "not a git checkout with a commit",
            "clone the repository, and deploy from there",
        )
    if git.is_dirty(root):
        changed = [
            line[3:]
            for line in (git.ask(root, "status", "--porcelain") or "").splitlines()
        ]
        raise RefusedError(
            f"the tree is dirty: {', '.join(changed[:5])}",
            f"commit or stash it, then {BUILD} and deploy again",
        )
    return commit


def _refuse_other_files(root: Path, sums: Mapping[str, str]) -> None:
    """Compare the files of `dist/` with their checksums, in both directions."""
    for path in sorted((root / DIST).glob("*")):
        if path.is_file() and path.name not in sums:
            raise RefusedError(f"{DIST}/{path.name} is not in {CHECKSUMS}", BUILD)
    for name, expected in sums.items():
        path = root / DIST / name
        if not path.is_file():
            raise RefusedError(
                f"{DIST}/{name} is missing, which {CHECKSUMS} names", BUILD
            )
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise RefusedError(
                f"{DIST}/{name} differs from the built file: its sha256 does not match",
                BUILD,
            )


def _sums(root: Path) -> dict[str, str]:
    try:
        lines = (root / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except OSError:
        raise RefusedError(
            f"{CHECKSUMS} is missing: nothing was built here", BUILD
        ) from None
    matches = [LINE.fullmatch(line) for line in lines]
    if not lines or not all(matches):
        raise RefusedError(f"{CHECKSUMS} is not a list of checksums", BUILD)
    return {match[2]: match[1] for match in matches if match}


def _metadata(wheel: Path) -> tuple[str, str]:
    """Return the name and the version in a wheel's metadata."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            [name] = [
                each
                for each in archive.namelist()
                if each.endswith(".dist-info/METADATA")
            ]
            metadata = Parser().parsestr(
                archive.read(name).decode("utf-8"), headersonly=True
            )
    except (OSError, ValueError, zipfile.BadZipFile):
        raise RefusedError(f"{DIST}/{wheel.name} is not a wheel", BUILD) from None
    return str(metadata["Name"]), str(metadata["Version"])


def _is_of(root: Path, version: str, commit: str) -> bool:
    """Return whether a version belongs to a commit.

    The version contains the commit's id, or a tag of the commit names the version.
    """
    match = re.search(r"\+g([0-9a-f]+)$", version)
    if match:
        return len(match[1]) >= SHORT and commit.startswith(match[1])
    return f"v{version}" in (git.ask(root, "tag", "--points-at", commit) or "").split()
