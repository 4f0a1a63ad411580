"""Builds and installs the two versions to measure: this checkout and the baseline."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lake_ci.checks.packaging.packaging import build_env, no_version
from lake_ci.errors import LakeCiError, UsageError
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import Check, CheckContext, stopped_or_crashed
from lake_ci.system import git
from lake_ci.system.environment import Environment, uv_program

PURPOSE = "performance"
LOCK = f"requirements/{PURPOSE}.txt"
SUITE = "utils/lake_ci"
WORK = ".cache/performance"
TREE = f"{WORK}/old/tree"
NOTHING = "0" * 40


@dataclass
class Reference:
    """The commit to compare with, and why it was chosen; or why there is no commit."""

    commit: str | None
    why: str


def reference(
    root: Path, env: Mapping[str, str], requested: str | None = None
) -> Reference:
    """Return the commit to compare with.

    If a commit is requested, return this commit. If no commit is requested, and the run
    is for a push, return the commit before the push. In any other run, return the
    current commit if there are uncommitted changes, or else its first parent.

    Raises:
        UsageError: the requested commit does not exist.
    """
    if requested is not None:
        commit = _commit(root, requested)
        if commit is None:
            raise UsageError(
                f"no commit {requested!r}",
                hint="nox -s performance -- --baseline REF",
            )
        return Reference(commit, f"as --baseline {requested}")
    if git.commit(root) is None:
        return Reference(None, "not a git checkout with a commit")
    before = pushed_from(env)
    if before is not None:
        commit = _commit(root, before)
        if commit is not None:
            return Reference(commit, "the commit before this push")
    if git.is_dirty(root):
        return Reference(git.commit(root), "the commit before the uncommitted changes")
    parent = _commit(root, "HEAD^1")
    if parent is not None:
        return Reference(parent, "the first parent")
    if git.is_shallow(root):
        return Reference(
            None,
            "this clone is shallow and has no earlier commit:"
            " run `git fetch --unshallow`",
        )
    return Reference(None, "this is the first commit")


def pushed_from(env: Mapping[str, str]) -> str | None:
    """Return the commit before this push as GitHub reports it, or None."""
    if env.get("GITHUB_EVENT_NAME") != "push" or not env.get("GITHUB_EVENT_PATH"):
        return None
    try:
        before = json.loads(
            Path(env["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8")
        ).get("before")
    except (OSError, ValueError, AttributeError):
        return None
    return before if isinstance(before, str) and before != NOTHING else None


def _commit(root: Path, name: str) -> str | None:
    return (
        git.ask(
            root,
            "rev-parse",
            "--verify",
            "-q",
            "--end-of-options",
            f"{name}^{{commit}}",
        )
        or None
    )


def changed_files(root: Path, commit: str) -> set[str]:
    """Return the files that differ between a commit and the checkout.

    New files are included.
    """
    names = (
        git.ask(root, "diff", "--name-only", "--no-renames", "-z", commit) or ""
    ).split("\0")
    names += (
        git.ask(root, "ls-files", "-z", "--others", "--exclude-standard") or ""
    ).split("\0")
    return set(filter(None, names))


@dataclass
class Side:
    """One of the two measured versions.

    The paths of both versions have the same length, because the length of paths
    influences the speed of programs.

    Attributes:
        name: `old` or `new`.
        folder: the folder that contains the version's wheel and the version's copy of
            the suite.
        tree: the version's source tree.
        environment: the environment in which the version's wheel is installed; it is
            not the session's environment.
    """

    name: str
    folder: Path
    tree: Path
    environment: Environment

    @property
    def python(self) -> Path:
        return self.environment.python

    def variables(self, ctx: CheckContext) -> dict[str, str]:
        """Return the environment variables of this version's benchmarks."""
        env = {
            name: value
            for name, value in ctx.env.items()
            if not name.startswith(("PYTEST_", "PYTHON"))
        }
        return {
            **env,
            "PYTHONPATH": str(self.folder / "suite"),
            "LAKE_CI_SIDE": self.name,
            "RUST_LOG": "off",
        }


class Baseline(Check):
    """Find the commit to compare with."""

    name = "baseline"
    exclusive = True
    is_setup = True

    def __init__(self, env: Mapping[str, str], requested: str | None) -> None:
        self.env = env
        self.requested = requested
        self.commit: str | None = None

    def run(self, ctx: CheckContext) -> Outcome:
        found = reference(ctx.root, self.env, self.requested)
        self.commit = found.commit
        if found.commit is None:
            return Outcome(Status.SKIPPED, f"no baseline: {found.why}")
        return Outcome(
            Status.SUCCESS,
            f"{found.commit[:12]}, {found.why}",
            data={"commit": found.commit},
        )


