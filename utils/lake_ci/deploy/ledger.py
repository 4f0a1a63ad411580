"""Stores the ledger of deploys, and the pending file of a deploy that has not ended.

The ledger has one file for each entry. Entries are never overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lake_ci.deploy.client import Workspace
from lake_ci.deploy.errors import StepError, WorkspaceError

# The kinds of entries that change the deployed version. The third kind, `returned`,
# records a deploy that was undone.
LIVE = ("deploy", "rollback")


@dataclass(frozen=True)
class DeployRun:
    """A one-time run of a deploy, with the run's time window in ms since 1970.

    `tasks` are the ids of the run's tasks. Databricks records the id of the run or task
    in each commit to a table. A commit without an id belongs to the run if the time of
    the commit is in the time window. `ended` is 0 while the run is active.
    """

    id: int
    started: int
    ended: int
    tasks: Sequence[int] = ()


@dataclass(frozen=True)
class LedgerEntry:
    """One entry of the ledger.

    Attributes:
        number: the position of the entry, from 1.
        kind: `deploy`, `rollback`, or `returned` for a deploy that failed and was
            undone.
        id: the id of the deploy that wrote the entry.
        folder: the release's folder on the volume; None if a rollback removed the
            package.
        version, commit, sha256: the wheel's version, commit and digest.
        previous: the number of the entry that was current before this deploy.
        tables: the Delta version of each table before the scripts of the job ran.
        runs: the one-time runs of the deploy.
        gold: the row counts and sums of the gold tables after the deploy.
        said: a text that tells the user which parts were undone, and which parts could
            not be undone.
    """

    number: int
    kind: str
    id: str
    folder: str | None
    version: str | None
    commit: str | None
    sha256: str | None
    cluster: str
    runtime: str
    by: str
    started: str
    finished: str
    job: int | None = None
    previous: int | None = None
    tables: Mapping[str, int] = field(default_factory=dict)
    runs: Sequence[DeployRun] = ()
    gold: Mapping[str, Any] = field(default_factory=dict)
    said: str = ""


@dataclass(frozen=True)
class Pending:
    """A deploy that has begun but not ended.

    The pending file in the workspace stores this data, so that the next deploy can
    resume or undo an interrupted deploy.

    Attributes:
        id: the id of the deploy, and of its entry in the ledger.
        kind: the kind of the deploy's entry in the ledger.
        folder: the folder of the release to deploy; for a rollback, of the release to
            remove.
        attempt: how often the scripts were started. The idempotency token of their run
            contains this number.
        tables: see `LedgerEntry.tables`; None until the versions are known.
        runs: see `LedgerEntry.runs`.
        job: the settings of the scheduled job before the deploy, if the job existed.
        restoring: the idempotency token of the run that restores the tables; empty
            until the deploy is undone and this run starts.
    """

    id: str
    kind: str
    folder: str | None
    version: str | None
    attempt: int = 1
    tables: Mapping[str, int] | None = None
    runs: Sequence[DeployRun] = ()
    job: Mapping[str, Any] | None = None
    restoring: str = ""


class Ledger:
    """The ledger of an environment, in a folder on the volume."""

    def __init__(self, workspace: Workspace, base: str) -> None:
        self._workspace = workspace
        self._folder = f"{base}/ledger"
        self._pending = f"{base}/pending.json"

    def current(self) -> LedgerEntry | None:
        """Return the entry of the deployed release; None before the first deploy.

        The entry's `folder` is None if a rollback removed the package.
        """
        for number in reversed(self._numbers()):
            entry = self.entry(number)
            if entry.kind in LIVE:
                return entry
        return None

    def entries(self) -> list[LedgerEntry]:
        """Return all entries, oldest first."""
        return [self.entry(number) for number in self._numbers()]

    def entry(self, number: int) -> LedgerEntry:
        """Return the entry with this number. Raises StepError if this fails."""
        content = self._workspace.read(self._path(number))
        try:
            body = json.loads(content or b"")
            return LedgerEntry(**{**body, "runs": _runs(body)})
        except (ValueError, TypeError, KeyError):
            raise StepError(
                f"the ledger's entry {self._path(number)} cannot be read"
            ) from None

    def append(self, entry: LedgerEntry) -> LedgerEntry:
        """Write an entry with the next number, and return the entry.

        If this deploy wrote its entry before it was interrupted, writes nothing and
        returns this entry.
        """
        numbers = self._numbers()
        if (
            numbers
            and (last := self.entry(numbers[-1])).id == entry.id
            and last.kind == entry.kind
        ):
            return last
        numbered = replace(entry, number=(numbers[-1] if numbers else 0) + 1)
        path = self._path(numbered.number)
        content = json.dumps(asdict(numbered), indent=1).encode()
        if (
            not self._workspace.write(path, content, overwrite=False)
            and self._workspace.read(path) != content
        ):
            raise StepError(f"another process wrote {path}")
        return numbered

    def pending(self) -> Pending | None:
        """Read the pending deploy; None if no deploy is pending.

        Raises StepError if the file cannot be read.
        """
        content = self._workspace.read(self._pending)
        if content is None:
            return None
        try:
            body = json.loads(content)
            return Pending(**{**body, "runs": _runs(body)})
        except (ValueError, TypeError, KeyError):
            raise StepError(f"{self._pending} cannot be read") from None

    def note(self, pending: Pending) -> None:
        """Store the progress of a deploy in the pending file."""
        self._workspace.write(
            self._pending, json.dumps(asdict(pending)).encode(), overwrite=True
        )

    def forget(self) -> None:
        """Delete the pending file, because the deploy has ended."""
        self._workspace.delete(self._pending)

    def _numbers(self) -> list[int]:
        names = [
            name.removesuffix(".json") for name in self._workspace.names(self._folder)
        ]
        if not all(name.isdigit() for name in names):
            raise WorkspaceError(
                f"{self._folder} contains files that are not entries:"
                f" {', '.join(names)}"
            )
        return sorted(int(name) for name in names)

    def _path(self, number: int) -> str:
        return f"{self._folder}/{number:06d}.json"


def _runs(body: Mapping[str, Any]) -> tuple[DeployRun, ...]:
    return tuple(
        DeployRun(**{**run, "tasks": tuple(run["tasks"])}) for run in body["runs"]
    )


def release_stack(entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """Return the successful deploys that no rollback has undone, oldest first.

    The last entry describes the current release. A rollback undoes all entries after
    its target.
    """
    stack: list[LedgerEntry] = []
    for entry in entries:
        if entry.kind == "rollback":
            while stack and stack[-1].folder != entry.folder:
                stack.pop()
        elif entry.kind == "deploy" and (not stack or stack[-1].folder != entry.folder):
            stack.append(entry)
    return stack
