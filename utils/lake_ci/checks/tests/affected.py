"""Selects the tests that a change may affect: the tests that ran a changed function.

Each run of a test records which functions the test ran.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from lake_ci.cache.file_hashes import Digests
from lake_ci.cache.fingerprint import matcher
from lake_ci.checks.tests.pytest import Pytest, selects
from lake_ci.checks.tests.pytest_plugins.python_blocks import REST, split
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import CheckContext
from lake_ci.system import git
from lake_ci.system.atomic_write import write_whole

OPTION = "--affected"
FOLDER = ".cache/affected"
PLUGINS = Path(__file__).with_name("pytest_plugins")
ANYTHING = "*"
# The id of the record that contains the code that runs for all tests.
EVERY_TEST = ""
# If the tests take at least this many seconds, several processes save more time than
# their start takes.
DISTRIBUTE_FROM = 30.0
# If a finding has one of these rules, the run is incomplete.
UNFINISHED = {"crash", "interrupted", "timeout"}


@dataclass(frozen=True)
class Snapshot:
    """The state of all files that tests may read.

    Attributes:
        digests: the digest of each file, by the file's path.
        blocks: the checksums of each Python file's function bodies and of its other
            code, by the file's path.
    """

    digests: Mapping[str, str]
    blocks: Mapping[str, Mapping[str, int]]

    @classmethod
    def of(
        cls, root: Path, inputs: Sequence[str], before: Snapshot | None = None
    ) -> Snapshot:
        """Return a snapshot of the repository's files that match the patterns `inputs`.

        Args:
            before: an earlier snapshot. Files that have not changed since the earlier
                snapshot are not parsed again.
        """
        matches = matcher(inputs)
        names = [name for name in git.files(root) if matches(name)]
        digests = Digests(root, root / ".cache" / "digests").of(names)
        blocks: dict[str, Mapping[str, int]] = {}
        for name in names:
            if not name.endswith(".py"):
                continue
            if before is not None and before.digests.get(name) == digests[name]:
                blocks[name] = before.blocks[name]
            else:
                source = (root / name).read_text("utf-8", "replace")
                blocks[name] = {
                    key: block.checksum for key, block in split(source).items()
                }
        return cls(digests, blocks)


@dataclass(frozen=True)
class LastRuns:
    """The records of the last run of each test.

    Attributes:
        snapshot: the state of the files at the last run.
        tests: the record of each test, by the test's id. A record contains the code
            that the test ran, the seconds, and whether the test failed. The plugin
            `record_tests` writes the records.
    """

    snapshot: Snapshot
    tests: Mapping[str, Mapping[str, Any]]

    @property
    def single_tests(self) -> dict[str, Mapping[str, Any]]:
        """The records of tests; the record of code that all tests run is left out."""
        return {name: test for name, test in self.tests.items() if name != EVERY_TEST}

    @classmethod
    def load(cls, path: Path) -> LastRuns | None:
        """Load the saved records; return None if the file is missing or unreadable."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(Snapshot(**data["snapshot"]), data["tests"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, path: Path) -> None:
        write_whole(path, json.dumps(asdict(self)))


@dataclass(frozen=True)
class Selection:
    """The tests to run.

    Attributes:
        tests: the ids of the selected tests.
        reason: why all tests were selected; None if only some tests were selected.
        unknown: whether there may be tests without a record. Such tests run, too.
    """

    tests: frozenset[str]
    reason: str | None = None
    unknown: bool = False


@dataclass(frozen=True)
class _Change:
    """A changed file, with the old and the new checksums of its blocks."""

    file: str
    old: Mapping[str, int]
    new: Mapping[str, int]

    @property
    def is_outside(self) -> bool:
        """Whether code outside of function bodies changed."""
        return not self.new or self.old.get(REST) != self.new.get(REST)

    @property
    def reached(self) -> set[str]:
        """The code blocks that this change affects. Tests that run them must run."""
        blocks = {
            key
            for key in self.old.keys() | self.new.keys()
            if self.old.get(key) != self.new.get(key)
        }
        return {ANYTHING, *(f"{self.file}::{key}" for key in (*blocks, ANYTHING))}


