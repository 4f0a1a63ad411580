"""Tests a complete run over the sample. The lake is in a folder."""

from __future__ import annotations

import datetime
import os
import resource
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import pytest
from deltalake import DeltaTable

import lakekit
from lakekit.nyc_flights.tables import TABLES

NAMES = [table.name for table in TABLES]
ROWS = {
    "bronze.flights": 256,
    "bronze.airlines": 16,
    "bronze.airports": 52,
    "bronze.planes": 175,
    "bronze.weather": 106,
    "silver.airlines": 16,
    "silver.airports": 52,
    "silver.planes": 175,
    "silver.weather": 106,
    "silver.flights": 256,
    "gold.delays_by_carrier_day": 48,
    "gold.delays_by_route_month": 140,
    "gold.delays_by_airport_hour": 75,
    "gold.departures_by_hour": 53,
    "gold.busiest_hours": 53,
    **{
        f"quarantine.{name}": 0
        for name in ("airlines", "airports", "planes", "weather", "flights")
    },
}
# These numbers were counted directly in the files, without lakekit.
CANCELLED, UNLISTED_AIRPORT, UNLISTED_PLANE, NO_WEATHER = 40, 37, 64, 72
FIRST_DAY_OF_UA = {
    "flights": 30,
    "cancelled": 0,
    "late_15_min": 1,
    "mean_dep_delay": 2.1,
    "mean_arr_delay": -0.2,
    "max_dep_delay": 41,
}
UTC = datetime.timezone.utc
NIGHT = datetime.datetime(2013, 11, 3, 5, tzinfo=UTC)


def everything(lake: Path, name: str) -> List[Dict[str, Any]]:
    """Return all rows without the time of ingestion, sorted, so that the order of the
    files does not matter.
    """
    rows = [dict(row) for row in lakekit.show(name, lake, limit=100_000).rows]
    for row in rows:
        row.pop("_ingested_at", None)
    return sorted(rows, key=repr)


def whole(lake: Path) -> Dict[str, Any]:
    return {name: everything(lake, name) for name in NAMES}


def versions(lake: Path) -> Dict[str, int]:
    folders = {table.name: lake / table.folder for table in TABLES}
    return {
        name: DeltaTable(str(path)).version()
        for name, path in folders.items()
        if DeltaTable.is_deltatable(str(path))
    }


