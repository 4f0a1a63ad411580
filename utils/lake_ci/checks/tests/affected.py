"""The tests that a change may reach, by what each of them ran when it ran last."""

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
from lake_ci.runner.check import Workbench
from lake_ci.system import git
from lake_ci.system.atomic_write import write_whole

OPTION = "--affected"
FOLDER = ".cache/affected"
PLUGINS = Path(__file__).with_name("pytest_plugins")
ANYTHING = "*"
# What the plugin records under this id, each test needs.
EVERY_TEST = ""
# Seconds of tests from which further processes pay for their start.
DISTRIBUTE_FROM = 30.0
# The findings of a run that did not come to its end.
UNFINISHED = {"crash", "interrupted", "timeout"}


@dataclass(frozen=True)
class Snapshot:
    """The state of the files that tests may read.

    Attributes:
        digests: each file's digest, by its path.
        blocks: the checksum of each function's body and of the rest, by the path of a
            Python file.
    """

    digests: Mapping[str, str]
    blocks: Mapping[str, Mapping[str, int]]

    @classmethod
    def of(
        cls, root: Path, inputs: Sequence[str], before: Snapshot | None = None
    ) -> Snapshot:
        """The snapshot of the files in a repository that match these patterns.

        Args:
            before: an earlier one, whose unchanged files are not parsed again.
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
class Recorded:
    """What is known of the last run of each test.

    Attributes:
        snapshot: the files as they were then.
        tests: by id what a test needs, its seconds and whether it failed, as the plugin
            `record_tests` writes it.
    """

    snapshot: Snapshot
    tests: Mapping[str, Mapping[str, Any]]

    @classmethod
    def load(cls, path: Path) -> Recorded | None:
        """What was saved; None where nothing was, or nothing that can be read."""
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
        tests: their ids.
        reason: why these are all tests; None where they are not.
        unknown: whether there may be further tests, which never ran.
    """

    tests: frozenset[str]
    reason: str | None = None
    unknown: bool = False


def select(recorded: Recorded, now: Snapshot, root: Path) -> Selection:
    """The tests that the changes since they were recorded may reach.

    A change in a function's body reaches the tests that ran the function, and the tests
    that start processes. A change elsewhere in a file of tests reaches its tests, and
    any other change reaches all tests. Tests that failed run again.
    """
    before = recorded.snapshot
    tests = {name: test for name, test in recorded.tests.items() if name != EVERY_TEST}
    names = sorted(before.digests.keys() | now.digests.keys())
    changed = [
        name for name in names if before.digests.get(name) != now.digests.get(name)
    ]
    chosen = {name for name, test in tests.items() if test["failed"]}
    reached = {ANYTHING} if changed else set()
    unknown = False
    for name in changed:
        old, new = before.blocks.get(name, {}), now.blocks.get(name, {})
        if old.get(REST) != new.get(REST) or not new:
            if not new or not _only_holds_tests(name, now, root):
                what = "outside its functions" if old and new else "since the last run"
                return Selection(frozenset(tests), f"{name} changed {what}")
            unknown = True
            chosen |= {test for test in tests if test.partition("::")[0] == name}
        functions = {
            key for key in old.keys() | new.keys() if old.get(key) != new.get(key)
        }
        reached |= {f"{name}::{key}" for key in functions} | {f"{name}::{ANYTHING}"}
    common = reached.intersection(
        recorded.tests.get(EVERY_TEST, {}).get("needs", ())
    ) - {ANYTHING}
    if common:
        return Selection(
            frozenset(tests), f"{min(common)} runs when tests are collected"
        )
    chosen |= {
        name for name, test in tests.items() if not reached.isdisjoint(test["needs"])
    }
    return Selection(frozenset(chosen), unknown=unknown)


def _only_holds_tests(name: str, now: Snapshot, root: Path) -> bool:
    """Whether a file is a module of tests that no other Python file names, and so none
    imports.
    """
    module = PurePosixPath(name).stem
    if not module.startswith("test_"):
        return False
    named = re.compile(rf"\b{module}\b")
    others = (root / other for other in now.blocks if other != name)
    return not any(
        named.search(other.read_text("utf-8", "replace")) for other in others
    )


