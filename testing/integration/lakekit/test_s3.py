"""Tests a lake on S3. A moto server on this machine emulates S3. The lake must have the
same rows as a lake in a folder, even with concurrent writers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Dict, Iterator
from urllib.parse import unquote

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction
from pyarrow import fs

import lakekit
from lakekit.declarations.tables import Column, Source, Table, TableSet, bronze
from lakekit.engines.duckdb.engine import EmbeddedEngine
from lakekit.engines.engine import Note
from lakekit.errors import DamagedTableError, InvalidLakeError
from lakekit.storage.lake import find_lake
from testing.integration.lakekit import shop

pytestmark = pytest.mark.long

# S3 handles a conditional PUT atomically, but moto first checks the condition and then
# writes. Two concurrent writers could both succeed, and the later commit would replace
# the earlier commit. So this server handles one request at a time.
SERVER = """
import sys, threading
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    create_backend_app,
)
from werkzeug.serving import make_server

application, one = DomainDispatcherApplication(create_backend_app), threading.Lock()

def alone(environ, start_response):
    with one:
        return application(environ, start_response)

server = make_server("127.0.0.1", 0, alone, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()  # until the tests end, or die
server.shutdown()
"""
RUN = """
import sys
from pathlib import Path
from lakekit import run
from testing.integration.lakekit import shop
run(Path(sys.argv[1]), sys.argv[2], tables=shop.TABLES)
"""


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """Yield an empty bucket on a moto server. Environment variables configure all S3
    clients for this server.
    """
    command = [sys.executable, "-c", SERVER]
    quiet = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.DEVNULL,
    }
    with subprocess.Popen(  # type: ignore[call-overload]  # one set of pipes
        command, text=True, **quiet
    ) as server:
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        try:
            urllib.request.urlopen(
                urllib.request.Request(f"{url}/lakes", method="PUT")
            ).close()
            with pytest.MonkeyPatch.context() as patched:
                for name, value in {
                    "AWS_ENDPOINT_URL": url,
                    "AWS_ALLOW_HTTP": "true",
                    "AWS_REGION": "us-east-1",
                    "AWS_ACCESS_KEY_ID": "test",
                    "AWS_SECRET_ACCESS_KEY": "test",
                    "AWS_EC2_METADATA_DISABLED": "true",
                }.items():
                    patched.setenv(name, value)
                yield "s3://lakes"
        finally:
            server.stdin.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    shop.write(folder, shop.CUSTOMERS, "1", [("c1", "Bern", "false", shop.at(0))])
    rows = [
        ("o1", "c1", "1", "5", shop.at(0)),
        ("o2", "c2", "1", "6", shop.at(0)),
        ("o3", "c1", "13", "7", shop.at(0)),
    ]
    shop.write(folder, shop.ORDERS, "1", rows)
    return folder


def more(source: Path) -> None:
    """Add source files whose rows correct earlier rows or move them to new
    partitions.
    """
    shop.write(source, shop.CUSTOMERS, "2", [("c2", "Bonn", "false", shop.at(1))])
    shop.write(
        source,
        shop.ORDERS,
        "2",
        [("o1", "c1", "2", "8", shop.at(1)), ("o4", "c3", "1", "1", shop.at(1))],
    )


def contents(lake: str) -> Dict[str, shop.Rows]:
    found = {}
    for table in shop.TABLES:
        columns = [
            column.name for column in table.columns if column.name != "_ingested_at"
        ]
        found[table.name] = shop.rows_of(f"{lake}/{table.folder.as_posix()}", columns)
    return found


def versions(lake: str) -> Dict[str, int]:
    return {
        t.name: DeltaTable(f"{lake}/{t.folder.as_posix()}").version()
        for t in shop.TABLES
    }


def test_lake_on_s3_has_the_rows_of_a_lake_in_a_folder(
    bucket: str, source: Path, tmp_path: Path
) -> None:
    lake = f"{bucket}/some/prefix"
    for step in (lambda _: None, more):
        step(source)
        lakekit.run(source, lake, tables=shop.TABLES)
        lakekit.run(source, tmp_path / "lake", tables=shop.TABLES)
        assert contents(lake) == shop.contents(tmp_path / "lake")
    before = versions(lake)
    assert not lakekit.run(source, lake, tables=shop.TABLES).changed
    assert versions(lake) == before


def test_file_that_is_gone_from_s3_is_damage(bucket: str, source: Path) -> None:
    lake = f"{bucket}/damaged"
    lakekit.run(source, lake, tables=shop.TABLES)
    before = contents(lake)
    lost, *_ = sorted(DeltaTable(f"{lake}/silver/orders").file_uris())
    store = fs.S3FileSystem(
        endpoint_override=os.environ["AWS_ENDPOINT_URL"], scheme="http"
    )
    # In the URI of a file, a partition value may be URL-encoded.
    store.delete_file(unquote(lost)[len("s3://") :])
    for command in (
        lambda: lakekit.quality(lake, tables=shop.TABLES),
        lambda: lakekit.run(source, lake, tables=shop.TABLES),
    ):
        with pytest.raises(
            DamagedTableError,
            match="silver.orders is damaged: s3://lakes/.* is missing",
        ) as caught:
            command()
        assert caught.value.next_step == "lakekit restore silver.orders --version 0"
    assert lakekit.restore("silver.orders", lake, 0, tables=shop.TABLES).committed == 2
    lakekit.run(source, lake, tables=shop.TABLES)
    assert contents(lake) == before


def test_partition_whose_folder_has_too_long_a_name_is_restored(
    bucket: str, tmp_path: Path
) -> None:
    """S3 accepts this folder name, but it is too long for a folder on disk."""
    columns = (Column("id", required=True), Column("port", required=True))
    silver = Table(
        "silver.ports",
        columns,
        ("bronze.ports",),
        "ports.sql",
        key=("id",),
        partition="port",
    )
    tables = TableSet((bronze(Source("ports", columns)), silver), tmp_path)
    (tmp_path / "ports.sql").write_text("select id, port from bronze.ports")
    (tmp_path / "ports.csv").write_text("id,port\n1,Kiel\n")
    lake = f"{bucket}/long"
    lakekit.run(tmp_path, lake, tables=tables)
    write_deltalake(
        f"{lake}/silver/ports",
        pa.table({"id": ["2"], "port": ["é" * 42]}),
        mode="append",
    )
    for command in (
        lambda: lakekit.quality(lake, tables=tables),
        lambda: lakekit.run(tmp_path, lake, tables=tables),
    ):
        with pytest.raises(
            DamagedTableError, match="a name of more than 255 bytes"
        ) as damaged:
            command()
        assert damaged.value.next_step == "lakekit restore silver.ports --version 1"
    assert [
        each.whole
        for each in lakekit.restore("silver.ports", lake, tables=tables).versions
    ] == [
        False,
        True,
        True,
    ]
    lakekit.restore("silver.ports", lake, 1, tables=tables)
    lakekit.run(tmp_path, lake, tables=tables)
    assert lakekit.show("silver.ports", lake, tables=tables).rows == (
        {"id": "1", "port": "Kiel"},
    )


def test_table_on_s3_that_delta_rs_cannot_open_is_left_to_spark(
    bucket: str, source: Path
) -> None:
    lake = f"{bucket}/unreadable"
    lakekit.run(source, lake, tables=shop.TABLES)
    delta = DeltaTable(f"{lake}/silver/orders")
    action = AddAction("part-0.parquet", 1, {"month": "0001-01-01 (BC)"}, 0, True, "{}")
    with pytest.raises(
        DeltaError
    ):  # delta-rs has written the commit, but cannot read it
        delta.create_write_transaction([action], "append", delta.schema(), ["month"])
    with pytest.raises(DamagedTableError) as damaged:
        lakekit.run(source, lake, tables=shop.TABLES)
    assert damaged.value.next_step == "lakekit restore silver.orders --version 1"
    with pytest.raises(InvalidLakeError) as refused:
        lakekit.restore("silver.orders", lake, 1, tables=shop.TABLES)
    assert refused.value.next_step == "Add --engine spark."


def test_writers_at_once_on_s3_lose_and_double_nothing(
    bucket: str, source: Path, tmp_path: Path
) -> None:
    lake = f"{bucket}/many"
    lakekit.run(source, lake, tables=shop.TABLES)
    more(source)
    other = tmp_path / "other"
    shop.write(other, shop.CUSTOMERS, "2", [("c2", "Bonn", "false", shop.at(1))])
    shop.write(
        other,
        shop.ORDERS,
        "3",
        [("o5", "c1", "3", "9", shop.at(2)), ("o1", "c1", "1", "3", shop.at(2))],
    )
    processes = [shop.start(RUN, str(each), lake) for each in (source, other)]
    for process in processes:
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0 or "ConflictError" in said, said
    for name in ("customers", "orders"):
        for file in (other / name).iterdir():
            file.rename(source / name / file.name)
    lakekit.run(source, lake, tables=shop.TABLES)
    lakekit.run(source, tmp_path / "lake", tables=shop.TABLES)
    found, meant = contents(lake), shop.contents(tmp_path / "lake")
    for name in meant:
        assert found[name] == meant[name], name


def test_partition_values_that_need_quoting_come_back(
    bucket: str, tmp_path: Path
) -> None:
    columns = (
        Column("k", required=True),
        Column("p", required=True),
        Column("n", "int"),
    )
    table = Table("gold.parted", columns, sql="parted.sql", key=("k",), partition="p")
    values = "('a', 'x y', 1), ('b', 'z/%2F', 2), ('c', 'é=:', 3), ('d', 'plain', 4)"
    (tmp_path / "scratch").mkdir()

    def opened() -> EmbeddedEngine:
        return EmbeddedEngine(
            find_lake(f"{bucket}/quoted"),
            TableSet((table,), tmp_path),
            tmp_path / "scratch",
        )

    with opened() as engine:
        engine.create(table)
        staged = engine.stage(
            table, "staged", f"select * from (values {values}) t(k, p, n)"
        )
        head = engine.head(table)
        assert head is not None
        engine.commit(table, staged, head, Note("d"))
        shutil.rmtree(tmp_path / "scratch")  # now no local copy of the file exists
        (tmp_path / "scratch").mkdir()
    with opened() as engine:
        head = engine.head(table)
        assert head is not None
        engine.define("gone", "select 'b' as k")
        staged = engine.stage(
            table, "more", "select 'b' as k, 'x y' as p, 5 as n", part=True
        )
        engine.commit(table, staged, head, Note("d"), keys="gone")
        engine.read(table, "found")
        meant = [("a", "x y", 1), ("b", "x y", 5), ("c", "é=:", 3), ("d", "plain", 4)]
        assert engine.query("select k, p, n from found order by k") == meant
    assert shop.rows_of(f"{bucket}/quoted/gold/parted", ["k", "p", "n"]) == meant
