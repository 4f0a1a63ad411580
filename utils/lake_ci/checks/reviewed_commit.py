"""Checks that what is released is a commit of the branch whose changes are reviewed."""

from __future__ import annotations

from pathlib import Path

from lake_ci.model.job import MAIN
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import Check, CheckContext
from lake_ci.system import git


class ReviewedCommit(Check):
    """Check that the commit is on `main`, or on `origin/main` if the clone has it.

    Args:
        purpose: what only a reviewed commit may do, such as `deploy to production`.
    """

    name = "reviewed"
    exclusive = True

    def __init__(self, purpose: str) -> None:
        self.purpose = purpose
        self.passed = False

    def run(self, ctx: CheckContext) -> Outcome:
        branch = reviewed_branch(ctx.root)
        commit = git.commit(ctx.root)
        if branch is None or commit is None:
            hint = f"fetch it with `git fetch origin {MAIN}`"
            message = f"the branch {MAIN} is unknown here; {hint}"
            return Outcome.failure(self.name, "no-branch", message)
        self.passed = git.is_ancestor(ctx.root, commit, branch)
        short = commit[:12]
        if not self.passed:
            incomplete = (
                "; the clone is shallow, so fetch all with `git fetch --unshallow`"
                if git.is_shallow(ctx.root)
                else ""
            )
            message = (
                f"commit {short} is not on {branch}: only a reviewed commit may"
                f" {self.purpose}; merge it first{incomplete}"
            )
            return Outcome.failure(self.name, "unreviewed", message)
        return Outcome(Status.SUCCESS, f"{short} is on {branch}")


def reviewed_branch(root: Path) -> str | None:
    """Return the branch that a reviewed commit is on: `origin/main`, or else `main`.

    A clone of GitHub has `origin/main`, which a commit on the machine cannot move.
    Return None if the clone has neither.
    """
    for branch in (f"origin/{MAIN}", MAIN):
        for kind in ("remotes", "heads"):
            if git.ask(root, "rev-parse", "-q", "--verify", f"refs/{kind}/{branch}"):
                return branch
    return None
