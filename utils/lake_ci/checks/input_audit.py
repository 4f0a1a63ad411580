"""Checks that each job reads only its declared inputs.

Each job runs in a copy of the repository; the copy contains only the job's declared
files.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from lake_ci.cache.external_inputs import Machine, UnknownInputError
from lake_ci.cache.file_hashes import Digests
from lake_ci.cache.fingerprint import Fingerprints
from lake_ci.cache.lookup import SWITCH, Mode
from lake_ci.errors import BadResultError, LakeCiError
from lake_ci.model import results
from lake_ci.model.job import Graph, Job, Variant
from lake_ci.model.results import REPORTS, Finding, Outcome, Result, Status, count
from lake_ci.runner.check import Check, CheckContext, stopped
from lake_ci.runner.options import Parser
from lake_ci.system import git
from lake_ci.system.processes import Completed

AUTHOR = (
    "-c",
    "user.name=lake_ci",
    "-c",
    "user.email=lake_ci@localhost",
    "-c",
    "commit.gpgsign=false",
)
# Folders that git ignores, and that jobs may use without a declaration. The suite
# creates these folders, and compares their contents with the lock files.
LENT = (".nox", ".cache/jars")
NAMED = 5
BACKDATED_SECONDS = 10
# Files that git reads to list the repository's files. A change of one of these files
# can change the list, too.
GITS = (".gitignore", ".gitattributes", ".mailmap")
# The parts of a row's text that differ in every run: times, sizes, and the ids that
# depend on the commit.
NOISE = re.compile(
    r"\d+(\.\d+)? ?(s|ms|min|MB|times)\b|\b(?=[0-9a-f]*\d)g?[0-9a-f]{7,}\b"
    r"|\d+\.\d+\.\d+\.dev\S+"
)
# An access time so old that any read updates it, even on a file system that updates
# access times only once a day.
UNREAD_NS = 10**9


@dataclass
class Copies:
    """One run's copies of the repository, with the artifacts that jobs write to them.

    Attributes:
        root: the repository.
        folder: the folder that contains the copies of the repository.
        left: the copy in which each passed job ran, by the job's name.
    """

    root: Path
    folder: Path
    left: dict[str, Path] = field(default_factory=dict)

    def make(self, name: str, files: Iterable[str]) -> Path:
        """Clone the repository, and add a commit of only these files of the checkout.

        The clone has the tags, history, branch and `origin` of the checkout. The new
        commit has the same date as the checkout's commit.

        Raises:
            LakeCiError: git failed.
        """
        copy = self.folder / name
        self._git(
            self.root, "clone", "--quiet", "--no-checkout", str(self.root), str(copy)
        )
        self._fill(copy, files)
        # By default, git would take the new access time of a file for a change, and
        # would read the file.
        self._git(copy, "config", "core.trustCtime", "false")
        origin = git.ask(self.root, "remote", "get-url", "origin")
        self._git(
            copy,
            "remote",
            *(["set-url", "origin", origin] if origin else ["remove", "origin"]),
        )
        self._git(copy, "add", "--all", "--force")
        moment = git.ask(self.root, "log", "-1", "--format=%cI") or ""
        dates = {"GIT_AUTHOR_DATE": moment, "GIT_COMMITTER_DATE": moment}
        self._git(
            copy,
            *AUTHOR,
            "commit",
            "--quiet",
            "--allow-empty",
            f"--message={name}",
            env=dates,
        )
        self._lend(copy)
        return copy

    def _fill(self, copy: Path, files: Iterable[str]) -> None:
        """Copy files of the checkout, including uncommitted changes."""
        for file in files:
            target = copy / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.root / file, target, follow_symlinks=False)
            # git rereads files that are newer than its index. The check would take
            # git's reads for reads by the job.
            backdated = time.time() - BACKDATED_SECONDS
            if target.lstat().st_mtime > backdated:
                os.utime(target, (backdated, backdated), follow_symlinks=False)

    def _lend(self, copy: Path) -> None:
        """Link the folders in LENT into a copy, and make git ignore the links."""
        for lent in LENT:
            (self.root / lent).mkdir(parents=True, exist_ok=True)
            (copy / lent).parent.mkdir(parents=True, exist_ok=True)
            (copy / lent).symlink_to(self.root / lent)
        exclude = copy / ".git" / "info" / "exclude"
        exclude.write_text("".join(f"/{lent}\n" for lent in LENT), encoding="utf-8")

    def take(self, copy: Path, job: Job, graph: Graph) -> str | None:
        """Copy the artifacts that a job needs to the job's copy of the repository.

        Each artifact comes from the copy in which the needed job ran.

        Returns:
            The first needed job that has not passed, or None.
        """
        for need in job.artifacts_from:
            if need not in self.left:
                return need
            for variant in graph.jobs[need].variants:
                source = self.left[need] / REPORTS / variant.id
                if source.is_dir():
                    shutil.copytree(source, copy / REPORTS / variant.id)
            if "dist/" in graph.jobs[need].reports:
                shutil.copytree(self.left[need] / "dist", copy / "dist")
        return None

    def _git(
        self, folder: Path, *arguments: str, env: Mapping[str, str] | None = None
    ) -> None:
        done = subprocess.run(
            git.command(*arguments),
            cwd=folder,
            env={**git.variables(), **(env or {})},
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise LakeCiError(
                f"git {arguments[0]} failed in a copy of the repository:"
                f" {done.stderr.strip()}"
            )


class InputAudit(Check):
    """Check that a job has the same result if only the job's declared inputs exist."""

    exclusive = True

    def __init__(self, graph: Graph, variant: Variant, copies: Copies) -> None:
        self.graph = graph
        self.variant = variant
        self.copies = copies
        self.name = variant.job.name

    def run(self, ctx: CheckContext) -> Outcome:
        job = self.variant.job
        if job.never_cached:
            return Outcome(Status.SKIPPED, "not checked: the job is never cached")
        every, declared = self.files(ctx)
        narrow = self.copies.make(f"{job.name}-declared", declared)
        done, result = self.run_job(ctx, narrow)
        cut = stopped(self.name, done)
        if cut is not None:
            return cut
        if isinstance(result, str):
            return Outcome(Status.WARNING, result, not_checked=result)
        words = f"{count(len(declared), 'file')} of {len(every):,}"
        if len(declared) == len(every):
            return self.whole(result, done, words)
        full = self.copies.make(f"{job.name}-all", every)
        unread = mark_unread(full, set(every) - set(declared))
        _, expected = self.run_job(ctx, full)
        if isinstance(expected, str):
            return Outcome(Status.WARNING, expected, not_checked=expected)
        if same_result(result, expected):
            return self.whole(result, done, words)
        absent = sorted(set(every) - set(declared))
        return self.missed(result, expected, done, absent, were_read(full, unread))

    def files(self, ctx: CheckContext) -> tuple[list[str], list[str]]:
        """Return all files of the checkout, and the files that are inputs of the job.

        Raises LakeCiError.
        """
        digests = Digests(ctx.root, ctx.root / ".cache" / "digests")
        prints = Fingerprints(
            self.graph, Machine(ctx.root, ctx.env, digests, date.today())
        )
        try:
            here = [name for name in prints.listed if os.path.lexists(ctx.root / name)]
            return here, [
                name for name in prints.selected(self.variant.job) if name in set(here)
            ]
        except UnknownInputError as error:
            raise LakeCiError(str(error)) from None

    def run_job(self, ctx: CheckContext, copy: Path) -> tuple[Completed, Result | str]:
        """Run the job in a copy; return the job's result, or why it did not run."""
        job = self.variant.job
        absent = self.copies.take(copy, job, self.graph)
        if absent is not None:
            message = f"not run: it reads artifacts of {absent}, which did not pass"
            return Completed((), 0, "", "", 0.0), message
        env = {**ctx.env_of("suite"), SWITCH: Mode.OFF.value}
        # Pass the real path of `.nox`: nox writes this path into new environments, and
        # the environments are still used after the copy has been removed.
        lent = f"--envdir={(copy / '.nox').resolve()}"
        done = ctx.execute(
            [sys.executable, "-m", "nox", lent, "-s", self.variant.session],
            cwd=copy,
            env=env,
        )
        try:
            result = results.read(copy / REPORTS / self.variant.id)
        except BadResultError:
            return done, f"not run: {done.last_lines(3) or 'no result was written'}"
        if passed(result):
            self.copies.left.setdefault(job.name, copy)
        return done, result

    def whole(self, result: Result, done: Completed, words: str) -> Outcome:
        """Return the outcome of a job for which no undeclared input was found."""
        if passed(result):
            weak = [check.not_checked for check in result.checks if check.not_checked]
            if weak:
                return Outcome(
                    Status.WARNING, f"{words}; {weak[0]}", not_checked=weak[0]
                )
            return Outcome(Status.SUCCESS, words)
        message = f"{self.variant.session} fails in a copy of all files that git lists"
        hint = (
            f"either it also fails in the checkout (run `{self.variant.reproduce}`),"
            " or it reads a file that git ignores"
        )
        return Outcome(
            Status.FAILURE,
            message,
            (
                Finding(
                    self.name, "fails", f"{message}: {hint}\n{failure_text(result)}"
                ),
            ),
        )

    def missed(
        self,
        result: Result,
        expected: Result,
        done: Completed,
        absent: Sequence[str],
        read: Sequence[str],
    ) -> Outcome:
        """Return the failure of a job that reads undeclared files."""
        text = f"{failure_text(result)}\n{done.stdout}\n{done.stderr}".replace(
            f"{self.copies.folder}/{self.name}-declared/", ""
        )
        named = named_in(text, absent)
        likely = [name for name in named if name in read] or named or list(read)
        message = (
            f"{self.variant.session} has a different result without undeclared files"
        )
        hint = f"add them to `inputs` of {self.name} in noxfile.py"
        changed = "; ".join(differing(result, expected)) or "other artifacts"
        if not likely:
            words = f"{message} ({changed}); find out which it reads, and {hint}"
            return Outcome(
                Status.FAILURE, message, (Finding(self.name, "undeclared", words),)
            )
        findings = [
            Finding(
                self.name,
                "undeclared",
                f"{name} is read but not declared ({changed}); {hint}",
                file=name,
            )
            for name in likely[:NAMED]
        ]
        more = len(likely) - NAMED
        detail = f"reads {', '.join(likely[:NAMED])}" + (
            f", and {count(more, 'more file')}" if more > 0 else ""
        )
        return Outcome(Status.FAILURE, detail, tuple(findings))


