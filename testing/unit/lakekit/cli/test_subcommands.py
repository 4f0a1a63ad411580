from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, List, Tuple

import pytest
from deltalake import DeltaTable

from lakekit.cli.main import call
from lakekit.commands.init import TEMPLATE

TABLES = ("--tables", "lakekit.template.tables")


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs a command on the lake of orders, and returns the exit
    code and the output.
    """

    def run(*arguments: object, tables: Tuple[str, ...] = TABLES) -> Tuple[int, str]:
        code = call([str(argument) for argument in (*arguments, *tables)])
        out, err = capsys.readouterr()
        return code, out + err

    return run


def lines_of(text: str) -> List[List[str]]:
    return [line.split() for line in text.splitlines() if line]


def test_tables_prints_each_declaration(printed: Any) -> None:
    code, out = printed("tables")
    assert code == 0 and "silver.orders (merge): Latest version of every order" in out
    assert "  reads bronze.orders\n  key order_id\n" in out
    assert ["price", "double", "required", "Per", "item,", "in", "euros"] in lines_of(
        out
    )
    code, out = printed("tables", "--json")
    gold = json.loads(out)["tables"][-1]
    assert (gold["name"], gold["layer"], gold["update"]) == (
        "gold.sales_by_day",
        "gold",
        "groups",
    )
    assert gold["columns"][-1] == {
        "name": "euros",
        "type": "double",
        "required": True,
        "comment": "",
        "tolerance": 1e-12,
        "volatile": False,
    }


def test_tables_prints_the_partition(printed: Any) -> None:
    assert "  partition flight_month\n" in printed("tables", tables=())[1]


def test_ddl_prints_a_script_or_its_statements(printed: Any) -> None:
    code, script = printed("ddl", "main.shop")
    assert code == 0 and script.startswith(
        "CREATE SCHEMA IF NOT EXISTS `main`.`shop`;\n\nCREATE TABLE"
    )
    statements = json.loads(printed("ddl", "main.shop", "--json")[1])["statements"]
    assert [f"{each};" for each in statements] == script.strip().split("\n\n")
    assert printed("ddl", "shop")[0] == 2


def test_quality_exits_by_what_it_found(
    printed: Any, shop: Path, tmp_path: Path
) -> None:
    code, out = printed("quality", "--lake", shop)
    assert code == 0 and out.splitlines()[-1] == "0 of 3 checks failed, 1 warnings"
    assert "quarantine.orders: 1 rows violate the rule type: quantity" in out
    text = (
        (TEMPLATE / "tables.py")
        .read_text()
        .replace("Path(__file__).parent", f"Path({str(TEMPLATE)!r})")
    )
    (tmp_path / "tables.py").write_text(
        text.replace('"customer is not null")', '"customer is not null", "fail")')
    )
    shutil.rmtree(shop / "gold")
    tables = ("--tables", str(tmp_path / "tables.py"))
    code, out = printed("quality", "--lake", shop, tables=tables)
    assert code == 1 and "gold.sales_by_day does not exist yet" in out
    assert [
        "silver.orders",
        "customer",
        "is",
        "known",
        "expectation",
        "fail",
        "1",
        "9",
    ] in lines_of(out)
    code, out = printed("quality", "--lake", shop, "--json", tables=tables)
    assert (code, json.loads(out)["failed"]) == (1, 1)


def test_diff_exits_by_whether_they_differ(
    printed: Any, shop: Path, tmp_path: Path
) -> None:
    shutil.copytree(shop, tmp_path / "b")
    code, out = printed("diff", shop, tmp_path / "b")
    assert code == 0 and out.splitlines()[-1] == "No difference."
    DeltaTable(str(tmp_path / "b/silver/orders")).update(
        {"item": "'mug'"}, predicate="order_id = 1008"
    )
    shutil.rmtree(tmp_path / "b/gold")
    code, out = printed("diff", shop, tmp_path / "b")
    assert code == 1 and out.splitlines()[-1] == "2 of 4 tables differ"
    assert ["silver.orders", "9", "9", "0", "0", "1", "item", "in", "1"] in lines_of(
        out
    )
    assert ["gold.sales_by_day", "9", "missing", "9", "0", "0"] in lines_of(out)
    code, out = printed("diff", shop, tmp_path / "b", "--json")
    assert (code, json.loads(out)["differs"]) == (1, True)


def test_maintain_says_what_it_did_and_what_had_to_stay(
    printed: Any, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out = printed("maintain", "--lake", shop)
    assert code == 0 and [
        "silver.orders",
        "nothing",
        "to",
        "gain",
        "0",
        "files",
    ] in lines_of(out)
    assert (
        json.loads(printed("maintain", "--lake", shop, "--json", "--dry-run")[1])[
            "refused"
        ]
        is False
    )
    assert "left as they are" in printed("maintain", "--lake", shop, "--dry-run")[1]
    code, out = printed("maintain", "--lake", shop, "--retain-hours", 1)
    assert code == 2 and "Retain 168 hours or more." in out


def test_init_names_its_files_and_the_next_command(
    printed: Any, tmp_path: Path
) -> None:
    code, out = printed("init", tmp_path / "shop", tables=())
    assert (
        code == 0
        and out.splitlines()[-1] == f"Next: cd {tmp_path / 'shop'} && lakekit run"
    )
    assert f"{tmp_path / 'shop'}/tables.py" in out
    assert printed("init", tmp_path / "shop", tables=())[0] == 2
    code, out = printed("init", tmp_path / "second", "--json", tables=())
    assert "tables.py" in json.loads(out)["files"]
