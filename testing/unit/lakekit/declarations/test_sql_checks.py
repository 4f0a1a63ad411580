from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from lakekit.declarations.sql_checks import check_sql
from lakekit.declarations.tables import Constraint, Expectation, TableSet
from lakekit.errors import DeclarationError, LakekitError


def with_gold(tables: TableSet, **changed: Any) -> TableSet:
    """Return the tables, after these fields of the gold table were changed."""
    bronze, silver, _, gold = tables
    return TableSet((bronze, silver, dataclasses.replace(gold, **changed)), tables.sql)


@pytest.mark.parametrize(
    ("predicate", "what", "next_step"),
    [
        ("aged > 0", "aged is not a column", "Did you mean age?"),
        ("people.age > 0", "people.age is not a column", "Did you mean age?"),
        ("age >", "line 1: an operand is missing", "does not parse"),
        ("age > 'a", "tokenizing", "does not parse"),
        ("age > 0; select 1", "is not one statement", ""),
        ("", "is not one statement", ""),
        ("age", "", ""),
        ("1", "not a predicate over the columns of one row", "price > 0"),
        ("sum(age) > 0", "not a predicate over the columns of one row", "price > 0"),
        ("count(*) > 0", "not a predicate over the columns of one row", "price > 0"),
        ("row_number() over (order by age) > 1", "not a predicate", "price > 0"),
        ("age in (1, 2)", "is not allowed", "parity test"),
    ],
)
def test_predicate_is_refused_by_its_name(
    predicate: str, what: str, next_step: str, tables: TableSet
) -> None:
    for field, where in (
        ({"expectations": (Expectation("e", predicate),)}, "expectation 'e'"),
        ({"constraints": (Constraint("c", predicate),)}, "constraint c"),
    ):
        wrong = with_gold(tables, **field)
        if predicate == "age":  # the type is wrong, but only the engine checks types
            check_sql(wrong)
            continue
        with pytest.raises(LakekitError, match=f"gold.ages: {where}: ") as caught:
            check_sql(wrong)
        assert what in str(caught.value) and next_step in caught.value.next_step
        assert caught.value.exit_code == 2


@pytest.mark.parametrize("predicate", ["`age` > 0", "age > 0 -- years"])
def test_constraint_has_no_text_that_one_engine_reads_otherwise(
    predicate: str, tables: TableSet
) -> None:
    check_sql(with_gold(tables, expectations=(Expectation("e", predicate),)))
    with pytest.raises(DeclarationError, match="a comment, or a name that needs"):
        check_sql(with_gold(tables, constraints=(Constraint("c", predicate),)))


@pytest.mark.parametrize(
    ("content", "what", "next_step"),
    [
        (b"select 1 as age from silver.person", "reads silver.person", "gold.ages"),
        (b"select age\nfrom silver.people where (", "ages.sql: line 2: ", "not parse"),
        (b"-- first\n-- caf\xe9\nselect 1", "ages.sql, line 2: not UTF-8", "as UTF-8"),
        (b"drop table silver.people", "ages.sql: ", "parity test"),
        (b"", "ages.sql: ", "parity test"),
    ],
)
def test_sql_file_is_refused_by_its_name(
    content: bytes, what: str, next_step: str, tables: TableSet
) -> None:
    (tables.sql / "ages.sql").write_bytes(content)
    with pytest.raises(LakekitError, match="gold.ages: ") as caught:
        check_sql(tables)
    assert what in str(caught.value) and next_step in caught.value.next_step
    assert caught.value.exit_code == 2


def test_missing_sql_file_names_the_nearest(tables: TableSet) -> None:
    wrong = with_gold(tables, sql="age.sql")
    with pytest.raises(DeclarationError, match="no SQL file .*age.sql") as caught:
        check_sql(wrong)
    assert caught.value.next_step == "Did you mean ages.sql?"
    with pytest.raises(DeclarationError, match="no SQL file") as caught:
        check_sql(TableSet(wrong.tables[:2], Path("/none")))
    assert "correct sql in the table" in caught.value.next_step


def test_sql_file_that_is_a_folder_is_refused(tables: TableSet) -> None:
    with pytest.raises(DeclarationError, match="cannot be read: Is a directory"):
        check_sql(with_gold(tables, sql="."))


def test_sql_file_may_start_with_a_byte_order_mark(tables: TableSet) -> None:
    before = tables.query(tables["gold.ages"])
    (tables.sql / "ages.sql").write_text(before, encoding="utf-8-sig")
    check_sql(tables)
    assert tables.query(tables["gold.ages"]) == before


def test_result_is_cached_until_the_sql_changes(tables: TableSet) -> None:
    check_sql(tables)
    check_sql(tables)
    (tables.sql / "ages.sql").write_text("select nothing")
    with pytest.raises(LakekitError, match="gold.ages"):
        check_sql(tables)
