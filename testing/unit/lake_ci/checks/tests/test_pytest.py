"""Tests how results are read from pytest's JUnit XML, and how the coverage of all sets
of tests is combined.
"""

from __future__ import annotations

import json
import os
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lake_ci.checks.tests import pytest as testing
from lake_ci.checks.tests.pytest import Coverage, Pytest
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed, Processes

Answering = Callable[..., list[list[str]]]

LIBRARY = """\
def divide(a, b):
    return a / b


def deep(a):
    return divide(a, 0)
"""
# pytest's report of a passed test, a skipped test, two failed tests, a test method, and
# two tests with errors; one of these two also failed.
FAILURES = """\
<?xml version="1.0" encoding="utf-8"?>\
<testsuites name="pytest tests"><testsuite name="pytest" errors="2" \
failures="4" skipped="1" tests="8" time="0.035" \
timestamp="2026-11-23T06:08:17.803548+00:00" hostname="host">\
<testcase classname="tests.test_all" name="test_passes" file="tests/test_all.py" \
line="6" time="0.250" />\
<testcase classname="tests.test_all" name="test_assert" file="tests/test_all.py" \
line="10" time="0.000">\
<failure message="assert (1 + 1) == 3">def test_assert():
&gt;       assert 1 + 1 == 3
E       assert (1 + 1) == 3

tests/test_all.py:12: AssertionError</failure></testcase>\
<testcase classname="tests.test_all" name="test_raises_elsewhere" \
file="tests/test_all.py" line="14" time="0.000">\
<failure message="ZeroDivisionError: division by zero">def test_raises_elsewhere():
&gt;       deep(1)

tests/test_all.py:16:\x20
_ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _\x20
lib.py:6: in deep
    return divide(a, 0)
           ^^^^^^^^^^^^
_ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _\x20

a = 1, b = 0

    def divide(a, b):
&gt;       return a / b
               ^^^^^
E       ZeroDivisionError: division by zero

lib.py:2: ZeroDivisionError</failure></testcase>\
<testcase classname="tests.test_all" name="test_skipped" file="tests/test_all.py" \
line="18" time="0.000">\
<skipped type="pytest.skip" message="not today">\
tests/test_all.py:19: not today</skipped></testcase>\
<testcase classname="tests.test_all" name="test_fixture" file="tests/test_all.py" \
line="28" time="0.000">\
<error message="failed on setup with &quot;KeyError: 'orders'&quot;">@pytest.fixture
    def broken():
&gt;       raise KeyError("orders")
E       KeyError: 'orders'

tests/test_all.py:26: KeyError</error></testcase>\
<testcase classname="tests.test_all.TestIt" name="test_method" \
file="tests/test_all.py" line="38" time="0.000">\
<failure message="AssertionError: on purpose">\
self = &lt;test_all.TestIt testMethod=test_method&gt;

    def test_method(self):
&gt;       self.fail("on purpose")
E       AssertionError: on purpose

tests/test_all.py:40: AssertionError</failure></testcase>\
<testcase classname="tests.test_all" name="test_both" file="tests/test_all.py" \
line="48" time="0.000">\
<failure message="assert False">teardown = None

    def test_both(teardown):
&gt;       assert False
E       assert False

tests/test_all.py:50: AssertionError</failure></testcase>\
<testcase classname="tests.test_all" name="test_both" file="tests/test_all.py" \
line="48" time="0.000">\
<error message="failed on teardown with &quot;OSError: late&quot;">@pytest.fixture
    def teardown():
        yield
&gt;       raise OSError("late")
E       OSError: late

tests/test_all.py:46: OSError</error></testcase></testsuite></testsuites>"""
COLLECTION = """\
<?xml version="1.0" encoding="utf-8"?>\
<testsuites name="pytest tests"><testsuite name="pytest" errors="2" \
failures="0" skipped="0" tests="2" time="0.129" \
timestamp="2026-11-23T06:08:18.652000+00:00" hostname="host">\
<testcase classname="" name="tests.test_import" file="tests/test_import.py" \
time="0.000">\
<error message="collection failure">\
ImportError while importing test module '{root}/tests/test_import.py'.
Hint: make sure your test modules/packages have valid Python names.
Traceback:
/usr/lib/python3.11/importlib/__init__.py:126: in import_module
    return _bootstrap._gcd_import(name[level:], package, level)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
tests/test_import.py:1: in &lt;module&gt;
    import nothere
E   ModuleNotFoundError: No module named 'nothere'</error></testcase>\
<testcase classname="" name="tests.test_syntax" file="tests/test_syntax.py" \
time="0.000">\
<error message="collection failure">\
.nox/tests/lib/python3.11/site-packages/_pytest/python.py:528: in importtestmodule
    mod = import_path(
&lt;frozen importlib._bootstrap&gt;:1204: in _gcd_import
    ???
/usr/lib/python3.11/ast.py:50: in parse
    return compile(source, filename, mode, flags,
E     File "{root}/tests/test_syntax.py", line 1
E       def f(:
E             ^
E   SyntaxError: invalid syntax</error></testcase></testsuite></testsuites>"""
INTERRUPTED = """\
<?xml version="1.0" encoding="utf-8"?>\
<testsuites name="pytest tests"><testsuite name="pytest" errors="0" \
failures="0" skipped="0" tests="0" time="0.115" \
timestamp="2026-11-23T06:08:22.565830+00:00" hostname="host">\
<testcase time="0.000" /></testsuite></testsuites>"""
PASSED = """\
<?xml version="1.0" encoding="utf-8"?>\
<testsuites name="pytest tests"><testsuite name="pytest" errors="0" \
failures="0" skipped="0" tests="1" time="0.115" \
timestamp="2026-11-23T06:08:22.565830+00:00" hostname="host">\
<testcase classname="tests.test_all" name="test_passes" file="tests/test_all.py" \
line="6" time="0.250" />\
</testsuite></testsuites>"""


