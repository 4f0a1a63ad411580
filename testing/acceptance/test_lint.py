"""Tests that each check of `nox -s lint` finds a seeded defect. One run tests many
defects, each in a separate file. Only the expected row may report a defect.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from testing.acceptance.conftest import Checkout, Ran

WORKFLOW_ROWS = {
    "workflow",
    "workflow schema",
    "workflow sessions",
    "actionlint",
    "zizmor",
}
ROWS = {"flake8", "black", "isort", "mypy", "imports", "locks"} | WORKFLOW_ROWS
SEED = "utils/lakekit/commands/seeded.py"
# For each defect: the row that must find it, the rule, and the text of the file with
# the defect.
DEFECTS = {
    "unused_import": ("flake8", "F401", "import os  # here\n"),
    "formatting": ("black", "format", "ONE = 1\nNAME = 'single'  # here\n"),
    "import_order": (
        "isort",
        "order",
        'import sys  # here\nimport os\n\n__all__ = ["os", "sys"]\n',
    ),
    "import_across": (
        "imports",
        "layer",
        'import lake_ci.errors  # here\n\n__all__ = ["lake_ci"]\n',
    ),
    "type_error": (
        "mypy",
        "return-value",
        'def number() -> int:\n    return "1"  # here\n',
    ),
}
EDITED_LOCK = "requirements/acceptance.txt"
# Settings in pyproject.toml that a tool must reject.
SETTINGS = [
    ("\nstrict = true\n", '\nstrict = "perhaps"\n'),
    ("warn_unreachable = true", "warn_unreachably = true"),
    ("max-complexity = 10", 'max-complexity = "many"'),
    ("\n[tool.black]\nline-length = 88\n", '\n[tool.black]\nline-length = "wide"\n'),
    ('profile = "black"', 'profile = "blakc"'),
]


@pytest.fixture(scope="module")
def sound(lean: Checkout) -> tuple[Checkout, Ran]:
    """Return a repository without a defect, and the result of lint. This run also fills
    mypy's cache.
    """
    return lean, lean.nox("-s", "lint")


@pytest.fixture
def repository(sound: tuple[Checkout, Ran], tmp_path: Path) -> Checkout:
    return sound[0].copy(tmp_path / "repository")


def defect_file(defect: str) -> str:
    return f"utils/lakekit/commands/{defect}.py"


@pytest.fixture(scope="module")
def seeded(
    sound: tuple[Checkout, Ran], tmp_path_factory: pytest.TempPathFactory
) -> Ran:
    """Run lint once with all defects that one run can report."""
    checkout = sound[0].copy(tmp_path_factory.mktemp("seeded") / "repository")
    for defect, (_, _, text) in DEFECTS.items():
        checkout.write(defect_file(defect), text)
    checkout.replace(
        "pyproject.toml", '"check-wheel-contents"', '"check-wheel-contents>=0.6"'
    )
    text = (checkout.root / EDITED_LOCK).read_text(encoding="utf-8")
    first = re.findall(r"--hash=sha256:(\w{64})", text)[0]
    checkout.replace(EDITED_LOCK, first, "0" * 64)
    return checkout.nox("-s", "lint")


def test_a_sound_repository_passes(sound: tuple[Checkout, Ran]) -> None:
    sound[1].assert_only("lint", failed=set(), rows=ROWS)


def test_defects_fail_their_own_rows_and_no_other(seeded: Ran) -> None:
    seeded.assert_only("lint", failed=ROWS - WORKFLOW_ROWS, rows=ROWS)


@pytest.mark.parametrize("defect", DEFECTS)
def test_finds_a_defect_in_a_file(seeded: Ran, defect: str) -> None:
    check, rule, text = DEFECTS[defect]
    file = defect_file(defect)
    [line] = [
        number for number, each in enumerate(text.splitlines(), 1) if "# here" in each
    ]
    # Only the expected row may report the defect.
    assert seeded.named("lint", file) == {(check, rule, line)}
    [found] = seeded.check("lint", check).findings
    assert (found.tool, found.file) == (check, file)


def test_finds_a_lock_out_of_step_and_one_edited_by_hand(seeded: Ran) -> None:
    found = seeded.check("lint", "locks").findings
    assert {(each.tool, each.rule, each.file, each.line) for each in found} == {
        ("locks", "out-of-step", "requirements/build.txt", 1),
        ("locks", "out-of-step", EDITED_LOCK, 1),
    }
    assert all("nox -s lock" in each.message for each in found)


def test_a_file_that_does_not_parse_is_a_finding_of_each_tool_that_parses(
    repository: Checkout,
) -> None:
    line = repository.write(SEED, "total = 1 +  # here\nrest = 2\n")
    ran = repository.nox("-s", "lint")
    ran.assert_only("lint", failed={"flake8", "black", "imports", "mypy"}, rows=ROWS)
    assert "Traceback" not in ran.output
    rules = {
        "flake8": "E999",
        "black": "parse",
        "imports": "syntax",
        "mypy": "syntax",
    }
    for check, rule in rules.items():
        found = ran.finding("lint", check, rule)
        assert (found.tool, found.file, found.line) == (check, SEED, line)


def test_a_setting_that_a_tool_refuses_fails_its_check(repository: Checkout) -> None:
    for old, new in SETTINGS:
        repository.replace("pyproject.toml", old, new)
    ran = repository.nox("-s", "lint")
    ran.assert_only("lint", failed={"flake8", "black", "isort", "mypy"}, rows=ROWS)
    for check, word in (("flake8", "many"), ("black", "wide"), ("isort", "blakc")):
        [found] = ran.check("lint", check).findings
        assert found.tool == check
        assert word in found.message
    # An invalid value and an unknown setting. mypy itself ignores both, and exits with
    # 0.
    value, name = ran.check("lint", "mypy").findings
    assert value.tool == name.tool == "mypy"
    assert "perhaps" in value.message
    assert "warn_unreachably" in name.message


def test_a_selection_of_files_is_a_partial_result(repository: Checkout) -> None:
    repository.write(SEED, "import os\n")
    ran = repository.nox("-s", "lint", "--", "noxfile.py")
    ran.assert_only("lint", failed=set(), rows=ROWS)
    assert ran.result("lint").partial
