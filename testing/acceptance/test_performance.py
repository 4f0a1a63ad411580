"""Tests that `nox -s performance` finds a transform that became slower, and does not
report noise. One fast benchmark is enough, because all benchmarks are measured by the
same code.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from testing.acceptance.conftest import Checkout, Ran
from testing.performance.seeds import slow_down

READY = {"java", "jars", "baseline", "wheel", "baseline wheel", "benchmarks"}
ROWS = READY | {"merge", "history"}


@pytest.fixture(scope="module")
def committed(original: Checkout) -> Checkout:
    original.commit()
    return original


@pytest.fixture
def repository(committed: Checkout, tmp_path: Path) -> Checkout:
    return committed.copy(tmp_path / "repository")


def measure(repository: Checkout, *arguments: str) -> Ran:
    return repository.nox("-s", "performance", "--", "-k", "merge", *arguments)


def test_a_transform_that_became_a_third_slower_fails_and_is_named(
    repository: Checkout,
) -> None:
    slow_down(repository.root, "silver.orders", 0.3)
    repository.commit()
    ran = measure(repository, "--seconds", "600")
    ran.assert_only("performance", failed={"merge"}, rows=ROWS)
    found = ran.check("performance", "merge").findings
    slower = [each for each in found if "silver.orders" in each.message]
    assert [each.rule for each in slower] == ["slower"], ran.output
    assert re.search(r"\b1\.\d", slower[0].message)
    assert slower[0].file == "testing/performance/test_merges.py"
    text = (repository.root / "testing/performance/test_merges.py").read_text(
        encoding="utf-8"
    )
    assert slower[0].line is not None
    assert any(
        "def test_merge" in line
        for line in text.splitlines()[slower[0].line - 1 : slower[0].line + 2]
    )
    assert ran.result("performance").partial
    # The worktrees of the benchmark must be removed from git's list.
    assert not (repository.root / ".git" / "worktrees").exists()


def test_the_same_commit_twice_does_not_fail(repository: Checkout) -> None:
    ran = measure(repository, "--baseline", "HEAD", "--all")
    assert ran.code == 0, ran.output
    row = ran.check("performance", "merge")
    assert row.status.value in ("success", "warning")
    assert row.data["intervals"][""]["verdict"] != "slower"


def test_a_benchmark_whose_code_did_not_change_is_skipped_with_that_reason(
    repository: Checkout,
) -> None:
    repository.write("README.md", "Another text.\n")
    repository.commit()
    ran = repository.nox("-s", "performance")
    assert ran.code == 0, ran.output
    rows = ran.rows("performance")
    skipped = {name for name, status in rows.items() if status == "skipped"}
    assert {
        "merge",
        "medallion_embedded",
        "medallion_spark",
        "api_queries",
        "summary",
    } <= skipped
    assert skipped == rows.keys() - READY
    assert "utils/lakekit/*" in ran.check("performance", "merge").detail


def test_a_baseline_that_cannot_be_built_fails_and_says_what_to_type(
    repository: Checkout,
) -> None:
    repository.replace(
        "pyproject.toml", 'requires-python = ">=3.9"', 'requires-python = "three"'
    )
    repository.commit()
    repository.replace(
        "pyproject.toml", 'requires-python = "three"', 'requires-python = ">=3.9"'
    )
    repository.commit()
    ran = measure(repository)
    ran.assert_only(
        "performance",
        failed={"baseline wheel"},
        rows=ROWS,
        skipped={"merge", "history"},
    )
    found = ran.finding("performance", "baseline wheel", "crash")
    assert "requires-python" in found.message
    assert "--baseline" in found.message
    assert not (repository.root / ".git" / "worktrees").exists()


def test_the_first_commit_has_nothing_to_be_compared_with_and_says_so(
    repository: Checkout,
) -> None:
    ran = measure(repository)
    assert ran.code == 0, ran.output
    rows = ran.rows("performance")
    assert {name for name, status in rows.items() if status == "skipped"} == {
        "baseline",
        "baseline wheel",
    }
    assert rows["merge"] == "success"
    assert "intervals" not in ran.check("performance", "merge").data


def test_a_baseline_that_lacks_what_is_measured_makes_it_a_new_benchmark(
    repository: Checkout,
) -> None:
    repository.replace(
        "utils/lakekit/__init__.py",
        "from lakekit.commands.init import InitResult, init\n",
        "",
    )
    repository.commit()
    repository.git("revert", "--no-edit", "HEAD")
    ran = measure(repository)
    assert ran.code == 0, ran.output
    row = ran.check("performance", "merge")
    assert row.status.value == "success"
    assert "AttributeError" in row.detail and "'init'" in row.detail