@pytest.fixture
def suite(ctx: CheckContext) -> CheckContext:
    """Return a repository with a library and a set of tests."""
    (ctx.root / "lib.py").write_text(LIBRARY)
    for folder in ("tests", "slow", "api"):
        (ctx.root / folder).mkdir()
    for name in ("test_all.py", "test_import.py", "test_syntax.py"):
        (ctx.root / "tests" / name).touch()
    (ctx.root / "slow" / "test_spark.py").touch()
    return ctx


def writing(
    xml: str | None, code: int, stdout: str = "", stopped: str | None = None
) -> Callable[..., Completed]:
    """Return a fake pytest."""

    def answer(argv: list[str]) -> Completed:
        [junit] = [
            word.partition("=")[2] for word in argv if word.startswith("--junit-xml=")
        ]
        if xml is not None:
            Path(junit).write_text(xml, encoding="utf-8")
        return Completed(tuple(argv), code, stdout, "", 2.0, stopped)

    return answer


def test_failure_has_last_place_in_the_repository_and_the_exception(
    suite: CheckContext, answering: Answering
) -> None:
    answering(writing(FAILURES, 1))
    outcome = Pytest("tests", ["tests"]).run(suite)
    assert (outcome.status, outcome.detail) == (
        Status.FAILURE,
        "6 failed, 1 passed, 1 skipped",
    )
    assert [(f.place, f.rule, f.message) for f in outcome.findings] == [
        (
            "tests/test_all.py:12",
            "AssertionError",
            "test_all::test_assert: assert (1 + 1) == 3",
        ),
        (
            "lib.py:2",
            "ZeroDivisionError",
            "test_all::test_raises_elsewhere: ZeroDivisionError: division by zero",
        ),
        (
            "tests/test_all.py:26",
            "KeyError",
            "test_all::test_fixture: failed on setup with \"KeyError: 'orders'\"",
        ),
        (
            "tests/test_all.py:40",
            "AssertionError",
            "TestIt::test_method: AssertionError: on purpose",
        ),
        ("tests/test_all.py:50", "AssertionError", "test_all::test_both: assert False"),
        (
            "tests/test_all.py:46",
            "OSError",
            'test_all::test_both: failed on teardown with "OSError: late"',
        ),
    ]
    assert {finding.tool for finding in outcome.findings} == {"pytest"}
    assert outcome.data["slowest"][0] == {
        "test": "test_all::test_passes",
        "seconds": 0.25,
    }