@dataclass(frozen=True)
class InputAuditOptions:
    """The options of `nox -s inputs`: the jobs to check; if empty, all jobs."""

    jobs: Sequence[str]

    @property
    def partial(self) -> bool:
        """Whether only the selected jobs are checked."""
        return bool(self.jobs)


def parser() -> Parser:
    """Return the parser of the options of `nox -s inputs`."""
    parser = Parser("nox -s inputs --", "Run each job with only its declared inputs.")
    parser.add_argument("jobs", nargs="*", metavar="JOB", help="only this job")
    return parser


def options(posargs: Sequence[str]) -> InputAuditOptions:
    """Parse the options after `--`. Raises UsageError."""
    return InputAuditOptions(parser().parse_args(list(posargs)).jobs)


def chosen(graph: Graph, names: Sequence[str], itself: str) -> list[Variant]:
    """Return, for each job, the session with the newest Python and Java.

    Args:
        names: the jobs to check; if empty, all jobs.
        itself: the job that runs this check.

    Raises:
        UsageError: a job does not exist.
    """
    jobs = [graph.named(name) for name in names] or [
        job for job in graph if job.name != itself
    ]
    # Add the jobs whose artifacts the chosen jobs read.
    wanted = {need for job in jobs for need in job.artifacts_from} | {
        job.name for job in jobs
    }
    return [job.variants[-1] for job in graph if job.name in wanted]


