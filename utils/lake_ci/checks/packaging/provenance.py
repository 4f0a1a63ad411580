"""Verifies the built files, and verifies that GitHub built them from this commit.

The session `verify` runs these checks before a release. The session `deploy` runs these
checks before it connects to a workspace.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from lake_ci.deploy import artifacts
from lake_ci.deploy.artifacts import Artifacts
from lake_ci.deploy.errors import RefusedError
from lake_ci.model.results import Finding, Outcome, Status
from lake_ci.runner.check import Check, CheckContext, stopped
from lake_ci.system import git
from lake_ci.system.processes import Completed

# The signature that the job `build` on GitHub creates, and `artifacts-in` downloads.
BUNDLE = "reports/build/attestation.json"
WORKFLOW = ".github/workflows/ci.yml"
REBUILD = "rerun the job `build` on GitHub, and use all of its artifacts"
ORIGIN = re.compile(r"github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?$")


class ArtifactsCheck(Check):
    """Compare the wheel and the sdist with checksums, RECORD, metadata and result.json.

    Attributes:
        built: the verified files; None before the check, and after a failure.
    """

    name = "artifacts"
    exclusive = True

    def __init__(self) -> None:
        self.built: Artifacts | None = None

    def run(self, ctx: CheckContext) -> Outcome:
        try:
            built = self.built = artifacts.verify(ctx.root)
        except RefusedError as error:
            line = None if error.file is None else 1
            finding = Finding(self.name, "refused", str(error), error.file, line)
            detail = str(error).splitlines()[0]
            return Outcome(Status.FAILURE, detail, (finding,))
        return Outcome(
            Status.SUCCESS,
            f"{built.wheel.name}, sha256 {built.sha256[:12]}, of {built.commit[:12]}",
        )


class AttestationCheck(Check):
    """Check with `gh` that the workflow of this repository built the files on GitHub.

    If `gh` or the signature is missing, the check fails on GitHub. On any other
    machine, the check is skipped, because only GitHub signs builds.

    Attributes:
        passed: whether the check found no problem.
    """

    name = "attestation"
    exclusive = True

    def __init__(self, built: Artifacts) -> None:
        self.built = built
        self.passed = False

    def run(self, ctx: CheckContext) -> Outcome:
        gh, repository = shutil.which("gh", path=ctx.env.get("PATH")), _repository(ctx)
        missing = _missing(ctx, gh, repository)
        if missing is not None:
            if is_attested(ctx.env):
                return Outcome.failure(self.name, "missing", missing)
            self.passed = True
            message = f"only GitHub can prove who built the files; {missing}"
            return Outcome(Status.SKIPPED, message)
        for file in (self.built.wheel, self.built.sdist):
            done = ctx.execute(self._command(str(gh), repository, ctx.relative(file)))
            outcome = stopped(self.name, done) or self._refused(file, done, ctx)
            if outcome is not None:
                return outcome
        self.passed = True
        commit = self.built.commit[:12]
        return Outcome(Status.SUCCESS, f"GitHub built 2 files of {commit}")

    def _command(self, gh: str, repository: str, file: str) -> list[str]:
        verify = [gh, "attestation", "verify", file, "--bundle", BUNDLE]
        signer = ["--repo", repository, "--signer-workflow", f"{repository}/{WORKFLOW}"]
        source = ["--source-digest", self.built.commit, "--deny-self-hosted-runners"]
        return [*verify, *signer, *source, "--format", "json"]

    def _refused(
        self, file: Path, done: Completed, ctx: CheckContext
    ) -> Outcome | None:
        """Return the failure of a file without a verified attestation, or None.

        Before version 2.67, `gh` exits with 0 even if it has verified no attestation.
        """
        if done.code == 0 and _names_digest(done.stdout, file):
            return None
        why = done.last_lines() if done.code else "gh found no attestation of this file"
        name = ctx.relative(file)
        message = f"{name}: its origin is not proven; {REBUILD}\n{why}"
        finding = Finding(self.name, "unproven", message, name, 1)
        return Outcome(Status.FAILURE, f"{name}: its origin is not proven", (finding,))


def stages(*, attested: bool = True) -> Generator[Sequence[Check], None, bool]:
    """Yield the checks of the built files; return whether all passed.

    Args:
        attested: whether GitHub must have built the files.
    """
    files = ArtifactsCheck()
    yield [files]
    if files.built is None or not attested:
        return files.built is not None
    attestation = AttestationCheck(files.built)
    yield [attestation]
    return attestation.passed


def is_attested(env: Mapping[str, str]) -> bool:
    """Return whether this is a run on GitHub in which the build signs its files.

    The build of a pull request signs nothing, because the build lacks the permission.
    """
    return (
        env.get("GITHUB_ACTIONS") == "true"
        and env.get("GITHUB_EVENT_NAME") != "pull_request"
    )


def _missing(ctx: CheckContext, gh: str | None, repository: str) -> str | None:
    """Return what the verification lacks and which command to run next, or None."""
    if not (ctx.root / BUNDLE).is_file():
        return f"{BUNDLE} is missing: {REBUILD}"
    if gh is None:
        return "gh is missing: install the GitHub CLI from https://cli.github.com"
    if not repository:
        return "the repository is unknown: set GITHUB_REPOSITORY=OWNER/NAME"
    return None


def _repository(ctx: CheckContext) -> str:
    """Return `OWNER/NAME` of this repository on GitHub; empty if it is unknown."""
    match = ORIGIN.search(git.ask(ctx.root, "remote", "get-url", "origin") or "")
    return ctx.env.get("GITHUB_REPOSITORY") or (match[1] if match else "")


def _names_digest(text: str, file: Path) -> bool:
    """Return whether a verified attestation in gh's output names the file's sha256."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    try:
        return any(
            subject["digest"]["sha256"] == digest
            for entry in json.loads(text)
            for subject in entry["verificationResult"]["statement"]["subject"]
        )
    except (ValueError, KeyError, TypeError):
        return False