def test_a_module_that_cannot_be_imported_or_parsed_is_named_with_its_line(
    suite: CheckContext, answering: Answering
) -> None:
    suite.python = suite.root / ".nox" / "tests" / "bin" / "python"
    library = (
        suite.root
        / ".nox"
        / "tests"
        / "lib"
        / "python3.11"
        / "site-packages"
        / "_pytest"
        / "python.py"
    )
    library.parent.mkdir(parents=True)
    library.touch()
    answering(writing(COLLECTION.replace("{root}", str(suite.root)), 2))
    outcome = Pytest("tests", ["tests"]).run(suite)
    assert [(f.place, f.rule) for f in outcome.findings] == [
        ("tests/test_import.py:1", "ModuleNotFoundError"),
        ("tests/test_syntax.py:1", "SyntaxError"),
    ]


def test_error_in_a_library_is_placed_at_the_call_in_the_repository(
    suite: CheckContext, answering: Answering
) -> None:
    suite.python = suite.root / ".nox" / "tests" / "bin" / "python"
    inside = ".nox/tests/lib/python3.11/site-packages/deltalake/table.py"
    (suite.root / inside).parent.mkdir(parents=True)
    (suite.root / inside).touch()
    xml = FAILURES.replace(
        "\nlib.py:2: ZeroDivisionError", f"\n{inside}:410: ZeroDivisionError"
    )
    answering(writing(xml, 1))
    assert Pytest("tests", ["tests"]).run(suite).findings[1].place == "lib.py:6"


def test_without_a_traceback_the_test_itself_is_the_place(
    suite: CheckContext, answering: Answering
) -> None:
    case = (
        '<testcase classname="a.test_b" name="test_c" {} time="0.1"><failure'
        ' message="no">gone</failure></testcase>'
    )
    for attributes, place in (
        ('file="tests/test_all.py" line="6"', "tests/test_all.py:7"),
        ("", "a/test_b/test_c"),
    ):
        answering(writing(f"<testsuites>{case.format(attributes)}</testsuites>", 1))
        [finding] = Pytest("tests", ["tests"]).run(suite).findings
        assert (finding.place, finding.rule) == (place, "failure")


@pytest.mark.parametrize(
    ("recorded", "place"),
    [
        ("k8s/base/api.yaml:12", "k8s/base/api.yaml:12"),
        ("k8s/base/api.yaml:None", "lib.py:2"),
        ("", "lib.py:2"),
    ],
)
def test_a_place_that_a_test_records_comes_before_that_of_the_traceback(
    suite: CheckContext, answering: Answering, recorded: str, place: str
) -> None:
    case = (
        '<testcase classname="a" name="test_c" file="a.py" line="1"><properties>'
        f'<property name="place" value="{recorded}"/></properties>'
        '<failure message="no">lib.py:2: KeyError</failure></testcase>'
    )
    answering(writing(f"<testsuites>{case}</testsuites>", 1))
    [finding] = Pytest("tests", ["tests"]).run(suite).findings
    assert (finding.place, finding.rule) == (place, "KeyError")


def test_passed_suite_is_a_success_and_appends_to_the_shared_junit_file(
    suite: CheckContext, answering: Answering
) -> None:
    answering(writing(PASSED, 0))
    assert Pytest("tests", ["tests"]).run(suite).detail == "1 passed"
    assert Pytest("slow", ["slow"]).run(suite).status is Status.SUCCESS
    together = ET.parse(suite.reports / "junit.xml").getroot()
    assert len(together.findall("testsuite")) == 2
    assert [path.name for path in suite.reports.iterdir()] == ["junit.xml"]


def test_pytest_collection_error_of_two_workers_is_one_finding(
    suite: CheckContext, answering: Answering
) -> None:
    error = (
        '<error message="collection failure">tests/test_import.py:1: in'
        " &lt;module&gt;\nE   KeyError: 1</error>"
    )
    case = (
        '<testcase classname="" name="tests.test_import"'
        f' time="0.0">{error}{error}</testcase>'
    )
    answering(writing(f"<testsuites><testsuite>{case}</testsuite></testsuites>", 1))
    outcome = Pytest("tests", ["tests"]).run(suite)
    [finding] = outcome.findings
    assert (finding.place, finding.rule) == ("tests/test_import.py:1", "KeyError")
    assert outcome.detail == "1 failed, 0 passed"


