"""Tests a run over the dirty sample. Each row must be in the table that `fates.csv`
gives for it, so that no row is lost.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Dict, List, Set, Tuple

import pytest
from deltalake import DeltaTable

import lakekit
from lakekit.commands.run import RunResult
from lakekit.errors import RefusedFilesError
from lakekit.nyc_flights.tables import TABLES

Place = Tuple[str, int]


def places(lake: Path, name: str) -> List[Place]:
    data = DeltaTable(str(lake / TABLES[name].folder)).to_pyarrow_table(
        columns=["_source_file", "_source_row"]
    )
    return list(zip(*(column.to_pylist() for column in data.columns)))


@pytest.fixture(scope="module")
def dirty(sample: Path) -> Path:
    return sample / "dirty"


@pytest.fixture(scope="module")
def fates(dirty: Path) -> Dict[Place, str]:
    """Return the expected table of each row, by file and row number."""
    with (dirty / "fates.csv").open(newline="") as file:
        return {
            (row["file"], int(row["row"])): row["fate"] for row in csv.DictReader(file)
        }


@pytest.fixture(scope="module")
def loaded(
    dirty: Path, tmp_path_factory: pytest.TempPathFactory
) -> Tuple[RunResult, Path]:
    lake = tmp_path_factory.mktemp("dirty") / "lake"
    return lakekit.run(dirty, lake), lake


def found(lake: Path, kind: str) -> Dict[Place, str]:
    """Return which table contains each row of a source, by file and row number."""
    bronze, silver = places(lake, f"bronze.{kind}"), places(lake, f"silver.{kind}")
    quarantine = DeltaTable(str(lake / "quarantine" / kind)).to_pyarrow_table()
    rules = dict(
        zip(places(lake, f"quarantine.{kind}"), quarantine.column("_rule").to_pylist())
    )
    assert (
        len(set(bronze)) == len(bronze)
        and len(set(silver)) == len(silver)
        and len(rules) == quarantine.num_rows
    )
    assert not set(silver) & set(rules) and set(silver) | set(rules) <= set(bronze)
    fate = dict.fromkeys(bronze, "superseded")
    fate.update(dict.fromkeys(silver, "silver"))
    fate.update({place: f"quarantine:{rule}" for place, rule in rules.items()})
    return fate


@pytest.mark.parametrize(
    "kind", ["flights", "airlines", "airports", "planes", "weather"]
)
def test_each_row_meets_its_fate(
    kind: str, loaded: Tuple[RunResult, Path], fates: Dict[Place, str]
) -> None:
    result, lake = loaded
    meant = {
        place: fate
        for place, fate in fates.items()
        if place[0].split("/")[0].split(".")[0] == kind
    }
    assert found(lake, kind) == meant
    counts = result[f"silver.{kind}"].counts
    assert (
        counts.read
        == len(meant)
        == counts.inserted + counts.superseded + counts.quarantined
    )
    assert counts.quarantined == sum(
        fate.startswith("quarantine") for fate in meant.values()
    )
    assert counts.superseded == sum(fate == "superseded" for fate in meant.values())
    assert (counts.inserted, counts.updated) == (
        sum(fate == "silver" for fate in meant.values()),
        0,
    )


def test_added_column_is_kept_and_reported(loaded: Tuple[RunResult, Path]) -> None:
    result, lake = loaded
    assert result["bronze.flights"].new_columns == ("gate",)
    gates = (
        DeltaTable(str(lake / "bronze/flights"))
        .to_pyarrow_table()
        .column("gate")
        .to_pylist()
    )
    assert sum(gate is not None for gate in gates) == sum(
        1 for place in places(lake, "bronze.flights") if "02" in place[0][-6:]
    )


def test_orphans_are_kept_and_counted(loaded: Tuple[RunResult, Path]) -> None:
    expectations = loaded[0]["silver.flights"].counts.expectations
    assert expectations["carrier is known"] == 1
    assert (
        expectations["destination is known"] >= 1
        and expectations["plane is known"] >= 1
    )


def test_corrections_arriving_one_by_one_meet_the_same_fates(
    dirty: Path, loaded: Tuple[RunResult, Path], fates: Dict[Place, str], tmp_path: Path
) -> None:
    """Ingest the files of flights in reverse order of their names. Then ingest the
    files of the joined tables.
    """
    source, lake = tmp_path / "source", tmp_path / "lake"
    shutil.copytree(dirty, source, ignore=shutil.ignore_patterns("20*", "fates.csv"))
    (source / "planes.csv").write_text(
        "".join((dirty / "planes.csv").read_text().splitlines(True)[:2])
    )
    for file in sorted((dirty / "flights").iterdir(), reverse=True):
        shutil.copy(file, source / "flights")
        lakekit.run(source, lake)
    shutil.copy(dirty / "planes.csv", source)
    lakekit.run(source, lake)
    assert found(lake, "flights") == {
        place: fate for place, fate in fates.items() if place[0].startswith("flights/")
    }
    for name in (
        "gold.delays_by_carrier_day",
        "gold.delays_by_route_month",
        "gold.delays_by_airport_hour",
    ):
        assert rows(lake, name) == rows(loaded[1], name)


def rows(lake: Path, name: str) -> Set[str]:
    data = DeltaTable(str(lake / TABLES[name].folder)).to_pyarrow_table()
    return {
        repr({k: round(v, 9) if isinstance(v, float) else v for k, v in row.items()})
        for row in data.to_pylist()
    }


def test_file_of_mostly_misfits_stops_the_tables_that_read_it(
    dirty: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(dirty, source)
    flights = source / "flights" / "2013-01-01.csv"
    flights.write_text(flights.read_text().replace(",UA,", ",NA,"))
    with pytest.raises(
        RefusedFilesError,
        match="2013-01-01.csv, column carrier: .* at most 5% may fail",
    ) as refused:
        lakekit.run(source, tmp_path / "lake")
    assert refused.value.tables[:2] == ("bronze.flights", "silver.flights")
    for name in ("bronze.flights", "silver.flights", "quarantine.flights"):
        assert not (tmp_path / "lake" / TABLES[name].folder).exists()
    assert rows(tmp_path / "lake", "silver.planes")
