"""Tests that `nox -s lint` finds mistakes in workflow files, and reports the rule, file
and line of each mistake. One run tests many mistakes. Only the expected rows may report
a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from testing.acceptance.conftest import Checkout, Ran
from testing.acceptance.test_lint import ROWS, WORKFLOW_ROWS

FILE = ".github/workflows/ci.yml"
# A workflow without findings.
SOUND_WORKFLOW = """\
name: extra
on:
  workflow_dispatch: {}
permissions: {}
concurrency:
  group: extra
  cancel-in-progress: true
jobs:
  greet:
    name: greet
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    steps:
      - run: echo hello
"""
PIN = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
# Edits of the generated workflow file. One run tests all edits.
EDITS = {
    "time limit": ("timeout-minutes: 165", "timeout-minutes: 166"),
    "need": ("needs: [lint]", "needs: [lnt]"),
    "session": ("SESSION: build", "SESSION: biuld"),
    "pin": (PIN, "actions/checkout@v7"),
    "command": ('run: nox -s "$SESSION"', "run: make lint"),
}
# For each mistake, there is a separate workflow file. Each value consists of the rows
# that must fail, the row and the rule that must report the mistake, the correct text,
# and the wrong text.
MISTAKES = {
    "shape": (
        {"workflow schema", "actionlint"},
        "workflow schema",
        "schema",
        "  greet:\n",
        "  greet: # here\n    timeout-minuets: 5\n",
    ),
    "expression": (
        {"actionlint"},
        "actionlint",
        "expression",
        "echo hello",
        "echo hello\n        env:\n          WORD: ${{ matrix.word }} # here",
    ),
    "permissions": (
        {"zizmor"},
        "zizmor",
        "excessive-permissions",
        "permissions: {}",
        "permissions: write-all # here",
    ),
}


@dataclass(frozen=True)
class Edited:
    """A repository with mistakes in its workflows, the result of lint, and the line of
    each mistake.
    """

    checkout: Checkout
    ran: Ran
    lines: Mapping[str, int]


def extra(mistake: str) -> str:
    return f".github/workflows/{mistake}.yml"


def edit(repository: Checkout, old: str, new: str) -> int:
    """Replace the first occurrence of a text in the workflow file. Returns its line
    number.
    """
    text = (repository.root / FILE).read_text(encoding="utf-8")
    before, found, after = text.partition(old)
    assert found
    (repository.root / FILE).write_text(before + new + after, encoding="utf-8")
    return before.count("\n") + 1


@pytest.fixture(scope="module")
def edited(lean: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Edited:
    """Run lint once with all edits and mistakes that one run can report."""
    checkout = lean.copy(tmp_path_factory.mktemp("edited") / "repository")
    lines = {name: edit(checkout, *change) for name, change in EDITS.items()}
    for name, (_, _, _, old, new) in MISTAKES.items():
        assert SOUND_WORKFLOW.count(old) == 1
        lines[name] = checkout.write(extra(name), SOUND_WORKFLOW.replace(old, new))
    return Edited(checkout, checkout.nox("-s", "lint"), lines)


@pytest.fixture
def repository(edited: Edited, tmp_path: Path) -> Checkout:
    """Return a copy of the repository. The copy has no mistakes, but still has the
    caches of the run that found the mistakes.
    """
    copy = edited.checkout.copy(tmp_path / "repository")
    copy.git("checkout", "--quiet", ".")
    copy.git("clean", "--quiet", "--force", ".github")
    return copy


def test_mistakes_in_workflows_fail_the_rows_of_the_workflow_alone(
    edited: Edited,
) -> None:
    edited.ran.assert_only("lint", failed=WORKFLOW_ROWS, rows=ROWS)


def test_edit_by_hand_is_shown_with_the_command_that_corrects_it(
    edited: Edited,
) -> None:
    finding = edited.ran.finding("lint", "workflow", "in-sync")
    assert (finding.file, finding.line) == (
        FILE,
        min(edited.lines[name] for name in EDITS),
    )
    assert "-    timeout-minutes: 166\n+    timeout-minutes: 165" in finding.message
    assert "nox -s workflow" in finding.message
    # Only the row `workflow` may report a changed time limit.
    rows = {
        row
        for row, _, line in edited.ran.named("lint", FILE)
        if line == edited.lines["time limit"]
    }
    assert rows <= {"workflow"}


def test_unknown_need_is_named(edited: Edited) -> None:
    finding = edited.ran.finding("lint", "workflow sessions", "unknown-need")
    assert "'tests'" in finding.message and "'lnt'" in finding.message
    assert any(
        "lnt" in each.message
        for each in edited.ran.check("lint", "actionlint").findings
    )


def test_session_that_does_not_exist_is_named(edited: Edited) -> None:
    messages = [
        each.message
        for each in edited.ran.check("lint", "workflow sessions").findings
        if each.rule == "session"
    ]
    assert any("'build'" in each and "'biuld'" in each for each in messages)
    assert any("'build'" in each and "'biuld'" not in each for each in messages)


def test_unpinned_action_is_named(edited: Edited) -> None:
    finding = edited.ran.finding("lint", "zizmor", "unpinned-uses")
    assert (finding.file, finding.line) == (FILE, edited.lines["pin"])


def test_command_beside_nox_is_named(edited: Edited) -> None:
    finding = edited.ran.finding("lint", "workflow sessions", "run")
    assert "'make lint'" in finding.message
    assert (finding.file, finding.line) == (FILE, edited.lines["command"])


@pytest.mark.parametrize("mistake", MISTAKES)
def test_finds_a_mistake_in_a_workflow(edited: Edited, mistake: str) -> None:
    failed, check, rule, _, _ = MISTAKES[mistake]
    found = edited.ran.named("lint", extra(mistake))
    assert {row for row, _, _ in found} == failed
    assert (check, rule, edited.lines[mistake]) in found


def test_the_command_corrects_it_and_a_sound_workflow_beside_ours_passes(
    edited: Edited, tmp_path: Path
) -> None:
    repository = edited.checkout.copy(tmp_path / "repository")
    for mistake in MISTAKES:
        (repository.root / extra(mistake)).unlink()
    repository.write(extra("sound"), SOUND_WORKFLOW)
    assert repository.nox("-s", "workflow").code == 0
    repository.nox("-s", "lint").assert_only("lint", failed=set(), rows=ROWS)


def test_circle_of_needs_and_a_session_renamed_in_the_noxfile_are_named(
    repository: Checkout,
) -> None:
    edit(repository, "    name: lint\n", "    name: lint\n    needs: [build]\n")
    noxfile = (repository.root / "noxfile.py").read_text(encoding="utf-8")
    changed = noxfile.replace("def tests(", "def trials(").replace(
        "needs=[tests", "needs=[trials"
    )
    (repository.root / "noxfile.py").write_text(changed, encoding="utf-8")
    ran = repository.nox("-s", "lint")
    ran.assert_only(
        "lint", failed={"workflow", "workflow sessions", "actionlint"}, rows=ROWS
    )
    found = [
        each
        for each in ran.check("lint", "workflow sessions").findings
        if each.rule == "circle"
    ]
    named = {"'lint'", "'tests'", "'docker'", "'k8s'", "'suite'", "'build'"}
    assert {re.findall(r"'\w+'", each.message)[0] for each in found} == named
    assert all(each.file == FILE and each.line for each in found)
    missing = ran.finding("lint", "workflow sessions", "missing-job")
    assert "'trials'" in missing.message
    unknown = ran.finding("lint", "workflow sessions", "unknown-job")
    assert "'tests'" in unknown.message


def test_finds_a_declaration_that_the_workflow_does_not_know(
    repository: Checkout,
) -> None:
    repository.replace(
        "noxfile.py",
        '    needs=[lint],\n    inputs=["{suite}", "{lakekit}", ',
        '    inputs=["{suite}", "{lakekit}", ',
    )
    ran = repository.nox("-s", "lint")
    ran.assert_only("lint", failed={"workflow", "workflow sessions"}, rows=ROWS)
    line = line_of(repository, FILE, "  tests:") + 1
    found = ran.finding("lint", "workflow sessions", "needs")
    assert (found.tool, found.file, found.line) == ("workflow sessions", FILE, line)
    assert "-    needs: [lint]" in ran.finding("lint", "workflow", "in-sync").message


def line_of(repository: Checkout, path: str, text: str) -> int:
    return (repository.root / path).read_text(encoding="utf-8").splitlines().index(
        text
    ) + 1
