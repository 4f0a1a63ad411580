"""Tables, source files and expected rows for the merge tests: customers and orders of a
shop.

`expected` computes the expected rows independently of lakekit. The function is plain
Python, uses neither SQL nor Delta, and gets the rows of all files at once.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence, Set, Tuple, Union

from deltalake import DeltaTable

from lakekit.declarations import (
    ORIGIN,
    Column,
    Expectation,
    Join,
    Source,
    Table,
    TableSet,
    bronze,
)

CUSTOMERS = Source(
    "customers",
    (
        Column("customer", required=True),
        Column("city", required=True),
        Column("blocked", "boolean", required=True),
        Column("updated_at", "timestamp", required=True),
    ),
    misfits=1.0,
)
ORDERS = Source(
    "orders",
    (
        Column("order_id", required=True),
        Column("customer", required=True),
        Column("month", "int", required=True),
        Column("amount", "int"),
        Column("updated_at", "timestamp", required=True),
    ),
    misfits=1.0,
)
SILVER_CUSTOMERS = Table(
    "silver.customers",
    (*(Column(c.name, c.type, required=True) for c in CUSTOMERS.columns), *ORIGIN),
    ("bronze.customers",),
    "customers.sql",
    key=("customer",),
    latest=("updated_at",),
    update="merge",
)
SILVER_ORDERS = Table(
    "silver.orders",
    (
        Column("order_id", required=True),
        Column("customer", required=True),
        Column("month", "date", required=True),
        Column("amount", "int"),
        Column("updated_at", "timestamp", required=True),
        Column("city"),
        Column("blocked", "boolean"),
        *ORIGIN,
    ),
    ("bronze.orders", "silver.customers"),
    "orders.sql",
    key=("order_id",),
    latest=("updated_at",),
    partition="month",
    joins=(Join("silver.customers", (("customer", "customer"),)),),
    expectations=(
        Expectation("customer is known", "city is not null", "drop"),
        Expectation("customer is not blocked", "not blocked", "drop"),
        Expectation("amount is positive", "amount is null or amount > 0", "drop"),
    ),
    update="merge",
)
GOLD_CITY_MONTHS = Table(
    "gold.city_months",
    (
        Column("city", required=True),
        Column("month", "date", required=True),
        Column("orders", "bigint", required=True),
        Column("amount", "bigint"),
    ),
    ("silver.orders",),
    "city_months.sql",
    key=("city", "month"),
    update="groups",
)
GOLD_CUSTOMER_ORDERS = Table(
    "gold.customer_orders",
    (
        Column("customer", required=True),
        Column("city", required=True),
        Column("orders", "bigint", required=True),
    ),
    ("silver.customers", "silver.orders"),
    "customer_orders.sql",
    key=("customer",),
    update="groups",
)
GOLD_TOP_ORDERS = Table(
    "gold.top_orders",
    (
        Column("place", "bigint", required=True),
        Column("order_id", required=True),
        Column("amount", "int"),
    ),
    ("silver.orders",),
    "top_orders.sql",
    key=("place",),
)
SQL = Path(__file__).parent / "sql"
DECLARED = (
    bronze(CUSTOMERS),
    bronze(ORDERS),
    SILVER_CUSTOMERS,
    SILVER_ORDERS,
    GOLD_CITY_MONTHS,
    GOLD_CUSTOMER_ORDERS,
    GOLD_TOP_ORDERS,
)
TABLES = TableSet(DECLARED, SQL)

Values = Tuple[str, ...]
Rows = List[Tuple[Any, ...]]
START = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)


def at(minute: int) -> str:
    """Return a time stamp in the format of the source files."""
    return (START + datetime.timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")


def write(folder: Path, source: Source, name: str, rows: Sequence[Values]) -> None:
    """Write a CSV file to the folder of a source."""
    (folder / source.name).mkdir(parents=True, exist_ok=True)
    lines = [
        ",".join(column.name for column in source.columns),
        *(",".join(row) for row in rows),
    ]
    (folder / source.name / f"{name}.csv").write_text("\n".join(lines) + "\n")


def start(code: str, *arguments: str) -> "subprocess.Popen[str]":
    """Start a process that runs Python code. The code can import lakekit and the test
    modules. The output of the process goes to pipes.
    """
    root = Path(__file__).parents[3]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(root / "utils"), str(root)]),
    }
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def contents(
    lake: Path, tables: TableSet = TABLES, leave: Iterable[str] = ("_ingested_at",)
) -> Dict[str, Rows]:
    """Return all rows of every table of a lake, sorted. Omits the columns in `leave`,
    whose values may differ between two lakes that count as equal.
    """
    found = {}
    left = set(leave)
    for table in tables:
        columns = [column.name for column in table.columns if column.name not in left]
        found[table.name] = rows_of(lake / table.folder, columns)
    return found


def rows_of(folder: Union[str, Path], columns: Sequence[str]) -> Rows:
    """Return the sorted rows of a Delta table. The rows are read with delta-rs and
    pyarrow, because lakekit's own code is under test.
    """
    data = DeltaTable(str(folder)).to_pyarrow_table(columns=list(columns))
    return sorted(zip(*(data.column(name).to_pylist() for name in columns)), key=repr)


@dataclass(frozen=True)
class Order:
    """A row in a file of orders: the name of the file, the row number and the
    values.
    """

    file: str
    row: int
    values: Values

    @property
    def place(self) -> Tuple[str, int]:
        return self.file, self.row


@dataclass(frozen=True)
class Expected:
    """The expected content of the lake.

    `dispensable` contains the positions of refused rows that are older than an accepted
    row with the same key. These refused rows may be missing in the quarantine: when a
    joined table changes, an incremental run does not check them again.
    """

    silver: Dict[str, Order]
    quarantine: Dict[Tuple[str, int], str]
    superseded: Set[Tuple[str, int]]
    dispensable: Set[Tuple[str, int]]


def expected(
    orders: Iterable[Order], customers: Iterable[Tuple[str, Values]]
) -> Expected:
    """Return the expected content of the lake."""
    known: Dict[str, Tuple[str, str]] = {}
    for _, (customer, city, blocked, _) in sorted(
        customers, key=lambda each: (each[1][3], each[0])
    ):
        known[customer] = city, blocked
    good: Dict[str, List[Order]] = {}
    refused: Dict[Tuple[str, int], Tuple[str, Order]] = {}
    for order in orders:
        rule = _refusal(order.values, known)
        if rule:
            refused[order.place] = rule, order
        else:
            good.setdefault(order.values[0], []).append(order)
    silver = {key: max(found, key=_age) for key, found in good.items()}
    superseded = {
        o.place for key, found in good.items() for o in found if o is not silver[key]
    }
    dispensable = {
        place
        for place, (rule, order) in refused.items()
        if order.values[0] in silver and _age(order) < _age(silver[order.values[0]])
    }
    return Expected(
        silver,
        {place: rule for place, (rule, _) in refused.items()},
        superseded,
        dispensable,
    )


def _age(order: Order) -> Tuple[str, str, int]:
    return order.values[4], order.file, order.row


def _refusal(values: Values, known: Dict[str, Tuple[str, str]]) -> Optional[str]:
    _, customer, month, amount, _ = values
    if not month.isdigit():
        return "type: month"
    if amount != "NA" and not amount.lstrip("-").isdigit():
        return "type: amount"
    if not 1 <= int(month) <= 12:
        return "required: month"
    if customer not in known:
        return "customer is known"
    if known[customer][1] == "true":
        return "customer is not blocked"
    if amount != "NA" and int(amount) <= 0:
        return "amount is positive"
    return None


def gold_of(silver: Dict[str, Rows]) -> Dict[str, Rows]:
    """Return the rows that the gold tables must have if the silver tables have these
    rows. The format is that of `contents`.
    """
    groups: Dict[Tuple[str, Any], List[Optional[int]]] = {}
    count: Dict[str, int] = {}
    for _, customer, month, amount, _, city, *_ in silver["silver.orders"]:
        groups.setdefault((city, month), []).append(amount)
        count[customer] = count.get(customer, 0) + 1
    months = [(*key, len(found), _sum(found)) for key, found in groups.items()]
    customers = [
        (row[0], row[1], count.get(row[0], 0)) for row in silver["silver.customers"]
    ]
    ranked = sorted(
        silver["silver.orders"],
        key=lambda row: (row[3] is None, -(row[3] or 0), row[0]),
    )
    top = [(place, row[0], row[3]) for place, row in enumerate(ranked[:2], 1)]
    found: Dict[str, Rows] = {
        "gold.city_months": months,
        "gold.customer_orders": customers,
        "gold.top_orders": top,
    }
    return {name: sorted(rows, key=repr) for name, rows in found.items()}


def _sum(values: Iterable[Optional[int]]) -> Optional[int]:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
