"""What can go wrong with the workflow file is found by `nox -s lint`, by name, file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from testing.acceptance.conftest import Checkout
from testing.acceptance.test_lint import ROWS

FILE = ".github/workflows/ci.yml"
EXTRA = ".github/workflows/extra.yml"
# A workflow that no check objects to.
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


@pytest.fixture(scope="module")
def sound(original: Checkout) -> Checkout:
    original.commit()
    return original


@pytest.fixture
def repository(sound: Checkout, tmp_path: Path) -> Checkout:
    return sound.copy(tmp_path / "repository")


def edit(repository: Checkout, old: str, new: str) -> int:
    """Replace the first occurrence in the workflow file, and return its line."""
    text = (repository.root / FILE).read_text(encoding="utf-8")
    before, found, after = text.partition(old)
    assert found
    (repository.root / FILE).write_text(before + new + after, encoding="utf-8")
    return before.count("\n") + 1


def test_edit_by_hand_is_shown_with_the_command_that_mends_it(repository: Checkout) -> None:
    line = edit(repository, "timeout-minutes: 25", "timeout-minutes: 26")
    ran = repository.nox("-s", "lint")
    assert ran.code == 1
    assert {name for name, status in ran.rows("lint").items() if status == "failure"} == {"workflow"}
    finding = ran.finding("lint", "workflow", "in-sync")
    assert (finding.file, finding.line) == (FILE, line)
    assert "-    timeout-minutes: 26\n+    timeout-minutes: 25" in finding.message
    assert "nox -s workflow" in finding.message
    assert repository.nox("-s", "workflow").code == 0
    assert repository.nox("-s", "lint").rows("lint")["workflow"] == "success"


def test_unknown_need_is_named(repository: Checkout) -> None:
    edit(repository, "needs: [lint]", "needs: [lnt]")
    ran = repository.nox("-s", "lint")
    finding = ran.finding("lint", "workflow sessions", "unknown-need")
    assert "'tests' needs 'lnt'" in finding.message
    assert ran.rows("lint")["actionlint"] == "failure"
    assert ran.rows("lint")["workflow"] == "failure"


def test_circle_of_needs_is_named(repository: Checkout) -> None:
    edit(repository, "    name: lint\n", "    name: lint\n    needs: [build]\n")
    ran = repository.nox("-s", "lint")
    found = [each for each in ran.check("lint", "workflow sessions").findings if each.rule == "circle"]
    named = {"'lint'", "'tests'", "'docker'", "'k8s'", "'suite'", "'build'"}
    assert {each.message.split()[1] for each in found} == named
    assert all(each.file == FILE and each.line for each in found)


def test_session_renamed_in_the_noxfile_is_named(repository: Checkout) -> None:
    noxfile = (repository.root / "noxfile.py").read_text(encoding="utf-8")
    changed = noxfile.replace("def tests(", "def trials(").replace("needs=[tests", "needs=[trials")
    (repository.root / "noxfile.py").write_text(changed, encoding="utf-8")
    ran = repository.nox("-s", "lint")
    messages = [each.message for each in ran.check("lint", "workflow sessions").findings]
    assert any("the declared job 'trials' is not in the workflow" in message for message in messages)
    assert any("job 'tests' is not declared" in message for message in messages)
    assert ran.rows("lint")["workflow"] == "failure"


def test_session_that_does_not_exist_is_named(repository: Checkout) -> None:
    edit(repository, "SESSION: build", "SESSION: biuld")
    ran = repository.nox("-s", "lint")
    messages = [each.message for each in ran.check("lint", "workflow sessions").findings]
    assert "job 'build' runs the session 'biuld', which it does not have" in messages
    assert "job 'build' does not run its session 'build'" in messages


def test_unpinned_action_is_named(repository: Checkout) -> None:
    line = edit(repository, PIN, "actions/checkout@v7")
    ran = repository.nox("-s", "lint")
    finding = ran.finding("lint", "zizmor", "unpinned-uses")
    assert (finding.file, finding.line) == (FILE, line)


def test_command_beside_nox_is_named(repository: Checkout) -> None:
    line = edit(repository, 'run: nox -s "$SESSION"', "run: make lint")
    ran = repository.nox("-s", "lint")
    finding = ran.finding("lint", "workflow sessions", "run")
    assert "'make lint'" in finding.message
    assert (finding.file, finding.line) == (FILE, line)


def test_a_sound_workflow_beside_ours_passes(repository: Checkout) -> None:
    repository.write(EXTRA, SOUND_WORKFLOW)
    repository.nox("-s", "lint").assert_only("lint", failed=set(), rows=ROWS)


def test_finds_a_declaration_that_the_workflow_does_not_know(repository: Checkout) -> None:
    repository.replace(
        "noxfile.py", "    needs=[lint],\n    inputs=[*SUITE, *LAKEKIT, ", "    inputs=[*SUITE, *LAKEKIT, "
    )
    ran = repository.nox("-s", "lint")
    ran.assert_only("lint", failed={"workflow", "workflow sessions"}, rows=ROWS)
    line = line_of(repository, FILE, "  tests:") + 1
    found = ran.finding("lint", "workflow sessions", "needs")
    assert (found.tool, found.file, found.line) == ("workflow sessions", FILE, line)
    assert "-    needs: [lint]" in ran.finding("lint", "workflow", "in-sync").message


@pytest.mark.parametrize(
    ("failed", "check", "rule", "old", "new"),
    [
        (
            {"workflow schema", "actionlint"},
            "workflow schema",
            "schema",
            "  greet:\n",
            "  greet: # here\n    timeout-minuets: 5\n",
        ),
        (
            {"actionlint"},
            "actionlint",
            "expression",
            "echo hello",
            "echo hello\n        env:\n          WORD: ${{ matrix.word }} # here",
        ),
        ({"zizmor"}, "zizmor", "excessive-permissions", "permissions: {}", "permissions: write-all # here"),
    ],
    ids=["shape", "expression", "permissions"],
)
def test_finds_a_mistake_in_a_workflow(
    repository: Checkout, failed: set[str], check: str, rule: str, old: str, new: str
) -> None:
    assert SOUND_WORKFLOW.count(old) == 1
    line = repository.write(EXTRA, SOUND_WORKFLOW.replace(old, new))
    ran = repository.nox("-s", "lint")
    ran.assert_only("lint", failed=failed, rows=ROWS)
    found = ran.finding("lint", check, rule)
    assert (found.tool, found.file, found.line) == (check, EXTRA, line)


def line_of(repository: Checkout, path: str, text: str) -> int:
    return (repository.root / path).read_text(encoding="utf-8").splitlines().index(text) + 1
