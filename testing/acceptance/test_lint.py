"""Each check of `nox -s lint` finds its defect."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from testing.acceptance.conftest import Checkout, Ran

WORKFLOW_ROWS = {"workflow", "workflow schema", "workflow sessions", "actionlint", "zizmor"}
ROWS = {"flake8", "black", "isort", "mypy", "locks"} | WORKFLOW_ROWS
SEED = "utils/lakekit/seeded.py"


@pytest.fixture(scope="module")
def sound(original: Checkout) -> tuple[Checkout, Ran]:
    """The repository without a defect, and what lint says of it; its run leaves mypy's cache behind."""
    original.commit()
    return original, original.nox("-s", "lint")


@pytest.fixture
def repository(sound: tuple[Checkout, Ran], tmp_path: Path) -> Checkout:
    return sound[0].copy(tmp_path / "repository")


def test_the_repository_itself_passes(sound: tuple[Checkout, Ran]) -> None:
    sound[1].assert_only("lint", failed=set(), rows=ROWS)


@pytest.mark.parametrize(
    ("check", "rule", "text"),
    [
        ("flake8", "F401", "import os  # here\n"),
        ("black", "format", "ONE = 1\nNAME = 'single'  # here\n"),
        ("isort", "order", 'import sys  # here\nimport os\n\n__all__ = ["os", "sys"]\n'),
        ("mypy", "return-value", 'def number() -> int:\n    return "1"  # here\n'),
    ],
    ids=["unused-import", "formatting", "import-order", "type-error"],
)
def test_finds_a_defect_in_a_file(repository: Checkout, check: str, rule: str, text: str) -> None:
    line = repository.write(SEED, text)
    ran = repository.nox("-s", "lint")
    ran.assert_only("lint", failed={check}, rows=ROWS)
    found = ran.finding("lint", check, rule)
    assert (found.tool, found.file, found.line) == (check, SEED, line)


def test_finds_a_lock_that_is_out_of_step(repository: Checkout) -> None:
    repository.replace("pyproject.toml", '"check-wheel-contents"', '"check-wheel-contents>=0.6"')
    ran = repository.nox("-s", "lint")
    ran.assert_only("lint", failed={"locks"}, rows=ROWS)
    found = ran.finding("lint", "locks", "out-of-step")
    assert (found.tool, found.file, found.line) == ("locks", "requirements/build.txt", 1)
    assert "nox -s lock" in found.message


def test_finds_a_lock_that_was_edited_by_hand(repository: Checkout) -> None:
    lock = "requirements/acceptance.txt"
    text = (repository.root / lock).read_text(encoding="utf-8")
    first = re.findall(r"--hash=sha256:(\w{64})", text)[0]
    repository.replace(lock, first, "0" * 64)
    ran = repository.nox("-s", "lint")
    ran.assert_only("lint", failed={"locks"}, rows=ROWS)
    found = ran.finding("lint", "locks", "out-of-step")
    assert (found.tool, found.file, found.line) == ("locks", lock, 1)


def test_a_file_that_does_not_parse_is_a_finding_of_each_tool_that_parses(repository: Checkout) -> None:
    line = repository.write(SEED, "total = 1 +  # here\nrest = 2\n")
    ran = repository.nox("-s", "lint")
    ran.assert_only("lint", failed={"flake8", "black", "mypy"}, rows=ROWS)
    assert "Traceback" not in ran.output
    for check, rule in (("flake8", "E999"), ("black", "parse"), ("mypy", "syntax")):
        found = ran.finding("lint", check, rule)
        assert (found.tool, found.file, found.line) == (check, SEED, line)


@pytest.mark.parametrize(
    ("check", "old", "new", "words"),
    [
        ("mypy", "\nstrict = true\n", '\nstrict = "perhaps"\n', "perhaps"),
        ("mypy", "warn_unreachable = true", "warn_unreachably = true", "warn_unreachably"),
        ("flake8", "max-complexity = 12", 'max-complexity = "many"', "many"),
        ("black", "\n[tool.black]\nline-length = 110\n", '\n[tool.black]\nline-length = "wide"\n', "wide"),
        ("isort", 'profile = "black"', 'profile = "blakc"', "blakc"),
    ],
    ids=["mypy-value", "mypy-name", "flake8", "black", "isort"],
)
def test_a_setting_that_a_tool_refuses_fails_its_check(
    repository: Checkout, check: str, old: str, new: str, words: str
) -> None:
    repository.replace("pyproject.toml", old, new)
    ran = repository.nox("-s", "lint")
    ran.assert_only("lint", failed={check}, rows=ROWS)
    [found] = ran.check("lint", check).findings
    assert found.tool == check
    assert words in found.message


def test_a_selection_of_files_is_a_partial_result(repository: Checkout) -> None:
    repository.write(SEED, "import os\n")
    ran = repository.nox("-s", "lint", "--", "noxfile.py")
    ran.assert_only("lint", failed=set(), rows=ROWS)
    assert ran.result("lint").partial
