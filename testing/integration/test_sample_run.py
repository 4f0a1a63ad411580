"""The whole run over the sample, on disk."""

from __future__ import annotations

import datetime
import os
import resource
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import pytest
from deltalake import DeltaTable
from deltalake.transaction import create_table_with_add_actions

import lakekit
from lakekit import embedded
from lakekit.errors import StorageError
from lakekit.flights import TABLES

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
    "gold.busiest_hours": 53,
}
# Counted in the files by other means than lakekit.
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
    return list(lakekit.show(name, lake, limit=100_000).rows)


def whole(lake: Path) -> Dict[str, Any]:
    return {name: everything(lake, name) for name in NAMES}


def versions(lake: Path) -> Dict[str, int]:
    folders = {table.name: lake / table.folder for table in TABLES}
    return {
        name: DeltaTable(str(path)).version()
        for name, path in folders.items()
        if DeltaTable.is_deltatable(str(path))
    }


def unnamed(lake: Path) -> List[Path]:
    """Data files that no table's newest version names."""
    named = {Path(uri).name for table in TABLES for uri in DeltaTable(str(lake / table.folder)).file_uris()}
    return [file for file in lake.rglob("*.parquet") if file.name not in named]


@pytest.fixture(scope="module")
def lake(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lakes") / "lake"
    result = lakekit.run(sample, folder)
    assert {table.table: table.rows for table in result.tables} == ROWS
    return folder


def test_second_run_changes_nothing(lake: Path, sample: Path) -> None:
    assert not lakekit.run(sample, lake).changed
    assert versions(lake) == dict.fromkeys(NAMES, 0)


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
    first = next(row for row in everything(lake, "silver.flights") if row["flight"] == 1545)
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
    }


def test_bronze_keeps_the_strings_and_their_place(lake: Path) -> None:
    first = everything(lake, "bronze.flights")[0]
    assert (first["dep_time"], first["time_hour"]) == ("517", "2013-01-01T10:00:00Z")
    assert (first["_source_file"], first["_source_row"]) == ("flights.csv", 1)


def test_hour_that_comes_twice_when_clocks_go_back_is_two_instants(lake: Path) -> None:
    night = [
        row
        for row in everything(lake, "silver.weather")
        if row["origin"] == "EWR" and row["time_hour"] >= NIGHT
    ]
    local = [(row["hour"], row["time_hour"].hour) for row in night if row["day"] == 3 and row["hour"] == 1]
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
    assert none_left and all(row["late_15_min"] == 0 and row["mean_dep_delay"] is None for row in none_left)
    hours = everything(lake, "gold.busiest_hours")
    assert [row["place"] for row in hours] == list(range(1, 54))
    assert hours[0]["time_hour"] == datetime.datetime(2013, 1, 1, 11, tzinfo=UTC)
    assert [row["flights"] for row in hours] == sorted((row["flights"] for row in hours), reverse=True)
    airport = everything(lake, "gold.delays_by_airport_hour")
    assert sum(row["flights"] for row in airport) == 256
    route = everything(lake, "gold.delays_by_route_month")
    assert sum(row["flights"] for row in route) == 256


