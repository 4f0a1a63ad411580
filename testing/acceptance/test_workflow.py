"""What can go wrong with the workflow file is found by `nox -s lint`, by name, file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from testing.acceptance.conftest import Checkout

FILE = ".github/workflows/ci.yml"
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
    assert {each.message.split()[1] for each in found} == {"'lint'", "'tests'", "'build'"}
    assert all(each.file == FILE and each.line for each in found)


def test_session_renamed_in_the_noxfile_is_named(repository: Checkout) -> None:
    noxfile = (repository.root / "noxfile.py").read_text(encoding="utf-8")
    changed = noxfile.replace("def tests(", "def trials(").replace("needs=[tests]", "needs=[trials]")
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


def test_shape_that_github_does_not_know_is_named(repository: Checkout) -> None:
    edit(repository, "    runs-on: ubuntu-24.04\n", "    runs-off: ubuntu-24.04\n")
    ran = repository.nox("-s", "lint")
    found = ran.check("lint", "workflow schema").findings
    assert any("jobs.lint" in each.message and each.file == FILE for each in found)