def select_affected(recorded: LastRuns, now: Snapshot, root: Path) -> Selection:
    """Select the tests that the changes since the last run may affect.

    A change in a function's body affects the tests that ran the function, and the tests
    that start processes. A change outside of function bodies in a test file affects all
    tests in the file. A change of any other kind affects all tests. Failed tests are
    always selected.
    """
    tests = recorded.single_tests
    changes = _changes(recorded.snapshot, now)
    reached = {need for change in changes for need in change.reached}
    reason = _widest_change(changes, now, root) or _changed_collection(
        recorded, reached
    )
    if reason is not None:
        return Selection(frozenset(tests), reason)
    modules = {change.file for change in changes if change.is_outside}

    def is_affected(name: str) -> bool:
        test = tests[name]
        return (
            test["failed"]
            or name.partition("::")[0] in modules
            or not reached.isdisjoint(test["needs"])
        )

    return Selection(frozenset(filter(is_affected, tests)), unknown=bool(modules))


def _changes(before: Snapshot, now: Snapshot) -> list[_Change]:
    return [
        _Change(name, before.blocks.get(name, {}), now.blocks.get(name, {}))
        for name in sorted(before.digests.keys() | now.digests.keys())
        if before.digests.get(name) != now.digests.get(name)
    ]


def _widest_change(changes: Iterable[_Change], now: Snapshot, root: Path) -> str | None:
    """Return why a changed file affects all tests, or None if no changed file does."""
    for change in changes:
        if not change.is_outside:
            continue
        if not change.new or not _only_holds_tests(change.file, now, root):
            both = change.old and change.new
            what = "outside its functions" if both else "since the last run"
            return f"{change.file} changed {what}"
    return None


def _changed_collection(recorded: LastRuns, reached: set[str]) -> str | None:
    """Return a message if changed code runs during collection, or else None."""
    needs = recorded.tests.get(EVERY_TEST, {}).get("needs", ())
    common = reached.intersection(needs) - {ANYTHING}
    return f"{min(common)} runs when tests are collected" if common else None


def _only_holds_tests(name: str, now: Snapshot, root: Path) -> bool:
    """Return whether a file is a test module that no other Python file mentions."""
    module = PurePosixPath(name).stem
    if not module.startswith("test_"):
        return False
    named = re.compile(rf"\b{module}\b")
    others = (root / other for other in now.blocks if other != name)
    return not any(
        named.search(other.read_text("utf-8", "replace")) for other in others
    )


class Affected(Pytest):
    """Run only the tests that a change since the last run may affect.

    If there are no records, all tests run.
    """

    def __init__(
        self, name: str, folders: Sequence[str], *, inputs: Sequence[str]
    ) -> None:
        super().__init__(name, folders)
        self.inputs = inputs
        self.selected: Sequence[Mapping[str, Any]] | None = None

    def run(self, ctx: CheckContext) -> Outcome:
        folder = self._folder(ctx)
        recorded = LastRuns.load(folder / "tests.json")
        now = Snapshot.of(
            ctx.root, self.inputs, recorded.snapshot if recorded else None
        )
        shutil.rmtree(folder / "run", ignore_errors=True)
        (folder / "run").mkdir(parents=True)
        if recorded is None:
            selection = Selection(frozenset(), unknown=True)
            message = "all tests: no earlier run with `--affected` is recorded"
        else:
            selection = select_affected(recorded, now, ctx.root)
            message = _selected_text(selection, len(recorded.single_tests))
            self.selected = [recorded.tests[name] for name in selection.tests]
            left_out = json.dumps(_left_out(recorded, selection, now))
            (folder / "run" / "leave_out.json").write_text(left_out, encoding="utf-8")
        print(f"affected: {message}", flush=True)
        if not selection.tests and not selection.unknown:
            return Outcome(Status.SUCCESS, message)
        outcome = super().run(ctx)
        if outcome.status is Status.SKIPPED:
            return Outcome(Status.SUCCESS, message)
        found = _read(sorted((folder / "run").glob("recorded-*.json")))
        if found and self._is_complete(outcome, ctx):
            unselected = (
                _unselected(recorded, selection) if recorded is not None else {}
            )
            LastRuns(now, _merged(unselected, found)).save(folder / "tests.json")
        return replace(outcome, detail=f"{outcome.detail} ({message})")

    def arguments(self, ctx: CheckContext) -> list[str] | None:
        given = super().arguments(ctx)
        return (
            None
            if given is None
            else [argument for argument in given if argument != OPTION]
        )

    def variables(self, ctx: CheckContext) -> dict[str, str]:
        path = [str(PLUGINS), *filter(None, [ctx.env.get("PYTHONPATH")])]
        return {
            "LAKE_CI_AFFECTED": str(self._folder(ctx) / "run"),
            "PYTHONPATH": os.pathsep.join(path),
        }

    def plugins(self, ctx: CheckContext) -> list[str]:
        """Return pytest's options that load the recorder and disable pytest-cov.

        The recorder and pytest-cov cannot both trace the tests.
        """
        return ["-p", "record_tests", "-p", "no:cov"]

    def distribution(self, ctx: CheckContext) -> list[str]:
        """Return the options for pytest-xdist; none if the tests take little time.

        If the tests take little time, starting several processes takes more time than
        it saves.
        """
        seconds = sum(test["seconds"] for test in self.selected or ())
        if (
            ctx.workers == 1
            or self._others(ctx)
            or (self.selected is not None and seconds < DISTRIBUTE_FROM)
        ):
            return []
        return [f"--numprocesses={ctx.workers}", "--dist=loadgroup"]

    def _is_complete(self, outcome: Outcome, ctx: CheckContext) -> bool:
        """Return whether all selected tests ran to their end."""
        unfinished = any(finding.rule in UNFINISHED for finding in outcome.findings)
        return not unfinished and not self._others(ctx)

    def _others(self, ctx: CheckContext) -> bool:
        """Return whether arguments besides `--affected` select tests.

        If arguments besides `--affected` select tests, the records of this run are
        incomplete.
        """
        return selects([argument for argument in ctx.posargs if argument != OPTION])

    def _folder(self, ctx: CheckContext) -> Path:
        return ctx.root / FOLDER / ctx.reports.name