class Affected(Pytest):
    """The tests that a change since their last run may reach pass; all tests where
    nothing was recorded yet.
    """

    def __init__(
        self, name: str, folders: Sequence[str], *, inputs: Sequence[str]
    ) -> None:
        super().__init__(name, folders)
        self.inputs = inputs
        self.selected: Sequence[Mapping[str, Any]] | None = None

    def run(self, bench: Workbench) -> Outcome:
        folder = self._folder(bench)
        recorded = Recorded.load(folder / "tests.json")
        now = Snapshot.of(
            bench.root, self.inputs, recorded.snapshot if recorded else None
        )
        shutil.rmtree(folder / "run", ignore_errors=True)
        (folder / "run").mkdir(parents=True)
        selection, total = None, 0
        if recorded is None:
            message = "all tests: no earlier run of `--affected` is recorded"
        else:
            selection = select(recorded, now, bench.root)
            total = len(recorded.tests.keys() - {EVERY_TEST})
            why = f": {selection.reason}" if selection.reason else ""
            message = f"{len(selection.tests)} of {total} tests{why}"
            self.selected = [recorded.tests[name] for name in selection.tests]
            left_out = json.dumps(_left_out(recorded, selection, now))
            (folder / "run" / "leave_out.json").write_text(left_out, encoding="utf-8")
        print(f"affected: {message}", flush=True)
        if selection is not None and not selection.tests and not selection.unknown:
            return Outcome(Status.SUCCESS, message)
        outcome = super().run(bench)
        if outcome.status is Status.SKIPPED:
            return Outcome(Status.SUCCESS, message)
        kept = (
            {}
            if selection is None or recorded is None
            else _unselected(recorded, selection)
        )
        found = _read(sorted((folder / "run").glob("recorded-*.json")))
        if (
            found
            and not any(finding.rule in UNFINISHED for finding in outcome.findings)
            and not self._others(bench)
        ):
            Recorded(now, _merged(kept, found)).save(folder / "tests.json")
        return replace(outcome, detail=f"{outcome.detail} ({message})")

    def arguments(self, bench: Workbench) -> list[str] | None:
        given = super().arguments(bench)
        return (
            None
            if given is None
            else [argument for argument in given if argument != OPTION]
        )

    def variables(self, bench: Workbench) -> dict[str, str]:
        path = [str(PLUGINS), *filter(None, [bench.env.get("PYTHONPATH")])]
        return {
            "LAKE_CI_AFFECTED": str(self._folder(bench) / "run"),
            "PYTHONPATH": os.pathsep.join(path),
        }

    def plugins(self, bench: Workbench) -> list[str]:
        """Records what tests run, in place of pytest-cov: a process has one tracer."""
        return ["-p", "record_tests", "-p", "no:cov"]

    def distribution(self, bench: Workbench) -> list[str]:
        """The options of pytest-xdist, where the tests take longer than its start."""
        seconds = sum(test["seconds"] for test in self.selected or ())
        if (
            bench.workers == 1
            or self._others(bench)
            or (self.selected is not None and seconds < DISTRIBUTE_FROM)
        ):
            return []
        return [f"--numprocesses={bench.workers}", "--dist=loadgroup"]

    def _others(self, bench: Workbench) -> bool:
        """Whether further arguments select: the record of such a run would not be
        whole.
        """
        return selects([argument for argument in bench.posargs if argument != OPTION])

    def _folder(self, bench: Workbench) -> Path:
        return bench.root / FOLDER / bench.reports.name


def sets(
    folders: Mapping[str, Sequence[str]],
    cover: Sequence[str],
    posargs: Sequence[str],
    inputs: Sequence[str],
) -> list[Pytest]:
    """The sets of a session's tests, a row each; a selection is one row, as pytest then
    starts and collects once.

    Args:
        folders: where the tests of each set lie, by the set's name.
        cover: the folders of code whose coverage is measured.
        posargs: what the user typed after `--`.
        inputs: the patterns of the files that the tests may read.
    """
    everything = [folder for each in folders.values() for folder in each]
    if OPTION in posargs:
        return [Affected("tests", everything, inputs=inputs)]
    if selects(posargs):
        return [Pytest("tests", everything)]
    return [Pytest(name, each, cover=cover) for name, each in folders.items()]


def _left_out(
    recorded: Recorded, selection: Selection, now: Snapshot
) -> dict[str, list[str]]:
    """The tests not to run, and the unchanged files that hold no other."""
    tests = recorded.tests.keys() - selection.tests - {EVERY_TEST}
    needed = {test.partition("::")[0] for test in selection.tests}
    before = recorded.snapshot.digests
    files = {test.partition("::")[0] for test in tests} - needed
    same = [name for name in files if before.get(name) == now.digests.get(name)]
    return {"tests": sorted(tests), "files": sorted(same)}


def _unselected(
    recorded: Recorded, selection: Selection
) -> dict[str, Mapping[str, Any]]:
    return {
        name: test
        for name, test in recorded.tests.items()
        if name not in selection.tests
    }


def _read(paths: Iterable[Path]) -> list[dict[str, Mapping[str, Any]]]:
    """What each process of pytest has recorded."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def _merged(
    kept: Mapping[str, Mapping[str, Any]],
    found: Iterable[Mapping[str, Mapping[str, Any]]],
) -> dict[str, Any]:
    """Everything that is known now; what every test needs is what any process has
    found.
    """
    tests = dict(kept)
    common = set(tests.get(EVERY_TEST, {}).get("needs", ()))
    for each in found:
        common.update(each[EVERY_TEST]["needs"])
        tests.update(each)
    tests[EVERY_TEST] = {"needs": sorted(common), "seconds": 0.0, "failed": False}
    return tests