def test_pytest_group_of_a_distributed_test_is_no_part_of_its_name(
    suite: CheckContext, answering: Answering
) -> None:
    answering(
        writing(PASSED.replace('"test_passes"', '"test_passes[a@b]@emulator"'), 0)
    )
    outcome = Pytest("tests", ["tests"]).run(suite)
    assert outcome.data["slowest"][0]["test"] == "test_all::test_passes[a@b]"
    [case] = ET.parse(suite.reports / "junit.xml").getroot().iter("testcase")
    assert case.get("name") == "test_passes[a@b]"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            writing(None, 4, "ERROR: file or directory not found: tests/nothing.py"),
            " 4",
        ),
        (writing(None, 3, "INTERNALERROR> ValueError"), " 3"),
        (writing(None, -9), " 9"),
        (writing(None, 0), "wrote no readable JUnit XML: "),
        (
            writing("<testsuites><testsuite", 1),
            "unclosed token",
        ),
        (writing(INTERRUPTED, 2, "!!! KeyboardInterrupt !!!"), " 2"),
        (
            writing(PASSED, 1, "FAIL Required test coverage of 90% not reached"),
            " 1",
        ),
    ],
)
def test_run_without_explanation_in_the_xml_is_a_crash_with_last_lines(
    suite: CheckContext,
    answering: Answering,
    answer: Callable[..., Completed],
    words: str,
) -> None:
    def safe(argv: list[str]) -> Completed:
        done = answer(argv)
        last.append(done.last_lines())
        return done

    last: list[str] = []
    answering(safe)
    outcome = Pytest("tests", ["tests"]).outcome(
        safe([f"--junit-xml={suite.reports / 'x.xml'}"]), suite.reports / "x.xml", suite
    )
    assert outcome.status is Status.FAILURE
    assert outcome.findings[0].rule == "crash"
    assert words in outcome.detail
    assert outcome.findings[0].message.endswith(last[0])


def test_a_suite_cut_short_is_a_timeout_and_what_it_wrote_so_far_is_kept(
    suite: CheckContext, answering: Answering
) -> None:
    answering(writing(PASSED, -15, "tests/test_all.py::test_slow", "timeout"))
    outcome = Pytest("tests", ["tests"]).run(suite)
    assert outcome.findings[0].rule == "timeout"
    assert "test_slow" in outcome.findings[0].message
    assert (suite.reports / "junit.xml").exists()


@pytest.mark.parametrize(
    ("posargs", "status"),
    [
        ((), Status.FAILURE),
        (("-v",), Status.FAILURE),
        (("-k", "nothing"), Status.SKIPPED),
    ],
)
def test_no_tests_at_all_is_a_failure_and_none_selected_is_skipped(
    suite: CheckContext, answering: Answering, posargs: tuple[str, ...], status: Status
) -> None:
    suite.posargs = posargs
    answering(writing(INTERRUPTED, 5))
    assert Pytest("tests", ["tests"]).run(suite).status is status


@pytest.mark.parametrize(
    ("posargs", "tests", "slow"),
    [
        ((), ["tests"], ["slow"]),
        (
            ("-x", "-k", "merge"),
            ["tests", "-x", "-k", "merge"],
            ["slow", "-x", "-k", "merge"],
        ),
        (("tests/test_all.py",), ["tests/test_all.py"], None),
        (
            ("tests/test_all.py::test_passes", "-v"),
            ["tests/test_all.py::test_passes", "-v"],
            None,
        ),
        (("./slow", "-v"), None, ["./slow", "-v"]),
        (
            ("tests/test_all.py", "slow/test_spark.py"),
            ["tests/test_all.py"],
            ["slow/test_spark.py"],
        ),
        # The argument is neither an existing path nor a known option. So every set of
        # tests gets this argument, and pytest itself reports the error.
        (
            ("tests/nothing.py",),
            ["tests", "tests/nothing.py"],
            ["slow", "tests/nothing.py"],
        ),
        # Here, `api` is an expression that selects tests, although the repository also
        # has a folder `api`.
        (("-k", "api"), ["tests", "-k", "api"], ["slow", "-k", "api"]),
    ],
)
def test_arguments_go_to_every_suite_and_paths_to_the_suite_they_lie_in(
    suite: CheckContext,
    posargs: tuple[str, ...],
    tests: list[str] | None,
    slow: list[str] | None,
) -> None:
    suite.posargs = posargs
    assert Pytest("tests", ["tests"]).arguments(suite) == tests
    assert Pytest("slow", ["slow"]).arguments(suite) == slow