class InstallVersion(Check):
    """Build the wheel of a version, and install the wheel in a separate environment."""

    exclusive = True
    is_setup = True

    def __init__(self, name: str, baseline: Baseline | None = None) -> None:
        self.name = name
        self.baseline = baseline
        self.side: Side | None = None

    def run(self, ctx: CheckContext) -> Outcome:
        if self.baseline is not None and self.baseline.commit is None:
            return Outcome(Status.SKIPPED, "no baseline")
        short = "new" if self.baseline is None else "old"
        folder = ctx.root / WORK / short
        session = ctx.python.parent.parent
        environment = Environment(session.with_name(f"{session.name}-{short}"))
        side = Side(
            short,
            folder,
            ctx.root if self.baseline is None else ctx.root / TREE,
            environment,
        )
        folder.mkdir(parents=True, exist_ok=True)
        if self.baseline is not None and self.baseline.commit is not None:
            check_out(ctx.root, side.tree, self.baseline.commit)
        if no_version(side.tree) is not None:
            return Outcome.failure(self.name, "no-version", str(no_version(side.tree)))
        outcome = self._build(ctx, side)
        if outcome is None:
            self.side = side
            [wheel] = (folder / "dist").glob("*.whl")
            return Outcome(Status.SUCCESS, wheel.name)
        return outcome

    def _build(self, ctx: CheckContext, side: Side) -> Outcome | None:
        """Build and install the version; return an outcome only if a step failed."""
        for step in (self._make_wheel, self._make_environment, self._install_wheel):
            outcome = step(ctx, side)
            if outcome is not None:
                return outcome
        suite = side.folder / "suite"
        shutil.rmtree(suite, ignore_errors=True)
        suite.mkdir()
        if (side.tree / SUITE).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(side.tree / SUITE, suite / Path(SUITE).name, ignore=ignore)
        return None

    def _make_wheel(self, ctx: CheckContext, side: Side) -> Outcome | None:
        shutil.rmtree(side.folder / "dist", ignore_errors=True)
        command = [str(ctx.python), "-m", "build", "--wheel", "--no-isolation"]
        command += ["--outdir", str(side.folder / "dist"), str(side.tree)]
        done = ctx.execute(command, env=build_env(ctx), cwd=side.tree)
        if done.code == 0:
            return None
        why = f"could not build the wheel of {self._what()}"
        return stopped_or_crashed(self.name, done, why)

    def _make_environment(self, ctx: CheckContext, side: Side) -> Outcome | None:
        """Create the environment of a version, and install the locked packages."""
        if not side.python.exists():
            make = [uv_program() or "uv", "venv", "--quiet", "--clear", "--python"]
            make += [str(ctx.python), str(side.environment.folder)]
            done = ctx.execute(make)
            if done.code != 0:
                return stopped_or_crashed(self.name, done)
        # If the version has no lock file for benchmarks, use this checkout's lock file.
        locked = side.tree if (side.tree / LOCK).exists() else ctx.root
        execute = partial(ctx.execute, cwd=locked, env=ctx.env_of("packages"))
        side.environment.install(locked, PURPOSE, execute)
        return None

    def _install_wheel(self, ctx: CheckContext, side: Side) -> Outcome | None:
        [wheel] = (side.folder / "dist").glob("*.whl")
        install = [uv_program() or "uv", "pip", "install", "--quiet", "--no-deps"]
        install += ["--no-index", "--reinstall", "--compile-bytecode"]
        install += ["--python", str(side.python), str(wheel)]
        done = ctx.execute(install)
        if done.code == 0:
            return None
        return stopped_or_crashed(self.name, done)

    def _what(self) -> str:
        if self.baseline is None or self.baseline.commit is None:
            return "this tree"
        again = (
            f"git worktree add ../baseline {self.baseline.commit[:12]} && cd"
            " ../baseline && nox -s build"
        )
        return (
            f"the baseline {self.baseline.commit[:12]} (to reproduce, run `{again}`;"
            " to use another baseline, add `--baseline REF`)"
        )


def check_out(root: Path, tree: Path, commit: str) -> None:
    """Create a git worktree of a commit at `tree`, and remove any older worktree there.

    Raises:
        LakeCiError: git failed.
    """
    remove(root, tree)
    if (
        git.ask(
            root, "worktree", "add", "--quiet", "--force", "--detach", str(tree), commit
        )
        is None
    ):
        raise LakeCiError(
            f"git could not check out {commit[:12]} into {tree}", hint="run `git fsck`"
        )


@contextmanager
def worktree(root: Path) -> Iterator[None]:
    """Remove the baseline's worktree at the end of a `with` block."""
    try:
        yield
    finally:
        remove(root, root / TREE)


def remove(root: Path, tree: Path) -> None:
    """Remove a worktree, both from the disk and from git's list of worktrees."""
    if tree.exists():
        git.ask(root, "worktree", "remove", "--force", "--force", str(tree))
    shutil.rmtree(tree, ignore_errors=True)
    git.ask(root, "worktree", "prune")
