"""Checks that a commit is on `main`, where every commit has been reviewed."""

from __future__ import annotations

from pathlib import Path

from lake_ci.model.job import MAIN
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import Check, CheckContext
from lake_ci.system import git


class CommitOnMain(Check):
    """Check that the commit is on `origin/main`; if that branch is missing, on `main`.

    Args:
        purpose: the end of the message `only a reviewed commit may ...`, such as `be
            deployed to production`.
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
        short, shown = commit[:12], branch.split("/", 2)[2]
        if not self.passed:
            incomplete = (
                "; the clone is shallow, so fetch all with `git fetch --unshallow`"
                if git.is_shallow(ctx.root)
                else ""
            )
            message = (
                f"commit {short} is not on {shown}: only a reviewed commit may"
                f" {self.purpose}; merge it first{incomplete}"
            )
            return Outcome.failure(self.name, "unreviewed", message)
        return Outcome(Status.SUCCESS, f"{short} is on {shown}")


def reviewed_branch(root: Path) -> str | None:
    """Return the full name of `origin/main`, or of `main` if there is no `origin/main`.

    The full name is used because a local branch or tag may also be called
    `origin/main`. `origin/main` is preferred to `main`, because a local commit changes
    only `main`. The result is None if the clone has neither `origin/main` nor `main`.
    """
    names = (f"refs/remotes/origin/{MAIN}", f"refs/heads/{MAIN}")
    return next(
        (name for name in names if git.ask(root, "rev-parse", "-q", "--verify", name)),
        None,
    )