def checks(
    graph: Graph, root: Path, names: Sequence[str], folder: str | Path, itself: str
) -> list[Check]:
    """Return a check for each of these jobs.

    Args:
        folder: a folder for the copies. The folder must be outside the checkout,
            because tools search parent folders for settings.
    """
    copies = Copies(root, Path(folder))
    return [
        InputAudit(graph, variant, copies) for variant in chosen(graph, names, itself)
    ]


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder for the copies of the repository."""
    return tempfile.TemporaryDirectory(prefix="lake-ci-inputs-")


def passed(result: Result) -> bool:
    """Return whether a job has passed, so that its artifacts may be used."""
    return result.status in (Status.SUCCESS, Status.WARNING)


def same_result(one: Result, other: Result) -> bool:
    """Return whether two results of a job agree in rows, findings and artifacts."""
    return not differing(one, other) and _files(one) == _files(other)


def differing(one: Result, other: Result) -> list[str]:
    """Return the rows that differ between two results, with both results' values."""
    first, second = _rows(one), _rows(other)
    absent = ("absent", "")
    found = []
    for name in dict.fromkeys([*second, *first]):
        here, there = first.get(name, absent), second.get(name, absent)
        if here != there:
            number = 0 if here[0] != there[0] else 1
            found.append(f"{name}: {here[number]!r}, not {there[number]!r}")
    return found


