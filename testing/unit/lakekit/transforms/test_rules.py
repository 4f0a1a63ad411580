from __future__ import annotations

import dataclasses

import pytest

from lakekit.declarations.tables import Column, Expectation, Table, TableSet
from lakekit.engines.duckdb.engine import EmbeddedEngine
from lakekit.engines.engine import Staged
from lakekit.errors import ExpectationFailedError
from lakekit.transforms.rules import doubled, judge, misfit_rule, refusal_rule

TABLE = Table(
    "silver.t",
    (Column("k", required=True), Column("p", required=True), Column("n", "int")),
    sql="t.sql",
    key=("k",),
    partition="p",
    expectations=(
        Expectation("n isn't big", "n is null or n < 9", "drop"),
        Expectation("n is known", "n > 0"),
    ),
)


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ("'a', 'x', 1", None),
        ("null, 'x', 1", "required: k"),
        ("'', 'x', 1", None),
        ("'a', '', 1", "required: p"),  # Delta would store '' as a null
        ("'a', null, 1", "required: p"),
        ("'a', 'x' || chr(0), 9", "partition: p"),
        ("'a', 'x', 9", "n isn't big"),
        ("'a', 'x', null", None),
    ],
)
def test_first_rule_that_a_row_breaks_is_named(
    engine: EmbeddedEngine, row: str, rule: str
) -> None:
    sql = f"select {refusal_rule(engine, TABLE)} from (values ({row})) t(k, p, n)"
    assert engine.query(sql) == [(rule,)]


def test_value_that_does_not_convert_is_named_by_its_column(
    engine: EmbeddedEngine, tables: TableSet
) -> None:
    rule = misfit_rule(engine, tables["bronze.people"])
    rows = (
        "('Ada', '36', 'NA', '1e2'), ('Bob', '36.5', 'NA', 'x'), ('NA', '1', 'NA',"
        " 'NA')"
    )
    found = engine.query(
        f"select {rule} from (values {rows}) t(name, age, seen, weight)"
    )
    assert found == [(None,), ("type: age",), ("type: name",)]


def test_unmet_expectations_are_counted_and_one_that_has_to_be_met_ends_it(
    engine: EmbeddedEngine,
) -> None:
    engine.keep(
        "judged",
        "select * from (values ('a', 'x', 1), ('a', 'x', null), ('b', 'x', 9)) t(k,"
        " p, n)",
    )
    assert judge(engine, TABLE, Staged("judged", 3)) == {
        "n isn't big": 1,
        "n is known": 1,
    }
    must = dataclasses.replace(
        TABLE, expectations=(Expectation("n is known", "n > 0", "fail"),)
    )
    with pytest.raises(
        ExpectationFailedError, match="1 rows do not meet the expectation 'n is known'"
    ):
        judge(engine, must, Staged("judged", 3))
    assert doubled(engine, "judged", ("k",)) and not doubled(
        engine, "judged", ("k", "n")
    )
