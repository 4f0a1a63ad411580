from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

import lakekit
from lakekit.declarations.tables import Constraint, Expectation, TableSet
from lakekit.errors import InvalidLakeError
from lakekit.template.tables import TABLES


def declared_with(
    *expectations: Expectation, constraints: "tuple[Constraint, ...]" = ()
) -> TableSet:
    """Return the template's tables, with these expectations and constraints for the
    silver table.
    """
    silver = replace(
        TABLES["silver.orders"], expectations=expectations, constraints=constraints
    )
    return TableSet(
        (TABLES["bronze.orders"], silver, TABLES["gold.sales_by_day"]), TABLES.sql
    )


def test_warnings_are_counted_and_fail_nothing(shop: Path) -> None:
    result = lakekit.quality(shop, tables=TABLES)
    found = [
        (each.name, each.kind, each.severity, each.unmet, each.rows)
        for each in result.checks
    ]
    assert found == [
        ("quantity is positive", "expectation", "drop", 0, 9),
        ("customer is known", "expectation", "warn", 1, 9),
        ("price_not_negative", "constraint", "fail", 0, 9),
    ]
    assert (result.failed, result.warnings, result.missing) == (False, 1, ())
    assert result.quarantined == {
        "quarantine.orders": {"quantity is positive": 1, "type: quantity": 1}
    }


@pytest.mark.parametrize("severity", ["drop", "fail"])
def test_rows_that_should_not_be_there_fail(severity: str, shop: Path) -> None:
    dear = Expectation(
        "is cheap",
        "price < 20",
        severity,  # type: ignore[arg-type]  # one of the two
    )
    result = lakekit.quality(shop, tables=declared_with(dear))
    assert result.failed and [(each.unmet, each.failed) for each in result.checks] == [
        (4, True)
    ]


def test_constraint_that_rows_break_fails_and_null_counts_as_broken(shop: Path) -> None:
    known = Constraint("customer_known", "customer <> 'Zoe'")
    result = lakekit.quality(shop, tables=declared_with(constraints=(known,)))
    assert [(each.kind, each.unmet, each.failed) for each in result.checks] == [
        ("constraint", 1, True)
    ]


def test_rows_of_another_writer_are_held_to_the_declaration_too(shop: Path) -> None:
    path = str(shop / "silver/orders")
    rows = pa.table(DeltaTable(path).to_pyarrow_dataset().to_table()).slice(0, 2)
    column = rows.schema.get_field_index("quantity")
    write_deltalake(
        path,
        rows.set_column(column, rows.field(column), pa.array([0, -1], pa.int32())),
        mode="append",
    )
    result = lakekit.quality(shop, tables=TABLES)
    assert result.failed and (result.checks[0].unmet, result.checks[0].rows) == (2, 11)


def test_table_that_is_not_there_is_named_and_none_at_all_refused(
    shop: Path, tmp_path: Path
) -> None:
    more = replace(TABLES["gold.sales_by_day"], name="gold.more")
    tables = TableSet(
        (*(t for t in TABLES if t.layer != "quarantine"), more), TABLES.sql
    )
    assert lakekit.quality(shop, tables=tables).missing == ("gold.more",)
    with pytest.raises(InvalidLakeError, match="holds none of the tables"):
        lakekit.quality(tmp_path / "none", tables=TABLES)
