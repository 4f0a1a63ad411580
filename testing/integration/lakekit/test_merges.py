"""Tests merges with generated cases. The same rows must always give the same tables.
The order of the rows, and their division into files and runs, must have no effect on
the tables.

hypothesis generates the same cases in every run. The JUnit report contains the number
of cases (`cases`).
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence, Set, Tuple

import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

import lakekit
from lakekit.commands.run import RunResult
from lakekit.declarations.tables import TableSet
from testing.integration.lakekit import shop

pytestmark = pytest.mark.long

CASES = settings(
    max_examples=5,
    phases=[Phase.generate],  # shrinking would take minutes
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)
ORIGIN = ("_ingested_at", "_source_file", "_source_sha256", "_source_row")
ORDERS = st.tuples(
    st.sampled_from(["o1", "o2", "o3", "o4"]),
    st.sampled_from(["c1", "c2", "c3"]),
    st.sampled_from(["1", "2", "3", "2", "13", "x"]),
    st.sampled_from(["5", "7", "NA", "-1", "2.5"]),
)
CUSTOMERS = st.tuples(
    st.sampled_from(["c1", "c2", "c3"]),
    st.sampled_from(["Bern", "Bonn"]),
    st.sampled_from(["false", "false", "true"]),
)
Batch = List[Tuple[str, ...]]


class Shop:
    """A source folder, a lake, and the rows that the lake must have."""

    def __init__(self, folder: Path) -> None:
        self.source, self.lake, self.tables = (
            folder / "source",
            folder / "lake",
            shop.TABLES,
        )
        self.orders: List[shop.Order] = []
        self.customers: List[Tuple[str, shop.Values]] = []
        self._given: Set[Tuple[str, Tuple[shop.Values, ...]]] = set()
        shop.write(
            self.source, shop.CUSTOMERS, "0", [("c0", "Bern", "false", shop.at(0))]
        )
        shop.write(self.source, shop.ORDERS, "0", [("o0", "c0", "1", "1", shop.at(0))])
        self.customers.append(("customers/0.csv", ("c0", "Bern", "false", shop.at(0))))
        self.orders.append(
            shop.Order("orders/0.csv", 1, ("o0", "c0", "1", "1", shop.at(0)))
        )

    def give_orders(self, name: str, rows: Sequence[shop.Values]) -> None:
        """Add a file of orders. If an earlier file has the same content, lakekit must
        not ingest the new file.
        """
        shop.write(self.source, shop.ORDERS, name, rows)
        if self._known("orders", rows):
            return
        self.orders += [
            shop.Order(f"orders/{name}.csv", row, values)
            for row, values in enumerate(rows, 1)
        ]

    def give_customers(self, name: str, rows: Sequence[shop.Values]) -> None:
        """Add a file of customers. If an earlier file has the same content, lakekit
        must not ingest the new file.
        """
        shop.write(self.source, shop.CUSTOMERS, name, rows)
        if self._known("customers", rows):
            return
        self.customers += [(f"customers/{name}.csv", values) for values in rows]

    def _known(self, kind: str, rows: Sequence[shop.Values]) -> bool:
        content = kind, tuple(rows)
        if content in self._given:
            return True
        self._given.add(content)
        return False

    def run(self) -> RunResult:
        """Update the lake."""
        return lakekit.run(self.source, self.lake, tables=self.tables)

    def delta(self, name: str) -> DeltaTable:
        """Open a table with delta-rs, to write to it without lakekit."""
        return DeltaTable(str(self.lake / self.tables[name].folder))

    def check(self, silver: bool = True) -> None:
        """Check that gold matches silver, and that silver and quarantine have the
        expected rows.
        """
        found = shop.contents(self.lake, self.tables)
        for name, rows in shop.gold_of(found).items():
            assert found[name] == rows, name
        if not silver:
            return
        meant = shop.expected(self.orders, self.customers)
        cities = {
            customer: (city, blocked)
            for customer, city, blocked, *_ in found["silver.customers"]
        }
        silver_rows = {row[0]: row for row in found["silver.orders"]}
        assert len(silver_rows) == len(found["silver.orders"])
        assert {key: (row[-3], row[-1]) for key, row in silver_rows.items()} == {
            k: o.place for k, o in meant.silver.items()
        }
        assert all(row[5:7] == cities[row[1]] for row in silver_rows.values())
        refused = {(row[-4], row[-2]): row[-1] for row in found["quarantine.orders"]}
        assert len(refused) == len(found["quarantine.orders"])
        needed = {
            place: rule
            for place, rule in meant.quarantine.items()
            if place not in meant.dispensable
        }
        assert {**needed, **refused} == {
            **needed,
            **{p: meant.quarantine.get(p, "no") for p in refused},
        }
        assert set(needed) <= set(refused)


@pytest.fixture
def count(
    request: pytest.FixtureRequest,
    record_testsuite_property: Callable[[str, Any], None],
) -> Iterator[Callable[[], None]]:
    """Yield a function that counts a case. The count is written to the JUnit report."""
    counter = itertools.count()
    yield lambda: [next(counter)].clear()
    record_testsuite_property(f"cases of {request.node.name}", next(counter))


def fresh(case: Shop, folder: Path) -> Dict[str, shop.Rows]:
    """Create a new lake from all files at once, and return the rows of its tables."""
    lakekit.run(case.source, folder, tables=case.tables)
    return shop.contents(folder, case.tables)


def timed(rows: Sequence[Tuple[str, ...]], minutes: Iterator[int]) -> List[shop.Values]:
    return [(*row, shop.at(next(minutes))) for row in rows]


BATCHES = st.lists(st.tuples(ORDERS, st.integers(1, 4)), min_size=1, max_size=4)
DIMENSION = st.lists(st.tuples(CUSTOMERS, st.integers(1, 4)), min_size=1, max_size=2)


@CASES
@given(
    orders=st.lists(BATCHES, min_size=1, max_size=3, unique_by=repr),
    customers=st.lists(DIMENSION, min_size=1, max_size=2, unique_by=repr),
    data=st.data(),
)
def test_any_order_of_arrival_gives_the_same_tables(
    orders: List[Any],
    customers: List[Any],
    data: st.DataObject,
    count: Callable[[], None],
) -> None:
    """Ingest the same files into two lakes: all at once into the first lake, and one by
    one into the second lake. Some rows have equal time stamps. In both lakes, all
    values except the time of ingestion must be equal.
    """
    count()
    files = [
        ("orders", n, [(*row, shop.at(m)) for row, m in rows])
        for n, rows in enumerate(orders, 1)
    ]
    files += [
        ("customers", n, [(*row, shop.at(m)) for row, m in rows])
        for n, rows in enumerate(customers, 1)
    ]
    with tempfile.TemporaryDirectory() as folder:
        case = Shop(Path(folder))
        for kind, number, rows in data.draw(st.permutations(files)):
            (case.give_orders if kind == "orders" else case.give_customers)(
                str(number), rows
            )
            case.run()
        case.check()
        once, grown = fresh(case, Path(folder) / "fresh"), shop.contents(case.lake)
        meant = shop.expected(case.orders, case.customers).dispensable
        for name in once:
            if name == "quarantine.orders":
                once[name] = [
                    row for row in once[name] if (row[-4], row[-2]) not in meant
                ]
                grown[name] = [
                    row for row in grown[name] if (row[-4], row[-2]) not in meant
                ]
            assert once[name] == grown[name], name


@CASES
@given(
    orders=st.lists(ORDERS, min_size=2, max_size=8),
    customers=st.lists(CUSTOMERS, min_size=1, max_size=3),
    data=st.data(),
)
def test_any_splitting_into_files_gives_the_same_tables(
    orders: List[Any],
    customers: List[Any],
    data: st.DataObject,
    count: Callable[[], None],
) -> None:
    """Ingest the same rows into two lakes: as one file, and as several files one after
    another. In both lakes, all values except the origin of the rows must be equal.
    """
    count()
    minutes = data.draw(st.permutations(range(1, 1 + len(orders) + len(customers))))
    rows = timed(orders, iter(minutes))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(rows) - 1), max_size=3)))
    known = timed(customers, iter(minutes[len(orders) :]))
    with tempfile.TemporaryDirectory() as folder:
        whole, split = Shop(Path(folder) / "whole"), Shop(Path(folder) / "split")
        whole.give_customers("1", known)
        whole.give_orders("1", rows)
        whole.run()
        split.give_customers("1", known)
        for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(rows)])):
            split.give_orders(f"part{number}", rows[start:end])
            split.run()
        whole.check()
        split.check()
        one, other = (shop.contents(each.lake, leave=ORIGIN) for each in (whole, split))
        for name in one:
            assert name == "quarantine.orders" or one[name] == other[name], name


STEPS = st.one_of(
    st.tuples(
        st.just("orders"),
        st.lists(st.tuples(ORDERS, st.integers(1, 99)), min_size=1, max_size=3),
    ),
    st.tuples(
        st.just("customers"),
        st.lists(st.tuples(CUSTOMERS, st.integers(1, 99)), min_size=1, max_size=2),
    ),
    st.tuples(
        st.just("optimize"),
        st.sampled_from(["bronze.orders", "silver.orders", "silver.customers"]),
    ),
    st.tuples(
        st.just("vacuum"),
        st.sampled_from(["bronze.orders", "silver.orders", "silver.customers"]),
    ),
    st.tuples(st.just("delete from bronze"), st.sampled_from(["o1", "o2"])),
    st.tuples(st.just("delete from quarantine"), st.sampled_from(["o1", "o2"])),
    st.tuples(st.just("delete from gold"), st.sampled_from(["Bern", "Bonn"])),
    st.tuples(st.just("change SQL"), st.just("")),
)


def play(case: Shop, number: int, kind: str, what: Any, folder: Path) -> None:
    """Run one step of a random history."""
    if kind == "orders":
        case.give_orders(f"{number}", [(*row, shop.at(minute)) for row, minute in what])
    elif kind == "customers":
        case.give_customers(
            f"{number}", [(*row, shop.at(minute)) for row, minute in what]
        )
    elif kind == "optimize":
        case.delta(what).optimize.compact()
    elif kind == "vacuum":
        case.delta(what).optimize.compact()
        case.delta(what).vacuum(
            retention_hours=0, enforce_retention_duration=False, dry_run=False
        )
    elif kind == "delete from bronze":
        case.delta("bronze.orders").delete(f"order_id = '{what}'")
        case.orders = [order for order in case.orders if order.values[0] != what]
    elif kind == "delete from quarantine":
        case.delta("quarantine.orders").delete(f"order_id = '{what}'")
    elif kind == "delete from gold":
        case.delta("gold.city_months").delete(f"city = '{what}'")
    else:
        changed = folder / f"sql{number}"
        changed.mkdir()
        for file in shop.SQL.iterdir():
            (changed / file.name).write_text(
                f"-- changed in step {number}\n{file.read_text()}"
            )
        case.tables = TableSet(shop.DECLARED, changed)


@settings(CASES, max_examples=8)
@given(steps=st.lists(STEPS, min_size=3, max_size=7))
def test_every_increment_equals_a_full_run(
    steps: List[Tuple[str, Any]], count: Callable[[], None]
) -> None:
    """A history is a random sequence of steps: late and corrected rows, changed
    customers, deletions, optimize, vacuum and changed SQL.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        case = Shop(folder)
        case.give_customers("1", [("c1", "Bern", "false", shop.at(0))])
        case.run()
        for number, (kind, what) in enumerate(steps, 2):
            count()
            play(case, number, kind, what, folder)
            case.run()
            case.check()
        before = {table.name: case.delta(table.name).version() for table in case.tables}
        assert not case.run().changed
        assert before == {
            table.name: case.delta(table.name).version() for table in case.tables
        }
        if not any(kind == "delete from bronze" for kind, _ in steps):
            once, grown = fresh(case, folder / "fresh"), shop.contents(
                case.lake, case.tables
            )
            for name in once:
                assert name == "quarantine.orders" or once[name] == grown[name], name
