"""Tests corrections of a source file while the clock is set forward and back. The
correction that is committed last must win, even if the clock shows an earlier time.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any, Dict, List

import pytest
from deltalake import DeltaTable

import lakekit
from lakekit.commands.run import RunResult
from lakekit.declarations.tables import TableSet
from lakekit.engines.engine import Note

HEADER = "name,age,seen,weight\n"
NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone.utc)


class Clock:
    """Runs lakekit on one lake, at times that the test chooses."""

    def __init__(self, source: Path, lake: Path, tables: TableSet) -> None:
        self._source, self.lake, self._tables = source, lake, tables

    def ingest(self, age: int, year: int) -> RunResult:
        """Replace the only source file, set the clock to `year`, and run lakekit."""
        (self._source / "people.csv").write_text(f"{HEADER}Ada,{age},NA,NA\n")
        now = NOW.replace(year=year)
        return lakekit.run(self._source, self.lake, tables=self._tables, now=now)

    def rows(self, table: str) -> List[Dict[str, Any]]:
        """Return the rows of a table."""
        found: List[Dict[str, Any]] = (
            DeltaTable(str(self.lake / table)).to_pyarrow_table().to_pylist()
        )
        return found


@pytest.fixture
def clock(source: Path, tables: TableSet, tmp_path: Path) -> Clock:
    return Clock(source, tmp_path / "lake", tables)


@pytest.mark.parametrize(
    ("second", "third", "rebuilt"),
    [(2030, 2026, False), (2030, 2020, True), (2020, 2020, False), (2020, 2030, True)],
)
def test_later_commit_wins_whatever_the_clock(
    second: int, third: int, rebuilt: bool, clock: Clock, sql: Path
) -> None:
    clock.ingest(36, year=2026)
    result = clock.ingest(37, year=second)
    assert result["silver.people"].counts.updated == 1
    if rebuilt:
        with (sql / "people.sql").open("a") as text:
            text.write("-- changed\n")
    result = clock.ingest(38, year=third)
    assert result["silver.people"].mode == ("whole" if rebuilt else "merged")
    assert [row["age"] for row in clock.rows("silver/people")] == [38]
    times = {row["age"]: row["_ingested_at"] for row in clock.rows("bronze/people")}
    assert sorted(times, key=lambda age: times[age]) == ["36", "37", "38"]
    assert len(set(times.values())) == 3


def test_time_of_a_run_is_stored_while_the_clock_goes_forth(clock: Clock) -> None:
    for age, year in ((36, 2026), (37, 2027), (38, 2030)):
        clock.ingest(age, year)
    times = sorted(row["_ingested_at"] for row in clock.rows("bronze/people"))
    assert times == [NOW.replace(year=year) for year in (2026, 2027, 2030)]


def test_rows_decide_where_the_newest_commit_is_of_another_writer(
    clock: Clock,
) -> None:
    clock.ingest(36, year=2030)
    clock.ingest(37, year=2026)
    DeltaTable(str(clock.lake / "bronze/people")).delete("age = '36'")
    clock.ingest(38, year=2026)
    assert [row["age"] for row in clock.rows("silver/people")] == [38]
    newest = max(row["_ingested_at"] for row in clock.rows("bronze/people"))
    first = NOW.replace(year=2030)
    assert newest == first + datetime.timedelta(microseconds=2)


def test_note_of_an_older_version_has_no_time() -> None:
    text = Note("d", at="2026-01-01T00:00:00+00:00").text()
    assert Note.parse(text) == Note("d", at="2026-01-01T00:00:00+00:00")
    older = text.replace('"at": "2026-01-01T00:00:00+00:00", ', "")
    assert older != text and Note.parse(older) == Note("d")
