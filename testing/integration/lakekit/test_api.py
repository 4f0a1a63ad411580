"""Tests the API in a process, as users start it. The API serves a lake that `lakekit
run` created, while other programs write to the lake.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional

import duckdb
import pytest
from deltalake import DeltaTable, write_deltalake

import lakekit
from lakekit.nyc_flights.tables import TABLES
from lakekit_api.tokens import make

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).parents[3]
GOLD = TABLES.layer("gold")
PATHS = [f"/{table.name.replace('.', '/')}" for table in GOLD]
SECRET, TOKEN = make("tests", ["*"])
AUTHORIZED = {"Authorization": f"Bearer {SECRET}"}
HOURS = TABLES["gold.busiest_hours"]
# Options for schemathesis 4.4, the last version for Python 3.9. Without these options,
# this version sends headers with control characters. The server rejects such headers
# before the application gets them. Also, schemathesis 4.4 does not end if an API has as
# many parameters as this one.
OLD_SCHEMATHESIS = [
    "--phases=examples,fuzzing",
    (
        "--checks=not_a_server_error,status_code_conformance,"
        "response_schema_conformance,ignored_auth"
    ),
]
# schemathesis sends values that are longer than the API's description allows. A URL may
# therefore be too long. So status 414 is allowed, in addition to the default statuses.
SCHEMATHESIS_SETTINGS = """
[checks.negative_data_rejection]
expected-statuses = [
    400, 401, 403, 404, 405, 406, 409, 414, 415, 422, 428, 429, "5xx"
]
"""
# A program that runs the service. Each query waits for a line on standard input.
HELD = """
import asyncio, sys
from lakekit_api.cli import main
from lakekit_api.store import Store
query = Store.query
async def held(self, *arguments):
    print('"held"', flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    return await query(self, *arguments)
Store.query = held
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def made(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a lake with the sample. Tests must not change the lake."""
    folder = tmp_path_factory.mktemp("lakes") / "lake"
    lakekit.run(sample, folder)
    return folder


@pytest.fixture
def lake(made: Path, tmp_path: Path) -> Path:
    """Return a copy of the gold tables of the lake."""
    shutil.copytree(made / "gold", tmp_path / "lake" / "gold")
    return tmp_path / "lake"


class Service:
    """A running service and its log."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.port = int(json.loads(process.stdout.readline())["port"])

    def log_until(self, message: str) -> Dict[str, Any]:
        """Read the log up to the first line with this message, and return this line."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said = json.loads(line)
            if said == message or (
                isinstance(said, dict) and said["message"] == message
            ):
                return said if isinstance(said, dict) else {}
        raise AssertionError(f"the service ended without logging {message!r}")

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def get(self, path: str, headers: Optional[Dict[str, str]] = None) -> Any:
        """Send a GET request, and return the body of the response."""
        with contextlib.closing(self.connect()) as connection:
            connection.request(
                "GET", path, headers=AUTHORIZED if headers is None else headers
            )
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, body
            return json.loads(body)


@contextlib.contextmanager
def served(
    lake: object, *options: str, program: Optional[List[str]] = None
) -> Iterator[Service]:
    """Run a service in a separate process during a `with` block. The time zone of the
    process is not UTC.
    """
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "utils"), str(ROOT / "api")]),
        "LAKEKIT_API_TOKENS": TOKEN.line(),
        "TZ": "America/New_York",
    }
    command = [
        sys.executable,
        *(program or ["-m", "lakekit_api"]),
        "serve",
        "--lake",
        str(lake),
        "--port",
        "0",
        # On a busy machine, a slow response is not an error of the service.
        "--timeout",
        "600",
        "--grace",
        "600",
        *options,
    ]
    with subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Service(process)
        finally:
            process.kill()


def rows_of(lake: Path, name: str) -> List[Dict[str, Any]]:
    """Return the rows of a table, sorted by key and converted to JSON. DuckDB reads the
    files.
    """
    table = TABLES[name]
    files = [str(file) for file in DeltaTable(str(lake / table.folder)).file_uris()]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.execute(
            "SELECT CAST(to_json(t) AS VARCHAR) FROM read_parquet(?) t "
            f"ORDER BY {', '.join(table.key)}",
            [files],
        ).fetchall()
    return [json.loads(row[0]) for row in rows]


def same_instants(rows: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Convert DuckDB's format `2013-01-01 10:00:00+00` to the API's
    `2013-01-01T10:00:00Z`.
    """
    for row in rows:
        if "time_hour" in row:
            row["time_hour"] = row["time_hour"].replace(" ", "T").replace("+00", "Z")
    return rows


def test_pages_one_after_another_are_the_tables(made: Path) -> None:
    with served(made) as service:
        for table, path in zip(GOLD, PATHS):
            at, found = f"{path}?limit=17", []
            while at:
                page = service.get(at)
                found += page["rows"]
                at = page["next"]
            assert found == same_instants(rows_of(made, table.name)), table.name


def test_every_data_endpoint_refuses_without_a_token(made: Path) -> None:
    with served(made) as service, contextlib.closing(service.connect()) as connection:
        paths = service.get("/openapi.json")["paths"]
        statuses: Dict[str, int] = {}
        for path in paths:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            statuses[path] = answer.status
    assert {path for path, status in statuses.items() if status == 401} == {
        "/tables",
        *PATHS,
    }
    assert {path for path, status in statuses.items() if status != 401} == {
        "/healthz",
        "/readyz",
        "/metrics",
    }


def test_commit_of_another_writer_is_served(lake: Path) -> None:
    with served(lake, "--refresh", "0") as service:
        before = service.get(PATHS[-1])
        delta = DeltaTable(str(lake / HOURS.folder))
        delta.delete("rank = 1")
        after = service.get(PATHS[-1])
        past = service.get(f"{PATHS[-1]}?version={before['version']}")
    assert after["version"] > before["version"] and after["rows"] == before["rows"][1:]
    assert past == before


def test_request_in_flight_is_answered_after_sigterm(made: Path) -> None:
    with served(made, program=["-c", HELD]) as service:
        connection = service.connect()
        connection.request("GET", PATHS[0], headers=AUTHORIZED)
        service.log_until("held")
        service.process.send_signal(signal.SIGTERM)
        refused = threading.Event()
        while not refused.is_set():  # the service stops listening before it exits
            try:
                service.connect().connect()
            except OSError:
                refused.set()
        assert service.process.poll() is None
        assert service.process.stdin is not None
        service.process.stdin.write("go on\n")
        service.process.stdin.flush()
        answer = connection.getresponse()
        assert (answer.status, len(json.loads(answer.read())["rows"])) == (200, 48)
        connection.close()
        service.log_until("stopped")
        assert service.process.wait(60) == 0


def test_idle_service_ends_with_0(made: Path) -> None:
    with served(made) as service:
        service.get("/tables")
        service.process.send_signal(signal.SIGTERM)
        service.log_until("stopped")
        assert service.process.wait(60) == 0


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the name of a bucket on a moto server."""
    with subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stderr is not None
        address = next(
            line.split()[-1] for line in server.stderr if "Running on http" in line
        )
        reader = threading.Thread(
            target=server.stderr.read
        )  # discard moto's log, because a full pipe would block moto
        reader.start()
        variables = {
            "AWS_ENDPOINT_URL": address,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
        }
        variables.update(AWS_ACCESS_KEY_ID="moto", AWS_SECRET_ACCESS_KEY="moto")
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        host, port = address.rpartition("/")[2].split(":")
        connection = http.client.HTTPConnection(host, int(port))
        connection.request("PUT", "/lake")
        assert connection.getresponse().status == 200
        connection.close()
        yield "lake"
        server.terminate()
        reader.join()


def test_lake_on_s3_is_served(bucket: str, made: Path) -> None:
    for table in GOLD:
        rows = DeltaTable(str(made / table.folder)).to_pyarrow_table()
        write_deltalake(f"s3://{bucket}/deep/{'/'.join(table.folder.parts)}", rows)
    with served(f"s3://{bucket}/deep") as service, served(made) as local:
        assert service.get("/readyz")["status"] == "ready"
        for path in PATHS:
            assert service.get(path)["rows"] == local.get(path)["rows"]


def test_table_that_spark_wrote_is_served(spark: SparkSession, lake: Path) -> None:
    with served(lake, "--refresh", "0") as service:
        before = service.get(PATHS[-1])
        location = str(lake / HOURS.folder)
        frame = spark.read.format("delta").load(location)
        frame.write.format("delta").mode("overwrite").save(location)
        after = service.get(PATHS[-1])
    assert after["version"] > before["version"] and after["rows"] == before["rows"]


def test_service_does_what_its_description_says(made: Path, tmp_path: Path) -> None:
    schemathesis = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        "--max-examples",
        "40",
    ]
    schemathesis += OLD_SCHEMATHESIS if sys.version_info < (3, 10) else []
    (tmp_path / "schemathesis.toml").write_text(SCHEMATHESIS_SETTINGS)
    with served(made) as service:
        assert service.process.stdout is not None
        reader = threading.Thread(
            target=service.process.stdout.read
        )  # discard the service's log, which would fill the pipe
        reader.start()
        url = f"http://127.0.0.1:{service.port}/openapi.json"
        done = subprocess.run(
            [*schemathesis, "--header", f"Authorization: Bearer {SECRET}", url],
            cwd=tmp_path,  # schemathesis creates a folder here
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        service.process.terminate()
        reader.join()
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    # schemathesis may warn, because most generated keys match no row. But all responses
    # must match the API's description.
    counted = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert (
        counted is not None and counted[1] == counted[2] and int(counted[1]) > 200
    ), done.stdout[-3000:]
