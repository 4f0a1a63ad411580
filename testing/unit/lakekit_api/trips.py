"""Declares test tables, and writes their rows to a lake. One of the test tables is a
gold table with a column of every type.
"""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path
from typing import Any, Dict, List

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import write_deltalake

from lakekit.declarations.tables import Column, Table, TableSet
from lakekit.engines.duckdb import delta_log

TRIPS = Table(
    "gold.trips",
    (
        Column("day", "date", required=True, comment="Local day"),
        Column("code", required=True),
        Column("n", "int"),
        Column("big", "bigint"),
        Column("ratio", "double"),
        Column("ok", "boolean"),
        Column("at", "timestamp"),
        Column("version", "int"),
    ),
    sql="trips.sql",
    comment="Trips by day",
    key=("day", "code"),
)
OTHER = Table(
    "gold.other",
    (Column("place", "int", required=True),),
    sql="other.sql",
    key=("place",),
)
TABLES = TableSet((TRIPS, OTHER), Path())
ARROW = {
    "string": pa.string(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
}
NOON = datetime.datetime(2013, 1, 1, 12, tzinfo=datetime.timezone.utc)
Row = Dict[str, Any]


def trip(day: int, code: str, **more: Any) -> Row:
    """Return a row of the table of trips, without the columns that are not given."""
    return {"day": datetime.date(2013, 1, day), "code": code, **more}


ROWS = [
    trip(2, "b", n=5, ratio=0.5),
    trip(1, "a", n=1, big=2**40, ratio=1.5, ok=True, at=NOON, version=7),
    trip(
        1, "b", n=2, ratio=float("nan"), ok=False, at=NOON + datetime.timedelta(hours=1)
    ),
    trip(3, "a", n=None),
    trip(2, "a", n=5, ratio=-1.0, ok=True),
]


def write(lake: Path, table: Table, rows: List[Row], mode: Any = "overwrite") -> None:
    """Write rows to a table. By default, the new rows replace all rows; with the mode
    `append`, the new rows are added.
    """
    schema = pa.schema(
        [pa.field(c.name, ARROW[c.type], not c.required) for c in table.columns]
    )
    write_deltalake(
        str(lake / table.folder), pa.Table.from_pylist(rows, schema), mode=mode
    )


def write_as_is(lake: Path, table: Table, data: pa.Table) -> None:
    """Write data as the only version of a table. delta-rs is not used, because it
    panics on extreme values.
    """
    folder = lake / table.folder
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "_delta_log").mkdir(parents=True)
    pq.write_table(data, folder / "part.parquet")
    actions: List[Row] = [
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
        {
            "metaData": {
                "id": "00000000-0000-0000-0000-000000000000",
                "format": {"provider": "parquet", "options": {}},
                "schemaString": delta_log.schema(table.columns).to_json(),
                "partitionColumns": [],
                "configuration": {},
            }
        },
        {
            "add": {
                "path": "part.parquet",
                "size": (folder / "part.parquet").stat().st_size,
                "partitionValues": {},
                "modificationTime": 0,
                "dataChange": True,
            }
        },
    ]
    (folder / "_delta_log" / f"{0:020}.json").write_text(
        "\n".join(map(json.dumps, actions))
    )
