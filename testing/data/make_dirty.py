"""Create the dirty sample, `dirty/`, from the sample in this folder.

    python testing/data/make_dirty.py        # needs pyarrow, for the Parquet file

The script removes, changes and duplicates rows, and records the expected result of each
row. The expected result is in the code next to each change, and is not computed by
lakekit.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import gzip
import io
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pyarrow as pa
import pyarrow.parquet as pq
from cut_sample import Row, read, to_csv

HERE = Path(__file__).parent
NUMBERS = frozenset(
    "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay"
    " flight air_time distance hour minute".split()
)


class File:
    """A file to write, and the fate (the expected result) of each row."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: List[Row] = []
        self.fates: List[str] = []

    def add(self, row: Row, fate: str = "silver", **altered: str) -> None:
        """Add a row and its fate. `altered` replaces some of the row's values."""
        self.rows.append({**row, **altered})
        self.fates.append(fate)

    def supersede(self, number: int) -> Row:
        """Mark a row as superseded by a later row with the same key; return the row."""
        self.fates[number - 1] = "superseded"
        return self.rows[number - 1]


def make_flights(sample: List[Row]) -> Tuple[File, File, File]:
    """Return the files of flights in the order of their names. If several files have a
    row with the same key, the row in the last of these files wins.
    """
    first = make_first_day(sample)
    second = make_second_day(sample, first)
    return make_late(sample, first, second), first, second


def make_first_day(sample: List[Row]) -> File:
    """Return correct rows, one row for each kind of error, and duplicate rows."""
    first = File("flights/2013-01-01.csv")
    for row in sample[:40]:
        first.add(row)
    first.add(sample[40], "quarantine:type: dep_time", dep_time="late")
    first.add(sample[41], "quarantine:type: air_time", air_time="2.5")
    first.add(sample[42], "quarantine:type: carrier", carrier="NA")
    first.add(
        sample[43], "quarantine:type: time_hour", time_hour="2013-01-01 06:00:00"
    )  # an instant without a time zone
    first.add(sample[44], "quarantine:required: flight_day", month="13")
    first.add(sample[45], "quarantine:required: flight_day", month="2", day="30")
    first.add(
        sample[46],
        "quarantine:origin is not the destination",
        dest=sample[46]["origin"],
    )
    first.add(sample[47], "quarantine:distance is positive", distance="0")
    first.add(sample[48], "quarantine:air time is positive", air_time="-7")
    first.add(
        sample[49], carrier="ZZ", flight="1"
    )  # an airline, a plane and an airport that are not listed
    first.add(sample[50], dest="QQQ", tailnum="N0NE")
    first.add(first.supersede(1))  # an identical duplicate
    first.add(first.supersede(2), dep_delay="99")  # corrected later in the file
    first.add(
        sample[41], flight="2147483648", fate="quarantine:type: flight"
    )  # larger by one than the maximum of an int
    return first


def make_second_day(sample: List[Row], first: File) -> File:
    """Return corrections of the first day's rows, one of them invalid, and new rows."""
    second = File("flights/2013-01-02.csv")
    second.add(
        first.supersede(3), dest="BOS", distance="187"
    )  # the next day's file corrects the route
    second.add(first.supersede(4), hour="6", minute="NA")
    second.add(first.supersede(5))  # an identical duplicate in the second file
    second.add(
        first.rows[5], "quarantine:type: distance", distance="far"
    )  # an invalid correction does not replace the old row
    second.add(first.rows[40], dep_time="554")  # the correction of a rejected row
    second.add(first.rows[44], month="1")
    second.add(first.rows[45], year="2013", month="3", day="1")
    for row in sample[51:67]:
        second.add(row)
    return second


def make_late(sample: List[Row], first: File, second: File) -> File:
    """Return rows that arrive last, although the name of their file sorts first."""
    late = File("flights/2013-01-00.parquet")
    late.add(sample[67])
    late.add(
        first.rows[7], "superseded", dep_delay="-30"
    )  # arrives late, in a file whose name sorts first
    late.add(second.rows[7], "superseded", arr_delay="500")
    late.add(sample[68], "quarantine:distance is positive", distance="-1")
    for row in sample[200:216]:
        late.add(row)
    return late


def make_others(sample: Dict[str, List[Row]], flights: List[Row]) -> List[File]:
    """Return airlines, airports, planes and weather of these flights, each with
    errors.
    """
    places = {row["origin"] for row in flights} | {row["dest"] for row in flights}
    tails = {row["tailnum"] for row in flights}
    airlines, airports, planes, weather = (
        File(f"{name}.csv") for name in ("airlines", "airports", "planes", "weather")
    )
    for row in sample["airlines"]:
        airlines.add(row)
    airlines.add(airlines.supersede(1), name="Endeavor Air, Inc.")
    for row in (row for row in sample["airports"] if row["faa"] in places):
        airports.add(row)
    airports.add(airports.rows[0], "quarantine:type: lat", faa="XXX", lat="33,6")
    for row in (row for row in sample["planes"] if row["tailnum"] in tails):
        planes.add(row)
    planes.add(planes.rows[0], "quarantine:type: tailnum", tailnum="NA")
    planes.add(planes.rows[1], "quarantine:type: seats", tailnum="N00001", seats="many")
    for row in sample["weather"][:30]:
        weather.add(row)
    weather.add(weather.supersede(2), temp="NA")
    weather.add(weather.rows[2], "quarantine:type: temp", temp="cold")
    return [airlines, airports, planes, weather]


def write(folder: Path, file: File) -> None:
    """Write a file in the format that its name requires. The file of the second day is
    compressed and has an additional column. The file of late rows is a Parquet file
    with typed columns.
    """
    target = folder / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.name.endswith("2013-01-02.csv"):
        rows = [
            {**row, "gate": f"A{number}"} for number, row in enumerate(file.rows, 1)
        ]
        (folder / f"{file.name}.gz").write_bytes(
            gzip.compress(to_csv(rows).encode(), mtime=0)
        )
    elif file.name.endswith(".parquet"):
        columns = {
            name: pa.array([_typed(name, row[name]) for row in file.rows])
            for name in file.rows[0]
        }
        pq.write_table(pa.table(columns), target)
    else:
        target.write_bytes(to_csv(file.rows).encode())


def _typed(name: str, value: str) -> Any:
    if value == "NA":
        return None
    if name == "time_hour":
        return datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    return int(value) if name in NUMBERS else value


def main() -> None:
    """Write the files, and `fates.csv` with the columns file, row and fate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=HERE / "dirty",
        help="where to write (default: dirty/ beside this)",
    )
    options = parser.parse_args()
    sample = {
        name: read(HERE, name)
        for name in ("airlines", "airports", "planes", "weather", "flights")
    }
    flights = make_flights(sample["flights"])
    files = [
        *flights,
        *make_others(sample, [row for file in flights for row in file.rows]),
    ]
    for file in files:
        write(options.out, file)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "row", "fate"])
    for file in files:
        writer.writerows(
            [file.name, number, fate] for number, fate in enumerate(file.fates, 1)
        )
    (options.out / "fates.csv").write_text(text.getvalue(), encoding="utf-8")


if __name__ == "__main__":
    main()