def test_a_path_may_be_typed_in_full(suite: CheckContext) -> None:
    suite.posargs = (f"{suite.root}/tests/test_all.py",)
    assert Pytest("tests", ["tests"]).arguments(suite) == [
        f"{suite.root}/tests/test_all.py"
    ]
    assert Pytest("slow", ["slow"]).arguments(suite) is None


def test_a_suite_without_a_selected_path_is_skipped(suite: CheckContext) -> None:
    suite.posargs = ("tests/test_all.py",)
    assert Pytest("slow", ["slow"]).run(suite) == Outcome(
        Status.SKIPPED, "no tests selected"
    )


@pytest.mark.parametrize(
    ("arguments", "selected"),
    [
        ([], False),
        (
            [
                "-v",
                "-vv",
                "-q",
                "-s",
                "-l",
                "-rA",
                "--tb=short",
                "--durations=5",
                "--color=no",
            ],
            False,
        ),
        (["-k", "merge"], True),
        (["--lf"], True),
        (["-x"], True),
        (["testing/unit/test_a.py"], True),
        (["-v", "-m", "slow"], True),
        (["-n4"], True),
    ],
)
def test_arguments_select_unless_they_only_change_the_report(
    arguments: list[str], selected: bool
) -> None:
    assert testing.selects(arguments) is selected


@pytest.mark.parametrize(
    ("posargs", "attached"), [((), False), (("--pdb",), True), (("--trace",), True)]
)
def test_a_debugger_gets_the_terminal(
    suite: CheckContext, posargs: tuple[str, ...], attached: bool
) -> None:
    seen: dict[str, Any] = {}

    def execute(argv: list[str], **options: Any) -> Completed:
        seen.update(options)
        return Completed(tuple(argv), 4, "", "", 0.1)

    suite.posargs = posargs
    suite.execute = execute
    Pytest("tests", ["tests"]).run(suite)
    assert seen["attached"] is attached
    assert (seen["echo"] is None) is attached