def _rows(result: Result) -> dict[str, tuple[str, ...]]:
    return {
        check.name: (
            check.status.value,
            NOISE.sub("…", check.detail),
            *sorted(f"{found.rule} {found.place}" for found in check.findings),
        )
        for check in result.checks
    }


def _files(result: Result) -> list[str]:
    """Return the artifacts' names without versions, which depend on the commit."""
    return sorted(
        re.sub(r"^dist/.*?(\.whl|\.tar\.gz)$", r"dist/*\1", name)
        for name in result.artifacts
    )


def failure_text(result: Result) -> str:
    """Return a text that contains a result's unsuccessful rows and their findings."""
    lines = []
    for check in result.checks:
        if check.status is not Status.SUCCESS:
            lines.append(f"{check.name}: {check.detail}")
            lines += [
                f"{found.place} {found.rule} {found.message}".strip()
                for found in check.findings
            ]
    return "\n".join(lines)


def named_in(text: str, files: Sequence[str]) -> list[str]:
    """Return the files whose relative paths occur in the text."""
    return [
        name
        for name in files
        if re.search(rf"(?<![\w./-])(?:\./)?{re.escape(name)}(?![\w-]|\.\w)", text)
    ]


def mark_unread(copy: Path, names: Collection[str]) -> list[str]:
    """Give files an old access time, so that a later read can be detected.

    Returns:
        The marked files. No file is marked if the file system does not update access
        times.
    """
    probe = copy / ".git" / "HEAD"
    os.utime(probe, ns=(UNREAD_NS, probe.stat().st_mtime_ns))
    probe.read_bytes()
    if probe.stat().st_atime_ns == UNREAD_NS:
        return []
    for name in names:
        os.utime(
            copy / name,
            ns=(UNREAD_NS, (copy / name).lstat().st_mtime_ns),
            follow_symlinks=False,
        )
    return sorted(names)


def were_read(copy: Path, marked: Iterable[str]) -> list[str]:
    """Return the marked files that were read after they were marked.

    git itself reads the files in GITS, so these files are returned only if no other
    file was read.
    """
    read = [name for name in marked if (copy / name).lstat().st_atime_ns != UNREAD_NS]
    return [name for name in read if Path(name).name not in GITS] or read
