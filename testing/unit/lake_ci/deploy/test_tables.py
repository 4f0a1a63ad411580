"""Tests that the suite finds exactly the changes that a deploy made to tables and to
the cluster's packages.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lake_ci.deploy.errors import StepError
from lake_ci.deploy.ledger import DeployRun
from lake_ci.deploy.tables import (
    Embedded,
    gold_differences,
    restore_arguments,
    unexpected_package_changes,
)
from lake_ci.model.settings import Comparison


def gold(rows: int = 3, **sums: str | None) -> dict[str, Any]:
    return {"gold_sales": {"rows": rows, "sums": sums}}


@pytest.mark.parametrize(
    ("expected", "found", "words"),
    [
        (gold(price="7.5"), gold(price="7.50"), []),
        (gold(price="7.5"), gold(price="7.500000000001"), []),
        (gold(price=None), gold(price=None), []),
        (
            gold(price="7.5"),
            gold(price="7.6"),
            ["gold_sales.price adds up to 7.6, the embedded run's to 7.5"],
        ),
        (
            gold(price="7.5"),
            gold(price=None),
            ["gold_sales.price adds up to None, the embedded run's to 7.5"],
        ),
        (gold(3), gold(4), ["gold_sales has 4 rows, the embedded run 3"]),
        (gold(), {}, ["gold_sales does not exist"]),
        ({}, gold(), []),
        (gold(price="12345678901234567890"), gold(price="12345678901234567890"), []),
    ],
)
def test_gold_is_compared_by_rows_and_sums(
    expected: dict[str, Any], found: dict[str, Any], words: list[str]
) -> None:
    assert gold_differences(expected, found) == words


def test_only_the_package_and_what_it_needs_may_change() -> None:
    before = {
        "packages": {"numpy": "1", "shop": "1", "click": "7", "gone": "1"},
        "own": ["shop", "click"],
    }
    after = {
        "packages": {"numpy": "2", "shop": "2", "click": "8", "new": "1"},
        "own": ["shop", "click"],
    }
    assert unexpected_package_changes(before, after) == [
        "gone: 1 before, not installed now",
        "new: not installed before, 1 now",
        "numpy: 1 before, 2 now",
    ]


def test_restore_arguments_name_versions_and_times_of_runs() -> None:
    words = restore_arguments(
        {"b": 2, "a": 1}, [DeployRun(7, 100, 200, (8, 9)), DeployRun(10, 300, 0)]
    )
    assert words == [
        "--table",
        "a=1",
        "--table",
        "b=2",
        "--run",
        "7,8,9:100:200",
        "--run",
        "10:300:0",
    ]


RUN = """\
import json, os, sys
from pathlib import Path

source, lake = sys.argv[1:]
names = [name for name in os.environ if name.startswith(("SHOP_", "DATABRICKS_"))]
written = {"files": sorted(os.listdir(source)), "names": sorted(names)}
Path(lake).write_text(json.dumps(written))
sys.exit(0 if os.environ["SHOP_ENGINE"] == "embedded" else "no such engine")
"""
INSPECT = """\
import json, sys
from pathlib import Path

print(json.dumps({"lake_ci": {"gold": json.loads(Path(sys.argv[2]).read_text())}}))
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in (("code/shop.py", RUN), ("inspect.py", INSPECT), ("data/a", "")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for name in ("SHOP_LAKE", "SHOP_OTHER", "DATABRICKS_HOST"):
        monkeypatch.setenv(name, "outside")
    return tmp_path


def comparison(engine: str) -> Comparison:
    return Comparison(
        arguments=("-m", "shop", "{sample}", "{lake}"),
        path=("code",),
        environment={"SHOP_ENGINE": engine},
        unset=("SHOP_L*",),
    )


def test_run_to_compare_with_is_what_the_settings_say(project: Path) -> None:
    run = Embedded(project, "data", "inspect.py", comparison("embedded"))
    names = ["SHOP_ENGINE", "SHOP_OTHER"]
    assert run.gold() == {"files": ["a"], "names": names}


def test_run_to_compare_with_that_fails_is_named_with_its_last_lines(
    project: Path,
) -> None:
    run = Embedded(project, "data", "inspect.py", comparison("spark"))
    with pytest.raises(StepError, match="compare with failed\nno such engine"):
        run.gold()
