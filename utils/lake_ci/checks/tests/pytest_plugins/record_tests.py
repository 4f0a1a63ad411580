"""Records which functions each test runs, and leaves out unaffected tests.

pytest loads this plugin by `-p record_tests`. The variable LAKE_CI_AFFECTED contains
the path of a folder. The folder's file `leave_out.json` contains the ids of the tests
to leave out. Each process that runs tests writes a file `recorded-*.json` to the
folder. The file contains, for each test, the needs, the seconds, and whether the test
failed. The needs of a test are a list of texts. `FILE::FUNCTION` stands for a function
that ran, and `FILE::*` for a Python file that the test opened. `*` means that the test
started a process that may run any code.

If several tests share a fixture, the needs of the fixture are added to the needs of
each of these tests. Code that runs while modules are imported is needed by all tests,
and is recorded under the empty id.
"""

from __future__ import annotations

import functools
import importlib.machinery
import json
import os
import re
import sqlite3
import sys
import uuid
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, Iterator, List, Set, Tuple

import coverage
import pytest
from coverage.numbits import numbits_to_nums
from python_blocks import by_line, split

ANYTHING = "*"
EVERY_TEST = ""
RECORDER = "record_tests-recorder"
FIXTURE = "fixture "
PROCESSES = {
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "subprocess.Popen",
}
# Programs that do not run Python code of the repository.
HARMLESS = {"git", "java", "ldconfig", "spark-submit", "uname"}
CACHED = type(functools.lru_cache(lambda: None))


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start the recording before the first import, and leave out unaffected tests."""
    folder = Path(os.environ["LAKE_CI_AFFECTED"])
    early_config.pluginmanager.register(
        Recorder(early_config.rootpath, folder), RECORDER
    )
    left_out = folder / "leave_out.json"
    if left_out.exists():
        early_config.pluginmanager.register(
            LeaveOut(json.loads(left_out.read_text(encoding="utf-8")))
        )


def pytest_configure(config: pytest.Config) -> None:
    """Stop recording in the controller of pytest-xdist, whose workers run the tests."""
    if config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput"):
        recorder = config.pluginmanager.unregister(name=RECORDER)
        recorder.stop()  # type: ignore[union-attr]  # a Recorder, see above


class LeaveOut:
    """Leaves out tests, and does not import a file if all its tests are left out."""

    def __init__(self, ids: Dict[str, List[str]]) -> None:
        self._files = set(ids["files"])
        self._tests = set(ids["tests"])

    def pytest_ignore_collect(
        self, collection_path: Path, config: pytest.Config
    ) -> "bool | None":
        name = os.path.relpath(collection_path, config.rootpath).replace(os.sep, "/")
        return True if name in self._files else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: List[pytest.Item]
    ) -> None:
        left_out = [item for item in items if test_id(item.nodeid) in self._tests]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if test_id(item.nodeid) not in self._tests]


class Recorder:
    """Records the code that each test and each shared fixture runs."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root, self._folder = root, folder
        self._name = uuid.uuid4().hex
        self._data = folder / f".coverage-{self._name}"
        ignored = [str(root / name / "*") for name in (".nox", ".cache")]
        self._coverage = coverage.Coverage(
            data_file=str(self._data),
            config_file=False,
            include=[str(root / "*")],
            omit=ignored,
        )
        self._contexts: List[str] = [EVERY_TEST]
        self._opened: Dict[str, Set[str]] = defaultdict(set)
        self._fixtures: Dict[str, Set[str]] = defaultdict(set)
        self._seconds: Dict[str, float] = defaultdict(float)
        self._failed: Set[str] = set()
        self._active = True
        self._coverage.start()
        sys.addaudithook(self._audit)
        self._attribute_imports()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._enter(test_id(item.nodeid))
        self._forget_cached_results()
        yield
        self._leave()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        # `fixturenames` includes the fixtures that the test requested at run time.
        request = getattr(item, "_request", None)
        self._fixtures[test_id(item.nodeid)].update(
            getattr(request or item, "fixturenames", ())
        )

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        if fixturedef.scope == "function":
            yield
            return
        context = FIXTURE + fixturedef.argname
        fixturedef.addfinalizer(self._leave)  # this function runs as the last finalizer
        self._enter(context)
        self._forget_cached_results()
        yield
        self._leave()
        fixturedef.addfinalizer(lambda: self._enter(context))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[test_id(report.nodeid)] += report.duration
        if report.failed:
            self._failed.add(test_id(report.nodeid))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        self.stop()
        needs = self._needs()
        tests = {
            test: {
                "needs": sorted(
                    needs[test].union(
                        *(needs[FIXTURE + name] for name in self._fixtures[test])
                    )
                ),
                "seconds": round(seconds, 3),
                "failed": test in self._failed,
            }
            for test, seconds in self._seconds.items()
        }
        tests[EVERY_TEST] = {
            "needs": sorted(needs[EVERY_TEST]),
            "seconds": 0.0,
            "failed": False,
        }
        path = self._folder / f"recorded-{self._name}.json"
        path.write_text(json.dumps(tests), encoding="utf-8")
        self._data.unlink()

    def stop(self) -> None:
        """Stop recording."""
        self._active = False
        self._coverage.stop()
        self._coverage.save()

    def _needs(self) -> Dict[str, Set[str]]:
        """Return the recorded needs of each test and of each shared fixture."""
        needs: Dict[str, Set[str]] = defaultdict(set, self._opened)
        # Leave out the modules' files, because Python itself opened them for the
        # import.
        modules = {
            vars(module).get("__file__") for module in list(sys.modules.values())
        }
        needs[EVERY_TEST] -= {
            f"{self._relative(path)}::{ANYTHING}" for path in modules if path
        }
        query = (
            "select path, context, numbits from line_bits "
            "join file on file.id = file_id join context on context.id = context_id"
        )
        functions: Dict[str, Dict[int, str]] = {}
        with closing(sqlite3.connect(self._data)) as connection:
            rows: List[Tuple[str, str, bytes]] = connection.execute(query).fetchall()
        for path, context, numbits in rows:
            file = self._relative(path)
            if file not in functions:
                source = (
                    Path(path).read_text(encoding="utf-8")
                    if os.path.exists(path)
                    else ""
                )
                functions[file] = by_line(split(source))
            known = functions[file]
            needs[context].update(
                f"{file}::{known[line]}"
                for line in numbits_to_nums(numbits)
                if line in known
            )
        return needs

    def _relative(self, path: "str | os.PathLike[str]") -> str:
        return os.path.relpath(path, self._root).replace(os.sep, "/")

    def _attribute_imports(self) -> None:
        """Record that all tests need the code that runs during an import."""
        loader = importlib.machinery.SourceFileLoader
        execute, inside = loader.exec_module, str(self._root) + os.sep

        def exec_module(
            loaded: importlib.machinery.SourceFileLoader, module: ModuleType
        ) -> None:
            if not self._active or not loaded.path.startswith(inside):
                return execute(loaded, module)
            self._enter(EVERY_TEST)
            try:
                return execute(loaded, module)
            finally:
                self._leave()

        # Python has no hook for imports, so replace the method that runs a module.
        loader.exec_module = exec_module  # type: ignore[method-assign,assignment]  # so

    def _enter(self, context: str) -> None:
        self._contexts.append(context)
        self._coverage.switch_context(context)

    def _leave(self) -> None:
        self._contexts.pop()
        self._coverage.switch_context(self._contexts[-1])

    def _forget_cached_results(self) -> None:
        """Clear the caches of `lru_cache` functions in the repository's modules.

        If a function's result were cached, a test that needs the function would not run
        the function, and so the need would not be recorded.
        """
        inside = str(self._root) + os.sep
        for module in list(sys.modules.values()):
            if (vars(module).get("__file__") or "").startswith(inside):
                values = list(vars(module).values())
                for each in values:
                    values += (
                        vars(each).values()
                        if isinstance(each, type) and each.__module__ == module.__name__
                        else ()
                    )
                for each in values:
                    if isinstance(each, CACHED):
                        each.cache_clear()

    def _audit(self, event: str, arguments: Tuple[Any, ...]) -> None:
        """Record that a test starts a process or opens a Python file."""
        if not self._active:
            return
        if event == "open":
            path = arguments[0]
            if isinstance(path, (str, os.PathLike)) and os.fspath(path).endswith(".py"):
                self._add_need(f"{self._relative(path)}::{ANYTHING}")
        elif event in PROCESSES and not _is_harmless(_program(event, arguments)):
            self._add_need(ANYTHING)

    def _add_need(self, need: str) -> None:
        self._opened[self._contexts[-1]].add(need)


def _program(event: str, arguments: Tuple[Any, ...]) -> Any:
    """Return the program that an audit event reports as started, or None."""
    program = arguments[0] if arguments else None
    if event == "subprocess.Popen" and program is None:
        command = arguments[1]
        return command if isinstance(command, (str, bytes)) else command[0]
    return program


def _is_harmless(program: Any) -> bool:
    return (
        isinstance(program, (str, bytes, os.PathLike))
        and os.path.basename(os.fsdecode(program)) in HARMLESS
    )


def test_id(nodeid: str) -> str:
    """Remove pytest-xdist's group: `test_a[1]@group` becomes `test_a[1]`."""
    return re.sub(r"@[\w-]+$", "", nodeid)


# Otherwise, pytest would collect this function as a test of the modules that import it.
test_id.__test__ = False  # type: ignore[attr-defined]  # pytest's own mark
