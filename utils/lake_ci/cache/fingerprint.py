"""Computes the fingerprint of a session from all inputs of the session's result.

Two runs with the same fingerprint have the same result. If an input of a session cannot
be determined, the session runs.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cached_property
from pathlib import Path

from lake_ci.cache.external_inputs import Machine, UnknownInputError
from lake_ci.cache.file_hashes import Tree, restorable, tree_digest
from lake_ci.errors import BadResultError
from lake_ci.model import results
from lake_ci.model.job import Graph, Job, Variant
from lake_ci.model.results import FILE_NAME, REPORTS, Status
from lake_ci.system import git

# Increase this number after a change to the set of inputs that a fingerprint covers.
# Then results that an older version of the suite has cached are no longer found.
SCHEMA = 1
# Files that are inputs of every job, although no job declares them.
SUITE = ("noxfile.py", "pyproject.toml", "requirements/*", "utils/lake_ci/*")


@dataclass(frozen=True)
class Fingerprint:
    """The inputs of a session's result.

    Attributes:
        variant: the session.
        inputs: the digest of each input; a key is the name of an input (`variable TZ`,
            `external advisories`). All files together are one input, `files`.
        tree: the files that are inputs of the session.
        unknown_input: the reason why an input cannot be determined; None if all inputs
            are known.
    """

    variant: Variant
    inputs: Mapping[str, str] = field(default_factory=dict)
    tree: Tree | None = None
    unknown_input: str | None = None

    @cached_property
    def id(self) -> str:
        """The sha256 of all inputs."""
        return hashlib.sha256(listing(self.inputs)).hexdigest()

    @cached_property
    def each(self) -> dict[str, str]:
        """The digests of all inputs; every file is an input (`file README.md`)."""
        files = self.tree.files() if self.tree is not None else {}
        rest = {name: digest for name, digest in self.inputs.items() if name != "files"}
        return {**{f"file {name}": digest for name, digest in files.items()}, **rest}

    def same_moment(self, other: Fingerprint) -> bool:
        """Return whether the inputs are equal, and no file was written in between."""
        moments = [
            each.tree.moment if each.tree is not None else None
            for each in (self, other)
        ]
        return self.id == other.id and moments[0] == moments[1]

    def differences(self, before: Mapping[str, str]) -> list[str]:
        """Return how the inputs differ from the inputs of another run, files first."""
        found = []
        now = self.each
        for name in sorted(
            {*before, *now}, key=lambda name: (not name.startswith("file "), name)
        ):
            if name not in before:
                found.append(f"{_shown(name)} is new")
            elif name not in now:
                found.append(f"{_shown(name)} was removed")
            elif now[name] != before[name]:
                found.append(f"{_shown(name)} {_how(before[name], now[name])}")
        return found


class Fingerprints:
    """The fingerprints of the sessions of one checkout at one moment.

    Files are listed and read only once for all sessions.

    Args:
        environment: a function that returns the folder of a session's environment, or
            None if the session has no environment.
    """

    def __init__(
        self,
        graph: Graph,
        machine: Machine,
        environment: Callable[[Variant], Path | None] = lambda _: None,
    ) -> None:
        self.graph = graph
        self.machine = machine
        self.environment = environment
        self._trees: dict[tuple[str, ...], Tree] = {}
        self._external_digests: dict[str, str] = {}
        self._left: dict[str, Mapping[str, str]] = {}

    def assume(self, variant: Variant, files: Mapping[str, str]) -> None:
        """Assume that a session's output consists of the files with these digests.

        The session's output in the checkout is then ignored.
        """
        self._left[variant.id] = files

    def of(self, variant: Variant) -> Fingerprint:
        """Return the fingerprint of a session.

        If an input cannot be determined, the field `unknown_input` of the fingerprint
        contains the reason.
        """
        job = variant.job
        try:
            tree = self._tree(job)
            inputs = {"files": tree.digest}
            inputs |= {
                f"variable {name}": text for name, text in self._variables(job).items()
            }
            inputs |= {
                f"machine {name}": text for name, text in self.machine.common.items()
            }
            inputs |= {
                f"external {name}": self._external(name) for name in job.external_inputs
            }
            inputs |= {
                f"git {name}": text
                for name, text in (self._git if job.history else {}).items()
            }
            inputs |= self._taken(job)
            if variant.python is not None:
                inputs["Python"] = self.machine.interpreter(
                    variant.python, self.environment(variant)
                )
            inputs["session"] = f"{SCHEMA} {variant.session}"
        except UnknownInputError as error:
            return Fingerprint(variant, unknown_input=str(error))
        except OSError as error:
            return Fingerprint(
                variant, unknown_input=f"{error.filename or job.name}: {error.strerror}"
            )
        return Fingerprint(variant, inputs, tree)

    @cached_property
    def listed(self) -> list[str]:
        """The files that git tracks, and untracked files that git does not ignore.

        Deleted tracked files are included. Raises UnknownInputError if git cannot list
        the files.
        """
        command = git.command(
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "--deduplicate",
        )
        # git writes its output to a file. If it wrote to a pipe, it would have to wait
        # when the pipe is full, because this process reads other files first.
        with tempfile.TemporaryFile() as output:
            try:
                listing_process = subprocess.Popen(
                    command,
                    cwd=self.machine.root,
                    env=git.variables(),
                    stdout=output,
                    stderr=subprocess.DEVNULL,
                )
            except OSError as error:
                raise UnknownInputError(f"git: {error.strerror}") from None
            with listing_process:
                self.machine.digests.look_ahead()
            if listing_process.returncode != 0:
                raise UnknownInputError("not a git checkout")
            output.seek(0)
            text = output.read().decode("utf-8", "surrogateescape")
        if "/\0" in text:
            nested = next(name for name in text.split("\0") if name.endswith("/"))
            raise UnknownInputError(
                f"{nested} is a nested repository: git does not list its files"
            )
        return sorted(text.split("\0")[:-1])

    def selected(self, job: Job) -> list[str]:
        """Return the listed files that are inputs of a job.

        If the job declares no inputs, all listed files are its inputs.
        """
        if not job.inputs:
            return self.listed
        matches = matcher((*job.inputs, *SUITE))
        return [name for name in self.listed if matches(name)]

    def _tree(self, job: Job) -> Tree:
        if job.inputs not in self._trees:
            self._trees[job.inputs] = self.machine.digests.tree(self.selected(job))
        return self._trees[job.inputs]

    def _variables(self, job: Job) -> dict[str, str]:
        return self.machine.variables(job.variables)

    def _external(self, name: str) -> str:
        if name not in self._external_digests:
            self._external_digests[name] = self.machine.external(name)
        return self._external_digests[name]

    @cached_property
    def _git(self) -> dict[str, str]:
        """The inputs from git, for jobs that need the whole history.

        These jobs read the version, the date and the URL from git.
        """
        root = self.machine.root
        dirty = git.is_dirty(root)
        tags = (
            git.ask(
                root, "for-each-ref", "--format=%(refname) %(objectname)", "refs/tags"
            )
            or ""
        )
        return {
            "commit": git.commit(root) or "none",
            "tags": hashlib.sha256(tags.encode("utf-8", "surrogateescape")).hexdigest(),
            "origin": hashlib.sha256(
                (git.ask(root, "remote", "get-url", "origin") or "").encode()
            ).hexdigest(),
            "shallow": str(git.is_shallow(root)),
            # If there are uncommitted changes, the version may contain the date.
            "uncommitted changes": f"some, {self.machine.today}" if dirty else "none",
        }

    def _taken(self, job: Job) -> dict[str, str]:
        """Return the digests of the files that a job reads from other jobs.

        If another job runs again with the same output, these digests stay the same.
        """
        found: dict[str, str] = {}
        for need in job.artifacts_from:
            for variant in self.graph.jobs[need].variants:
                left = self._left.get(variant.id)
                if left is None:
                    left = self.machine.outside.of(taken(self.machine.root, variant))
                found |= {f"taken {name}": restorable(left[name]) for name in left}
        return found


def taken(root: Path, variant: Variant) -> list[str]:
    """Return those output files of a session that are inputs of other jobs.

    Raises UnknownInputError unless the last run of the session was complete and passed.
    """
    folder = root / REPORTS / variant.id
    try:
        result = results.read(folder)
    except BadResultError:
        raise UnknownInputError(f"{variant.session} has no result") from None
    if result.status not in (Status.SUCCESS, Status.WARNING):
        raise UnknownInputError(f"{variant.session} did not pass")
    if result.partial:
        raise UnknownInputError(f"{variant.session} was only run partially")
    found = list(below(folder))
    if "dist/" in variant.job.reports:
        found += below(root / "dist")
    return sorted(path.relative_to(root).as_posix() for path in found)


def below(folder: Path) -> Iterable[Path]:
    """Return the files of a reports folder or of dist/, except result.json."""
    for path, _, names in os.walk(folder):
        for name in names:
            if name != FILE_NAME or Path(path) != folder:
                yield Path(path, name)


def listing(inputs: Mapping[str, str]) -> bytes:
    """Return inputs as text, sorted by name.

    Different inputs never have the same text.
    """
    lines = "".join(f"{name}\0{inputs[name]}\0" for name in sorted(inputs))
    return lines.encode("utf-8", "surrogateescape")


def from_listing(data: bytes) -> dict[str, str]:
    """Parse a text that `listing` returned, and return the inputs."""
    parts = data.decode("utf-8", "surrogateescape").split("\0")
    return dict(zip(parts[0::2], parts[1::2]))


def id_of(data: bytes) -> str:
    """Return the id of the fingerprint whose inputs `listing` has written to a text.

    The text lists each file as a separate input. The id is empty if `listing` did not
    write the text.
    """
    *parts, end = data.decode("utf-8", "surrogateescape").split("\0")
    names = parts[0::2]
    if end or len(parts) % 2 or names != sorted(set(names)) or "files" in names:
        return ""
    files: dict[str, str] = {}
    rest: dict[str, str] = {}
    for name, digest in zip(names, parts[1::2]):
        if name[:5] == "file ":
            files[name[5:]] = digest
        else:
            rest[name] = digest
    return hashlib.sha256(listing({**rest, "files": tree_digest(files)})).hexdigest()


def matcher(patterns: Sequence[str]) -> Callable[[str], object]:
    """Return a function that tests whether a path matches one of these patterns.

    `*` matches slashes as well.
    """
    return re.compile("|".join(translate(pattern) for pattern in patterns)).match


def _shown(name: str) -> str:
    """Return an input's name for messages, without its kind if the kind is obvious."""
    return re.sub("^(?:file|machine|taken|external) ", "", name)


def _how(before: str, now: str) -> str:
    """Return the old and the new mode if only the mode differs, or else `changed`."""
    if before[:4] == "link" or now[:4] == "link" or " " not in before or " " not in now:
        return "changed"
    (old_mode, _, old), (new_mode, _, new) = before.partition(" "), now.partition(" ")
    if old == new and old_mode.isdigit() and new_mode.isdigit():
        return f"has mode {new_mode}, not {old_mode}"
    return "changed"
