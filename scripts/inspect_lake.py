"""Print the state of an environment: Python, packages, versions of the tables, and
totals of the gold tables.

    python scripts/inspect_lake.py --package lakekit --lake main.flights

The last line of the output is JSON. A deploy runs this script as a task on the cluster.
--lake is a schema, or a local folder.
"""

import argparse
import json
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, List, Set

GOLD = "gold_"
INTEGERS = ("tinyint", "smallint", "int", "bigint", "long", "integer", "short", "byte")


def packages() -> Dict[str, str]:
    """Return every installed distribution and its version."""
    return {
        _name(each.metadata["Name"]): each.version
        for each in metadata.distributions()
        if each.metadata["Name"]
    }


def family(package: str) -> Set[str]:
    """Return the names of a distribution and its installed dependencies. The result is
    empty if the distribution is not installed.
    """
    found: Set[str] = set()
    ahead = [_name(package)]
    while ahead:
        name = ahead.pop()
        if name in found:
            continue
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        found.add(name)
        # Ignore the requirements of extras, because no extra is requested.
        ahead += [
            _name(re.split(r"[^\w.-]", need)[0])
            for need in needs
            if "extra ==" not in need
        ]
    return found


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def from_spark(lake: str, versions: bool, sums: bool) -> Dict[str, Any]:
    """Return the versions of the tables in `catalog.schema`, and the totals of the gold
    tables. This function runs one or two queries for each table.
    """
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.getOrCreate()
    tables: Dict[str, Any] = {}
    gold: Dict[str, Any] = {}
    if not spark.catalog.databaseExists(lake):
        return {"tables": tables, "gold": gold}
    for row in spark.sql(f"SHOW TABLES IN {lake}").collect():
        if row["isTemporary"]:
            continue
        name = row["tableName"]
        full = f"{lake}.`{name.replace('`', '``')}`"
        if versions:
            [newest] = spark.sql(f"DESCRIBE HISTORY {full} LIMIT 1").collect()
            tables[name] = {"version": int(newest["version"])}
        if sums and name.startswith(GOLD):
            gold[name] = _totals(spark.table(full))
    return {"tables": tables, "gold": gold}


def _totals(frame: Any) -> Dict[str, Any]:
    """Return a table's number of rows, and the sum of each numeric column."""
    from pyspark.sql import functions

    columns = [name for name, kind in frame.dtypes if _adds_up(kind)]
    added = [
        functions.sum(functions.col(f"`{column}`")).alias(column) for column in columns
    ]
    rows = functions.count(functions.lit(1)).alias("rows_")
    [aggregated] = frame.agg(rows, *added).collect()
    found = aggregated.asDict()
    return {
        "rows": found.pop("rows_"),
        "sums": {column: _text(value) for column, value in found.items()},
    }


def from_folder(lake: Path) -> Dict[str, Any]:
    """Return the versions of the tables in a folder, and the totals of the gold
    tables.
    """
    import duckdb
    from deltalake import DeltaTable

    tables: Dict[str, Any] = {}
    gold: Dict[str, Any] = {}
    for log in sorted(lake.glob("*/*/_delta_log")):
        name = f"{log.parent.parent.name}_{log.parent.name}"
        table = DeltaTable(str(log.parent))
        tables[name] = {"version": table.version()}
        if not name.startswith(GOLD):
            continue
        connection = duckdb.connect()
        connection.register("gold", table.to_pyarrow_dataset())
        types = connection.execute(
            "SELECT column_name, column_type FROM (DESCRIBE gold)"
        ).fetchall()
        columns = [str(column) for column, kind in types if _adds_up(str(kind).lower())]
        sums = ", ".join(["count(*)", *(f'sum("{column}")' for column in columns)])
        [found] = connection.execute(f"SELECT {sums} FROM gold").fetchall()
        gold[name] = {
            "rows": found[0],
            "sums": {c: _text(value) for c, value in zip(columns, found[1:])},
        }
    return {"tables": tables, "gold": gold}


def _adds_up(kind: str) -> bool:
    return kind in INTEGERS or kind.startswith(("decimal", "double", "float"))


def _text(value: Any) -> Any:
    """Return a sum as text. As a JSON number, the sum might not stay exact: JSON has no
    decimals, and some parsers round large numbers.
    """
    return None if value is None else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--package",
        default="lakekit",
        help="the distribution whose version is printed",
    )
    parser.add_argument("--lake", required=True, help="CATALOG.SCHEMA, or a folder")
    parser.add_argument(
        "--versions", action="store_true", help="print only the versions of tables"
    )
    parser.add_argument(
        "--gold",
        action="store_true",
        help="print only the totals of gold tables",
    )
    options = parser.parse_args()
    here = packages()
    folder = Path(options.lake)
    tables = (
        from_folder(folder)
        if folder.is_dir()
        else from_spark(options.lake, not options.gold, not options.versions)
    )
    own: List[str] = sorted(family(options.package))
    facts = {
        "python": platform.python_version(),
        "version": here.get(_name(options.package)),
        "own": own,
    }
    print(json.dumps({"lake_ci": {**facts, "packages": here, **tables}}))


if __name__ == "__main__":
    main()