def test_on_a_terminal_pytest_prints_in_colour(
    suite: CheckContext, answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = answering(writing(PASSED, 0))
    for is_terminal in (True, False):
        monkeypatch.setattr(sys.stdout, "isatty", lambda value=is_terminal: value)
        Pytest("tests", ["tests"]).run(suite)
    assert ["--color=yes" in call for call in calls] == [True, False]


@pytest.fixture
def real(suite: CheckContext) -> CheckContext:
    """Return the context of a repository whose tests cover half of a library. Commands
    run with this test's Python.
    """
    children = Processes()

    def execute(
        argv: list[str], *, env: dict[str, str] | None = None, **options: Any
    ) -> Completed:
        options.pop("attached", None)
        return children.run(argv, cwd=suite.root, env=env or suite.env, **options)

    for path in (suite.root / "tests").iterdir():
        path.unlink()
    (suite.root / "tests" / "test_all.py").write_text(
        "import lib\n\n\ndef test_half():\n    assert lib.divide(4, 2) == 2\n"
    )
    (suite.root / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\npythonpath = ["."]\n'
        "[tool.coverage.run]\nbranch = true\nparallel = true\nrelative_files = true\n"
    )
    suite.env = dict(os.environ)
    suite.python = Path(sys.executable)
    suite.execute = execute
    return suite


@pytest.mark.parametrize("workers", [1, 2])
def test_a_real_suite_is_run_measured_and_judged(
    real: CheckContext, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    real.workers = workers
    outcome = Pytest("tests", ["tests"], cover=["lib"]).run(real)
    assert (outcome.status, outcome.detail) == (Status.SUCCESS, "1 passed")
    printed = capsys.readouterr().out
    assert "tests/test_all.py" in printed or workers == 2
    assert ("2 workers" in printed) is (workers == 2)
    [case] = ET.parse(real.reports / "junit.xml").getroot().iter("testcase")
    assert (case.get("file"), case.get("line")) == ("tests/test_all.py", "3")

    low = Coverage(90).run(real)
    assert (low.status, low.detail) == (
        Status.FAILURE,
        "75.0 %, at least 90 % required",
    )
    [finding] = low.findings
    assert (finding.place, finding.message) == ("lib.py:6", "75 % covered; not run: 6")
    assert low.data == {"percent": 75.0, "files": {"lib.py": 75.0}}
    assert (real.reports / "coverage.xml").exists()
    assert (real.reports / "htmlcov" / "index.html").exists()


@pytest.mark.parametrize(
    ("workers", "posargs", "options"),
    [
        (1, (), []),
        (4, (), ["--numprocesses=4", "--dist=loadgroup"]),
        (4, ("-v",), ["--numprocesses=4", "--dist=loadgroup"]),
        (4, ("-k", "merge"), []),
        (4, ("--pdb",), []),
    ],
)
def test_pytest_whole_run_is_distributed_and_selection_is_not(
    ctx: CheckContext, workers: int, posargs: tuple[str, ...], options: list[str]
) -> None:
    ctx.workers, ctx.posargs = workers, posargs
    assert Pytest("tests", ["tests"]).distribution(ctx) == options


def test_pytest_marks_select_and_typed_options_follow_them(suite: CheckContext) -> None:
    marked = Pytest("fast", ["tests", "slow"], marks="jvm")
    assert marked.arguments(suite) == ["tests", "slow", "-m", "jvm"]
    suite.posargs = ("-m", "long")
    assert marked.arguments(suite) == ["tests", "slow", "-m", "jvm", "-m", "long"]


@pytest.mark.parametrize(
    ("posargs", "options"),
    [
        ((), ["--cov=lib", "--cov-report=", "--cov-fail-under=0"]),
        (("-v",), ["--cov=lib", "--cov-report=", "--cov-fail-under=0"]),
        (("-k", "merge"), []),
        (("tests/test_all.py",), []),
    ],
)
def test_pytest_selection_is_not_measured(
    ctx: CheckContext, posargs: tuple[str, ...], options: list[str]
) -> None:
    ctx.posargs = posargs
    assert Pytest("tests", ["tests"], cover=["lib"]).plugins(ctx) == options


def test_coverage_is_not_judged_on_a_selection(ctx: CheckContext) -> None:
    ctx.posargs = ("-k", "merge")
    assert Coverage(90).run(ctx).status is Status.SKIPPED


@pytest.mark.parametrize(
    ("done", "rule"),
    [
        (Completed((), 1, "", "No data to combine", 0.1), "crash"),
        (Completed((), -15, "", "", 0.1, "timeout"), "timeout"),
    ],
)
def test_coverage_that_cannot_be_had_is_a_failure(
    ctx: CheckContext, answering: Answering, done: Completed, rule: str
) -> None:
    answering(done)
    outcome = Coverage(90).run(ctx)
    assert outcome.status is Status.FAILURE
    assert outcome.findings[0].rule == rule


def test_the_least_covered_file_comes_first_and_a_covered_one_not_at_all(
    ctx: CheckContext, answering: Answering
) -> None:
    def body(percent: float, missing: list[int]) -> dict[str, Any]:
        return {"summary": {"percent_covered": percent}, "missing_lines": missing}

    measured = {
        "totals": {"percent_covered": 80.0},
        "files": {
            "a.py": body(85.0, [3, 4, 5, 9]),
            "b.py": body(20.0, [7]),
            "c.py": body(89.0, []),
            "d.py": body(90.0, [1]),
        },
    }
    (ctx.reports / "coverage.json").write_text(json.dumps(measured))
    answering(Completed((), 0, "", "", 0.1))
    outcome = Coverage(90).run(ctx)
    assert (outcome.status, outcome.detail) == (
        Status.FAILURE,
        "80.0 %, at least 90 % required",
    )
    assert [(f.place, f.message) for f in outcome.findings] == [
        ("b.py:7", "20 % covered; not run: 7"),
        ("a.py:3", "85 % covered; not run: 3-5, 9"),
        ("c.py:1", "89 % covered; not run: branches only"),
    ]


def test_coverage_above_the_minimum_passes_despite_one_low_file(
    ctx: CheckContext, answering: Answering
) -> None:
    body = {"summary": {"percent_covered": 50.0}, "missing_lines": [1]}
    measured = {"totals": {"percent_covered": 90.0}, "files": {"a.py": body}}
    (ctx.reports / "coverage.json").write_text(json.dumps(measured))
    answering(Completed((), 0, "", "", 0.1))
    outcome = Coverage(90).run(ctx)
    assert (outcome.status, outcome.detail) == (
        Status.SUCCESS,
        "90.0 % of branches and lines",
    )
    assert outcome.data == {"percent": 90.0, "files": {"a.py": 50.0}}
