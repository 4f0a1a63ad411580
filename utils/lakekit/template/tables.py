"""Declares the tables of this project. `lakekit tables` prints the declarations."""

from __future__ import annotations

from pathlib import Path

from lakekit.declarations import (
    ORIGIN,
    Column,
    Constraint,
    Expectation,
    Source,
    Table,
    TableSet,
    bronze,
)

ORDERS = Source(
    "orders",
    (
        Column("order_id", "bigint", required=True),
        Column("ordered_at", "timestamp", required=True),
        Column("customer"),
        Column("item", required=True),
        Column("quantity", "int", required=True),
        Column("price", "double", required=True, comment="Per item, in euros"),
    ),
    misfits=0.1,
)

SILVER_ORDERS = Table(
    "silver.orders",
    (
        Column("order_id", "bigint", required=True),
        Column("ordered_at", "timestamp", required=True),
        Column("ordered_on", "date", required=True, comment="Day in UTC"),
        Column("customer"),
        Column("item", required=True),
        Column("quantity", "int", required=True),
        Column("price", "double", required=True, comment="Per item, in euros"),
        *ORIGIN,
    ),
    reads=("bronze.orders",),
    sql="silver/orders.sql",
    comment="Latest version of every order",
    key=("order_id",),
    constraints=(Constraint("price_not_negative", "price >= 0"),),
    expectations=(
        Expectation("quantity is positive", "quantity > 0", "drop"),
        Expectation("customer is known", "customer is not null"),
    ),
    update="merge",
)

GOLD_SALES_BY_DAY = Table(
    "gold.sales_by_day",
    (
        Column("ordered_on", "date", required=True),
        Column("item", required=True),
        Column("orders", "bigint", required=True),
        Column("pieces", "bigint", required=True),
        Column("euros", "double", required=True, tolerance=1e-12),
    ),
    reads=("silver.orders",),
    sql="gold/sales_by_day.sql",
    comment="Sales of each item on each day",
    key=("ordered_on", "item"),
    update="groups",
)

TABLES = TableSet(
    (bronze(ORDERS), SILVER_ORDERS, GOLD_SALES_BY_DAY),
    sql=Path(__file__).parent / "sql",
)