@pytest.fixture(scope="module")
def lake(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lakes") / "lake"
    result = lakekit.run(sample, folder)
    assert {table.table: table.rows for table in result.tables} == ROWS
    return folder


def test_second_run_changes_nothing(lake: Path, sample: Path) -> None:
    before = versions(lake)
    result = lakekit.run(sample, lake)
    assert not result.changed and {table.mode for table in result.tables} == {
        "unchanged"
    }
    assert versions(lake) == before


def test_what_a_flight_does_not_find_is_counted(sample: Path, tmp_path: Path) -> None:
    counts = lakekit.run(sample, tmp_path / "lake")["silver.flights"].counts
    assert (counts.read, counts.inserted, counts.superseded, counts.quarantined) == (
        256,
        256,
        0,
        0,
    )
    assert counts.expectations == {
        "origin is not the destination": 0,
        "distance is positive": 0,
        "air time is positive": 0,
        "carrier is known": 0,
        "origin is known": 0,
        "destination is known": UNLISTED_AIRPORT,
        "plane is known": UNLISTED_PLANE,
        "weather is known": NO_WEATHER,
    }


def test_one_day_more_recomputes_only_its_groups(
    sample: Path, lake: Path, tmp_path: Path
) -> None:
    source, day = tmp_path / "source", tmp_path / "day"
    shutil.copytree(sample, source)
    (day / "flights").mkdir(parents=True)
    with zipfile.ZipFile(source / "flights.csv.zip") as archive:
        header, *rows = archive.read("flights.csv").decode().splitlines(keepends=True)
    (source / "flights.csv.zip").unlink()
    last = [row for row in rows if row.startswith("2013,12,31,")]
    (source / "flights.csv").write_text(
        header + "".join(row for row in rows if row not in last)
    )
    (day / "flights" / "2013-12-31.csv").write_text(header + "".join(last))
    lakekit.run(source, tmp_path / "lake")
    result = lakekit.run(day, tmp_path / "lake")
    by = {
        row["carrier"]
        for row in everything(lake, "silver.flights")
        if str(row["flight_day"]) == "2013-12-31"
    }
    carriers = result["gold.delays_by_carrier_day"]
    assert (carriers.mode, carriers.counts.groups, carriers.groups_total) == (
        "groups",
        len(by),
        48,
    )
    assert (
        result["silver.flights"].mode,
        result["silver.flights"].counts.inserted,
    ) == ("merged", len(last))
    ranked = result["gold.busiest_hours"]
    assert (ranked.mode, ranked.why) == ("whole", "it ranks all rows")
    assert not result["silver.planes"].changed
    for name in (table.name for table in TABLES if table.layer == "gold"):
        assert everything(tmp_path / "lake", name) == everything(lake, name), name


def test_every_flight_is_kept_once_whatever_it_joins(lake: Path) -> None:
    flights = everything(lake, "silver.flights")
    keys = {(row["time_hour"], row["carrier"], row["flight"]) for row in flights}
    assert len(flights) == len(keys) == ROWS["bronze.flights"]
    assert sum(row["cancelled"] for row in flights) == CANCELLED
    assert sum(row["dest_name"] is None for row in flights) == UNLISTED_AIRPORT
    assert sum(row["plane_manufacturer"] is None for row in flights) == UNLISTED_PLANE
    assert sum(row["temp"] is None for row in flights) == NO_WEATHER
    assert all(row["carrier_name"] and row["origin_name"] for row in flights)


def test_first_flight_is_typed_and_joined(lake: Path) -> None:
    first = next(
        row for row in everything(lake, "silver.flights") if row["flight"] == 1545
    )
    assert first == {
        "time_hour": datetime.datetime(2013, 1, 1, 10, tzinfo=UTC),
        "carrier": "UA",
        "flight": 1545,
        "flight_day": datetime.date(2013, 1, 1),
        "year": 2013,
        "month": 1,
        "day": 1,
        "hour": 5,
        "minute": 15,
        "origin": "EWR",
        "dest": "IAH",
        "tailnum": "N14228",
        "sched_dep_time": 515,
        "dep_time": 517,
        "dep_delay": 2,
        "sched_arr_time": 819,
        "arr_time": 830,
        "arr_delay": 11,
        "air_time": 227,
        "distance": 1400,
        "cancelled": False,
        "carrier_name": "United Air Lines Inc.",
        "origin_name": "Newark Liberty Intl",
        "dest_name": "George Bush Intercontinental",
        "plane_year": 1999,
        "plane_manufacturer": "BOEING",
        "plane_model": "737-824",
        "plane_seats": 149,
        "temp": 39.02,
        "wind_speed": 12.658579999999999,
        "precip": 0.0,
        "visib": 10.0,
        "flight_month": datetime.date(2013, 1, 1),
        "plane_known": True,
        "weather_known": True,
        "_source_file": "flights.csv",
        "_source_sha256": first["_source_sha256"],
        "_source_row": 1,
    }


def test_bronze_keeps_the_strings_and_their_place(lake: Path) -> None:
    first = next(
        row for row in everything(lake, "bronze.flights") if row["_source_row"] == 1
    )
    assert (first["dep_time"], first["time_hour"]) == ("517", "2013-01-01T10:00:00Z")
    assert (first["_source_file"], first["_source_row"]) == ("flights.csv", 1)


def test_hour_that_comes_twice_when_clocks_go_back_is_two_instants(lake: Path) -> None:
    night = [
        row
        for row in everything(lake, "silver.weather")
        if row["origin"] == "EWR" and row["time_hour"] >= NIGHT
    ]
    night.sort(key=lambda row: str(row["time_hour"]))
    local = [
        (row["hour"], row["time_hour"].hour)
        for row in night
        if row["day"] == 3 and row["hour"] == 1
    ]
    assert local == [(1, 5), (1, 6)]


def test_gold_values(lake: Path) -> None:
    day = everything(lake, "gold.delays_by_carrier_day")
    first = next(row for row in day if row["carrier"] == "UA")
    assert first == {
        "flight_day": datetime.date(2013, 1, 1),
        "carrier": "UA",
        "carrier_name": "United Air Lines Inc.",
        **FIRST_DAY_OF_UA,
    }
    assert sum(row["flights"] for row in day) == 256
    assert sum(row["cancelled"] for row in day) == CANCELLED
    none_left = [row for row in day if row["flights"] == row["cancelled"]]
    assert none_left and all(
        row["late_15_min"] == 0 and row["mean_dep_delay"] is None for row in none_left
    )
    hours = everything(lake, "gold.busiest_hours")
    hours.sort(key=lambda row: int(row["rank"]))
    assert [row["rank"] for row in hours] == list(range(1, 54))
    assert hours[0]["time_hour"] == datetime.datetime(2013, 1, 1, 11, tzinfo=UTC)
    assert [row["flights"] for row in hours] == sorted(
        (row["flights"] for row in hours), reverse=True
    )
    airport = everything(lake, "gold.delays_by_airport_hour")
    assert sum(row["flights"] for row in airport) == 256
    route = everything(lake, "gold.delays_by_route_month")
    assert sum(row["flights"] for row in route) == 256


def test_zipped_and_plain_sources_make_the_same_lake(
    lake: Path, sample: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for file in sample.glob("*.csv"):
        with zipfile.ZipFile(source / f"{file.name}.zip", "w") as archive:
            archive.write(file, file.name)
    with zipfile.ZipFile(sample / "flights.csv.zip") as archive:
        archive.extract("flights.csv", source)
    lakekit.run(source, tmp_path / "lake")
    assert whole(tmp_path / "lake") == whole(lake)
    assert not lakekit.run(source, lake).changed


def command(source: Path, lake: Path) -> List[str]:
    return [
        sys.executable,
        "-m",
        "lakekit",
        "run",
        "--source",
        str(source),
        "--lake",
        str(lake),
    ]


def environment(**more: str) -> Dict[str, str]:
    utils = Path(lakekit.__file__).parents[1]
    return {**os.environ, "PYTHONPATH": str(utils), **more}


def play(
    arguments: List[str], before: Optional[Callable[[], None]] = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        env=environment(),
        preexec_fn=before,
        check=False,
    )


def test_disk_that_takes_no_more_exits_with_3(sample: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(sample, source)
    with zipfile.ZipFile(source / "flights.csv.zip") as archive:
        archive.extractall(source)
    (source / "flights.csv.zip").unlink()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = play(command(source, tmp_path / "lake"), limit)
    assert done.returncode == 3, done.stderr
    assert (
        str(tmp_path / "lake" / "bronze") in done.stderr
        and "File too large" in done.stderr
    )
    assert "Traceback" not in done.stderr and not (tmp_path / "lake").exists()
    assert play(command(source, tmp_path / "lake")).returncode == 0


INTERRUPTED = """
import os, signal, sys
from lakekit.cli.main import main
from lakekit.engines.duckdb.engine import EmbeddedEngine
# A shell in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
commit = EmbeddedEngine.commit
def interrupted(self, table, *arguments, **named):
    if table.name == "silver.weather":
        os.kill(os.getpid(), signal.SIGINT)
    return commit(self, table, *arguments, **named)
EmbeddedEngine.commit = interrupted
main(["run", "--source", sys.argv[1], "--lake", sys.argv[2]])
"""


def test_run_that_is_interrupted_says_so_and_is_resumed(
    lake: Path, sample: Path, tmp_path: Path
) -> None:
    stopped = play(
        [sys.executable, "-c", INTERRUPTED, str(sample), str(tmp_path / "lake")]
    )
    assert stopped.returncode == 130, stopped.stderr
    assert (
        stopped.stderr.strip()
        == "Interrupted. Every table is complete. To resume, run the command again."
    )
    result = lakekit.run(sample, tmp_path / "lake")
    assert not result["silver.planes"].changed and result["silver.weather"].changed
    assert whole(tmp_path / "lake") == whole(lake)


def test_time_zone_of_the_machine_changes_nothing(
    lake: Path, sample: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        command(sample, tmp_path / "lake"),
        capture_output=True,
        text=True,
        env=environment(TZ="Asia/Kolkata"),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert whole(tmp_path / "lake") == whole(lake)


BARE = """
import sys
for name in ("duckdb", "deltalake", "pyarrow", "pytz"):
    sys.modules[name] = None
from lakekit.cli.main import main
main(sys.argv[1:])
"""


def test_base_install_knows_its_version_and_names_the_extra(
    sample: Path, tmp_path: Path
) -> None:
    version = play([sys.executable, "-c", BARE, "--version"])
    assert (version.returncode, version.stderr) == (
        0,
        "",
    ) and version.stdout.startswith("lakekit ")
    run = play(
        [
            sys.executable,
            "-c",
            BARE,
            "run",
            "--source",
            str(sample),
            "--lake",
            str(tmp_path / "lake"),
        ]
    )
    assert run.returncode == 3
    assert run.stderr.splitlines()[-1] == 'Next: pip install "lakekit[embedded]"'
