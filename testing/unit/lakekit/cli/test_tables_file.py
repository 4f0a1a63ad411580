from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from lakekit.cli.main import call
from lakekit.cli.tables_file import load_tables
from lakekit.commands.init import TEMPLATE
from lakekit.errors import SettingsError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create a project with `lakekit init`, and make its folder the working directory.
    Return its folder.
    """
    folder = tmp_path / "shop"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(TEMPLATE, folder, ignore=ignored, copy_function=shutil.copyfile)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("text", "what", "next_step"),
    [
        ("Colum('a')", "own.py:3 cannot be read: NameError", "Did you mean Column?"),
        ("Column('a', requird=True)", "own.py:3 .*requird", "Did you mean required?"),
        ("Column()", "own.py:3 .*TypeError: .*'name'", "Correct "),
        ("declarations.Tabel()", "own.py:3 .*Tabel", "Did you mean Table?"),
        ("from lakekit.declarations import Colum", "own.py:3 .*Colum", "mean Column?"),
        ("1 / 0", "own.py:3 .*ZeroDivisionError: division", "Correct "),
        ("raise SystemExit", "own.py:3 .*SystemExit: no message", "Correct "),
        ("bronze(Column)", "own.py:3 ", "Correct "),
        ("def", "own.py:3 .*SyntaxError: ", "Correct "),
        ("import nothing_there", "own.py:3 .*No module named", "Correct "),
        ("open('/nothing/there')", "own.py:3 .*FileNotFoundError", "Correct "),
        ("TABLES = Column('a')", "own.py: TABLES is Column a, not a", "Correct "),
        ("TABLES = TableSet((), '')", "own.py: TABLES has no tables", "Declare one"),
        ("TABLES = [1]", r"own.py: TABLES is \[1\], not a TableSet", "Correct "),
        ("tables = TableSet((bronze(S),), '')", "no TABLES", "Rename tables there"),
        ("'caf\xe9'", "own.py.* cannot be read: SyntaxError: .*utf-8", "Correct "),
        ("'\0'", "own.py.* cannot be read: ", "Correct "),
    ],
)
def test_file_that_fails_is_refused_with_its_line(
    text: str, what: str, next_step: str, tmp_path: Path
) -> None:
    head = "from lakekit import declarations\n"
    head += "from lakekit.declarations import *; S = Source('s', (Column('a'),))\n"
    (tmp_path / "own.py").write_bytes((head + text).encode("latin-1"))
    with pytest.raises(SettingsError, match=what) as caught:
        load_tables(str(tmp_path / "own.py"))
    assert next_step in caught.value.next_step and caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["none.py", ".", ".x", "", "no.such.module", "a b"])
def test_name_of_no_tables_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="cannot be read") as caught:
        load_tables(name)
    assert "TABLES = TableSet(...)" in caught.value.next_step


def test_edit_within_a_second_is_seen(project: Path) -> None:
    file = project / "tables.py"
    assert load_tables(str(file))["silver.orders"].expectations[0].severity == "drop"
    file.write_text(file.read_text().replace('"drop"', '"fail"'))
    assert load_tables(str(file))["silver.orders"].expectations[0].severity == "fail"


def test_file_may_start_with_a_byte_order_mark(project: Path) -> None:
    file = project / "tables.py"
    file.write_text(file.read_text(), encoding="utf-8-sig")
    assert len(load_tables(str(file))) == 4


MISTAKES = {
    "severity": ('"drop"', '"Drop"', "silver.orders: Expectation quantity is positive"),
    "type": ('"quantity", "int"', '"quantity", "integer"', "bronze.orders: Column"),
    "column": ("quantity > 0", "quantty > 0", "silver.orders: expectation 'quant"),
    "misfits": ("misfits=0.1", "misfits='10%'", "bronze.orders: Source orders"),
    "missing": ("misfits=0.1", "missing=None", "bronze.orders: Source orders"),
    "constraint": ('"price >= 0"', '"price >= "', "silver.orders: constraint price_"),
    "constraint type": ('"price >= 0"', '"price"', "silver.orders: constraint price_"),
    "sql file": ("silver/orders.sql", "silver/order.sql", "silver.orders: there is no"),
    "comma": ('key=("order_id",)', 'key=("order_id")', "silver.orders: key is"),
    "update": ('update="groups"', 'update="upsert"', "gold.sales_by_day: there is no"),
}


@pytest.mark.parametrize(("right", "wrong", "what"), MISTAKES.values(), ids=MISTAKES)
def test_wrong_declaration_stops_the_command_before_it_writes(
    right: str,
    wrong: str,
    what: str,
    project: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = project / "tables.py"
    file.write_text(file.read_text().replace(right, wrong))
    assert call(["run"]) == 2
    error, next_step = capsys.readouterr().err.splitlines()
    assert error.startswith(f"Error: {file}:") and what in error
    assert next_step.startswith("Next: ") and not (project / "lake").exists()


@pytest.mark.parametrize(
    ("right", "wrong", "what"),
    [
        ("as quantity", "as quantities", "returns the columns "),
        ("as int", "as string", "column quantity is VARCHAR in the SQL but int"),
        ("cast(price", "cast(prise", 'column "prise" not found.*mean "price"'),
        ("from bronze.orders", "from bronze.orders o where o.x = 1", '"x"'),
    ],
)
def test_sql_of_other_columns_stops_the_run_before_it_writes(
    right: str,
    wrong: str,
    what: str,
    project: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = project / "sql" / "silver" / "orders.sql"
    assert right in file.read_text()
    file.write_text(file.read_text().replace(right, wrong))
    assert call(["run"]) == 2
    error, next_step = capsys.readouterr().err.splitlines()
    assert f"silver.orders: {file}: " in error and next_step.startswith("Next: ")
    assert re.search(what, error)
    assert not any((project / "lake").rglob("*.json"))
