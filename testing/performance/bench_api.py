"""Measure the API under load: 50 clients on this machine request filtered pages.

Each client sends its next request as soon as it has received a page. All three
measurements read the same pages. A page has 100 rows with delays of one carrier after a
given day, sorted by mean delay. The measurements are:

- `duckdb`  the same queries in DuckDB without the service, with as many threads as the
  service has for queries; the rows are fetched into Python;
- `query`   the service without its page cache, so that every request runs a query;
- `warm`    the service with its default settings, after every page was requested once.

    python testing/performance/bench_api.py --lake LAKE

LAKE is a lake that `lakekit run` created. The clients and the service share the
processors of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import itertools
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "utils"), str(ROOT / "api")]

from lakekit.nyc_flights.tables import GOLD_CARRIER_DAY
from lakekit.storage.lake import find_lake
from lakekit_api import tokens
from lakekit_api.pages import Paging
from lakekit_api.settings import Settings
from lakekit_api.snapshots import Reader

CARRIERS = ("9E", "AA", "B6", "DL", "EV", "F9", "FL", "MQ", "UA", "US", "VX", "WN")
DAYS = 120
PATH = "/gold/delays_by_carrier_day"
Result = Dict[str, float]


def queries() -> List[str]:
    """Return 1,440 query strings, one for each page."""
    first = datetime.date(2013, 1, 1)
    days = [first + datetime.timedelta(days=day) for day in range(DAYS)]
    return [
        urlencode(
            [
                ("carrier", carrier),
                ("flight_day.ge", day.isoformat()),
                ("sort", "-mean_dep_delay"),
            ]
        )
        for carrier, day in itertools.product(CARRIERS, days)
    ]


def alone(lake: Path, asked: Sequence[str], threads: int) -> Result:
    """Run the queries in DuckDB without the service."""
    reader = Reader(find_lake(lake), Settings.memory)
    head = reader.head(GOLD_CARRIER_DAY)
    assert head is not None, f"{lake} holds no {GOLD_CARRIER_DAY.name}"
    snapshot = reader.load(GOLD_CARRIER_DAY, head)
    paging = Paging(GOLD_CARRIER_DAY, Settings.limit, Settings.max_limit)
    pages = [paging.read(each.encode()) for each in asked]
    statements = [
        (page.sql(snapshot.relation, GOLD_CARRIER_DAY.columns), page.values())
        for page in pages
    ]
    seconds: List[float] = []

    def run(part: Sequence[Tuple[str, List[Any]]]) -> None:
        for sql, bound in part:
            started = time.perf_counter()
            with reader.cursor() as cursor:
                assert cursor.execute(sql, bound).fetchall()
            seconds.append(time.perf_counter() - started)

    run(statements[:100])
    seconds.clear()
    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, [statements[start::threads] for start in range(threads)]))
    result = figures(seconds, time.perf_counter() - started)
    reader.close()
    return result


@contextlib.contextmanager
def served(lake: Path, *options: str) -> Iterator[Tuple[int, str]]:
    """Run a service during a `with` block, as users start it and with logs. Yields the
    port and a token.
    """
    secret, token = tokens.make("bench", [GOLD_CARRIER_DAY.name])
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path[:2]),
        "LAKEKIT_API_TOKENS": token.line(),
    }
    command = [
        sys.executable,
        "-m",
        "lakekit_api",
        "serve",
        "--lake",
        str(lake),
        "--port",
        "0",
        *options,
    ]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        drain = threading.Thread(
            target=shutil.copyfileobj, args=(process.stdout, open(os.devnull, "wb"))
        )
        drain.start()
        try:
            yield port, secret
        finally:
            process.send_signal(signal.SIGTERM)
            drain.join()
    assert process.returncode == 0, f"the service ended with {process.returncode}"


async def client(
    port: int, secret: str, asked: Iterator[str], seconds: List[float]
) -> None:
    """Request pages one after another on one connection. No client library is used,
    because it would need more processor time than the service.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for query in asked:
        started = time.perf_counter()
        writer.write(
            f"GET {PATH}?{query} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer"
            f" {secret}\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        await reader.readexactly(int(length[1]))
        seconds.append(time.perf_counter() - started)
    writer.close()


async def load(port: int, secret: str, clients: int, asked: Sequence[str]) -> Result:
    """Send all requests. All clients take their requests from one list."""
    seconds: List[float] = []
    left = iter(asked)
    started = time.perf_counter()
    await asyncio.gather(*(client(port, secret, left, seconds) for _ in range(clients)))
    return figures(seconds, time.perf_counter() - started)


def figures(seconds: Sequence[float], elapsed: float) -> Result:
    """Return the number of requests, the requests per second, and the 50th and 99th
    percentiles of their durations in milliseconds.
    """
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    said = {"requests": len(seconds), "per_second": len(seconds) / elapsed}
    return {
        key: round(value, 2)
        for key, value in {
            **said,
            "p50_ms": cuts[49] * 1e3,
            "p99_ms": cuts[98] * 1e3,
        }.items()
    }


def bench(lake: Path, clients: int, requests: int) -> Dict[str, Result]:
    """Run all three measurements. All measurements request the pages in the same
    order.
    """
    pages = queries()
    random.Random(1).shuffle(pages)
    asked = [pages[number % len(pages)] for number in range(requests)]
    results = {"duckdb": alone(lake, asked, Settings.threads)}
    with served(lake, "--cache", "0") as (port, secret):
        asyncio.run(load(port, secret, clients, asked[:200]))
        results["query"] = asyncio.run(load(port, secret, clients, asked))
    with served(lake) as (port, secret):
        asyncio.run(load(port, secret, clients, pages))
        results["warm"] = asyncio.run(load(port, secret, clients, asked))
    return results


def table(results: Dict[str, Result]) -> str:
    """Return the results as text. The column `x` is the throughput relative to
    DuckDB.
    """
    base = results["duckdb"]["per_second"]
    lines = [
        f"{'':<8} {'requests':>8} {'per s':>8} {'x':>6} {'p50 ms':>8} {'p99 ms':>8}"
    ]
    for name, found in results.items():
        rate = f"{found['per_second']:>8,.0f} {found['per_second'] / base:>6.2f}"
        lines.append(
            f"{name:<8} {found['requests']:>8,.0f} {rate} {found['p50_ms']:>8.1f}"
            f" {found['p99_ms']:>8.1f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the measurements, and print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--lake", type=Path, required=True, help="a lake that lakekit run made"
    )
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument(
        "--requests",
        type=int,
        default=5000,
        help="requests per measurement (default: 5000)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    results = bench(options.lake, options.clients, options.requests)
    print(json.dumps(results, indent=2) if options.json else table(results))


if __name__ == "__main__":
    main()
