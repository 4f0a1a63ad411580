from __future__ import annotations

import dataclasses

from lakekit.declarations.tables import Table, TableSet
from lakekit.transforms.lineage import digest, followed


def replaced(tables: TableSet, table: Table) -> TableSet:
    """Replace the declaration of one table, and return all tables."""
    kept = [each for each in tables if each.layer != "quarantine"]
    return TableSet(
        tuple(table if each.name == table.name else each for each in kept), tables.sql
    )


def test_digest_follows_sql_declaration_and_the_types_of_the_source(
    tables: TableSet,
) -> None:
    silver = tables["silver.people"]
    before = digest(tables, silver)
    assert digest(tables, dataclasses.replace(silver, comment="All people")) == before
    source = tables["bronze.people"].source
    assert source is not None
    typed = replaced(
        tables,
        dataclasses.replace(
            tables["bronze.people"], source=dataclasses.replace(source, missing="")
        ),
    )
    assert digest(typed, silver) != before
    (tables.sql / "people.sql").write_text(tables.query(silver) + "-- again")
    assert digest(tables, silver) != before


def test_merged_table_follows_its_quarantine_too(tables: TableSet) -> None:
    assert followed(tables["silver.people"]) == ("bronze.people", "quarantine.people")
    assert followed(tables["gold.ages"]) == ("silver.people",)