def test_zipped_and_plain_sources_make_the_same_lake(lake: Path, sample: Path, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("place", range(len(NAMES)), ids=NAMES)
def test_run_that_fails_at_a_table_is_resumed(
    place: int, lake: Path, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(*arguments: Any, **named: Any) -> None:
        if named["name"] == NAMES[place]:
            raise OSError(28, "No space left on device")
        create_table_with_add_actions(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr("lakekit.embedded.create_table_with_add_actions", create)
        with pytest.raises(StorageError, match="No space left on device"):
            lakekit.run(sample, tmp_path / "lake")
    assert versions(tmp_path / "lake") == dict.fromkeys(NAMES[:place], 0)
    result = lakekit.run(sample, tmp_path / "lake")
    assert [table.table for table in result.tables if table.changed] == NAMES[place:]
    assert whole(tmp_path / "lake") == whole(lake)
    assert not unnamed(tmp_path / "lake")


def test_update_that_fails_half_way_leaves_old_and_new_versions_whole(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    shutil.copytree(sample, source)
    lakekit.run(source, tmp_path / "lake")
    airlines = source / "airlines.csv"
    airlines.write_text(airlines.read_text().replace("United Air Lines Inc.", "United"))
    commit = embedded.EmbeddedEngine.commit

    def full(self: embedded.EmbeddedEngine, staged: embedded.Staged, digest: str) -> int:
        if staged.table.name == "silver.flights":
            raise OSError(28, "No space left on device")
        return commit(self, staged, digest)

    with monkeypatch.context() as patched:
        patched.setattr(embedded.EmbeddedEngine, "commit", full)
        with pytest.raises(StorageError):
            lakekit.run(source, tmp_path / "lake")
    assert {name for name, version in versions(tmp_path / "lake").items() if version} == {
        "bronze.airlines",
        "silver.airlines",
    }
    names = {row["carrier_name"] for row in everything(tmp_path / "lake", "silver.flights")}
    assert "United Air Lines Inc." in names and "United" not in names
    result = lakekit.run(source, tmp_path / "lake")
    assert [table.table for table in result.tables if table.changed] == NAMES[9:]
    assert "United" in {row["carrier_name"] for row in everything(tmp_path / "lake", "silver.flights")}


def command(source: Path, lake: Path) -> List[str]:
    return [sys.executable, "-m", "lakekit", "run", "--source", str(source), "--lake", str(lake)]


def environment(**more: str) -> Dict[str, str]:
    utils = Path(lakekit.__file__).parents[1]
    return {**os.environ, "PYTHONPATH": str(utils), **more}


def play(
    arguments: List[str], before: Optional[Callable[[], None]] = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, capture_output=True, text=True, env=environment(), preexec_fn=before, check=False
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
    assert str(tmp_path / "lake" / "bronze") in done.stderr and "File too large" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "lake").exists()
    assert play(command(source, tmp_path / "lake")).returncode == 0


KILLED = """
import os, signal, sys
from lakekit import embedded
from lakekit.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background has it ignored
commit = embedded.EmbeddedEngine.commit
def killed(self, staged, digest):
    if staged.table.name == "silver.weather":
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    return commit(self, staged, digest)
embedded.EmbeddedEngine.commit = killed
main(["run", "--source", sys.argv[2], "--lake", sys.argv[3]])
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGKILL", -signal.SIGKILL)])
def test_run_that_is_stopped_is_resumed(
    name: str, code: int, lake: Path, sample: Path, tmp_path: Path
) -> None:
    stopped = play([sys.executable, "-c", KILLED, name, str(sample), str(tmp_path / "lake")])
    assert stopped.returncode == code, stopped.stderr
    if name == "SIGINT":
        assert stopped.stderr.strip() == "Interrupted: every table is whole, and running again resumes."
    assert versions(tmp_path / "lake") == dict.fromkeys(NAMES[:8], 0)
    done = play(command(sample, tmp_path / "lake"))
    assert done.returncode == 0 and "6 of 14 tables written" in done.stdout
    assert whole(tmp_path / "lake") == whole(lake)


def test_runs_at_once_do_no_harm(lake: Path, sample: Path, tmp_path: Path) -> None:
    other = tmp_path / "source"
    shutil.copytree(sample, other)
    airlines = other / "airlines.csv"
    airlines.write_text(airlines.read_text().replace("United Air Lines Inc.", "United"))
    started = [
        subprocess.Popen(
            command(source, tmp_path / "lake"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        for source in (sample, other, sample)
    ]
    for process in started:
        _, said = process.communicate()
        assert process.returncode in (0, 1), said
        assert process.returncode == 0 or "was changed by another writer" in said
        assert "Traceback" not in said
    assert lakekit.run(sample, tmp_path / "lake").tables
    assert whole(tmp_path / "lake") == whole(lake)


def test_time_zone_of_the_machine_changes_nothing(lake: Path, sample: Path, tmp_path: Path) -> None:
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
from lakekit.cli import main
main(sys.argv[1:])
"""


def test_base_install_knows_its_version_and_names_the_extra(sample: Path, tmp_path: Path) -> None:
    version = play([sys.executable, "-c", BARE, "--version"])
    assert (version.returncode, version.stderr) == (0, "") and version.stdout.startswith("lakekit ")
    run = play([sys.executable, "-c", BARE, "run", "--source", str(sample), "--lake", str(tmp_path / "lake")])
    assert run.returncode == 3
    assert run.stderr.splitlines()[-1] == 'Next: pip install "lakekit[embedded]"'