def pytest_rows(
    folders: Mapping[str, Sequence[str]],
    cover: Sequence[str],
    posargs: Sequence[str],
    inputs: Sequence[str],
) -> list[Pytest]:
    """Return a check for each set of tests; if arguments select tests, only one check.

    Args:
        folders: the folders with the tests of each set, by the set's name.
        cover: the folders with the code whose coverage is measured.
        posargs: the arguments after `--`.
        inputs: the patterns of the files that the tests may read.
    """
    everything = [folder for each in folders.values() for folder in each]
    if OPTION in posargs:
        return [Affected("tests", everything, inputs=inputs)]
    if selects(posargs):
        return [Pytest("tests", everything)]
    return [Pytest(name, each, cover=cover) for name, each in folders.items()]


def _selected_text(selection: Selection, total: int) -> str:
    why = f": {selection.reason}" if selection.reason else ""
    return f"{len(selection.tests)} of {total} tests{why}"


def _left_out(
    recorded: LastRuns, selection: Selection, now: Snapshot
) -> dict[str, list[str]]:
    """Return the unselected tests, and the unchanged files without selected tests."""
    tests = recorded.tests.keys() - selection.tests - {EVERY_TEST}
    needed = {test.partition("::")[0] for test in selection.tests}
    before = recorded.snapshot.digests
    files = {test.partition("::")[0] for test in tests} - needed
    same = [name for name in files if before.get(name) == now.digests.get(name)]
    return {"tests": sorted(tests), "files": sorted(same)}


def _unselected(
    recorded: LastRuns, selection: Selection
) -> dict[str, Mapping[str, Any]]:
    return {
        name: test
        for name, test in recorded.tests.items()
        if name not in selection.tests
    }


def _read(paths: Iterable[Path]) -> list[dict[str, Mapping[str, Any]]]:
    """Return the records that each pytest process has written."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def _merged(
    unselected: Mapping[str, Mapping[str, Any]],
    found: Iterable[Mapping[str, Mapping[str, Any]]],
) -> dict[str, Any]:
    """Return this run's records, and the old records of tests that were not run."""
    tests = dict(unselected)
    common = set(tests.get(EVERY_TEST, {}).get("needs", ()))
    for each in found:
        common.update(each[EVERY_TEST]["needs"])
        tests.update(each)
    tests[EVERY_TEST] = {"needs": sorted(common), "seconds": 0.0, "failed": False}
    return tests
