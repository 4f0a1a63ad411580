"""Stores the history of measurements: a file with one line of JSON for each run."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lake_ci.system.atomic_write import write_whole
from lake_ci.system.file_lock import locked

SCHEMA = 1


@dataclass(frozen=True)
class Figures:
    """The figures of a whole benchmark, or of a part of it, such as one table.

    `seconds` is the median of the new version's rounds. All values except `seconds`
    exist only if there is a baseline. `ratio` is new / old; the 95 % interval of the
    ratio is from `low` to `high`. If the true ratio were `detects`, 19 of 20 runs would
    find the new version slower.
    """

    seconds: float
    old_seconds: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    detects: float | None = None
    pairs: int = 0


@dataclass(frozen=True)
class Measurement:
    """A benchmark in a run: the figures of each part, and the peak memory in MB.

    The key in `series` is "" for the whole benchmark, and the part's name for a part.
    """

    series: Mapping[str, Figures]
    peak_mb: float = 0.0
    old_peak_mb: float | None = None


@dataclass(frozen=True)
class Record:
    """A line of the history: one run with its measurements."""

    commit: str | None
    baseline: str | None
    dirty: bool
    made: str
    machine: Mapping[str, object]
    benchmarks: Mapping[str, Measurement] = field(default_factory=dict)


def describe_machine() -> dict[str, object]:
    """Return the properties of this machine that affect the measured figures."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "memory_gb": round(
            os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1
        ),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def same_machine(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Return whether the times measured on the two machines can be compared."""
    return all(one.get(fact) == other.get(fact) for fact in ("processor", "cores"))


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [
        line.partition(":")[2].strip()
        for line in text.splitlines()
        if line.startswith("model name")
    ]
    return names[0] if names else platform.machine()


def to_line(record: Record) -> str:
    """Return the record as one line of JSON."""
    return json.dumps({"schema": SCHEMA, **asdict(record)}, ensure_ascii=True) + "\n"


def from_line(line: str) -> Record:
    """Return the record that this line of the history contains. Raises ValueError."""
    try:
        body = json.loads(line)
        if body["schema"] != SCHEMA:
            raise ValueError(f"schema {body['schema']!r}, expected {SCHEMA}")
        benchmarks = {
            str(name): Measurement(
                {
                    str(part): Figures(**figures)
                    for part, figures in row["series"].items()
                },
                float(row["peak_mb"]),
                row["old_peak_mb"],
            )
            for name, row in body["benchmarks"].items()
        }
        return Record(
            body["commit"],
            body["baseline"],
            body["dirty"],
            body["made"],
            dict(body["machine"]),
            benchmarks,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a measurement: {error}") from None


def read_history(path: Path) -> tuple[list[Record], int]:
    """Return the records, oldest first, and the number of unreadable lines.

    A missing file counts as an empty history.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return [], 0
    records, unread = [], 0
    for line in filter(str.strip, lines):
        try:
            records.append(from_line(line))
        except ValueError:
            unread += 1
    return records, unread


def append_records(path: Path, records: Iterable[Record]) -> None:
    """Append records to the history, even while other processes read or append."""
    with locked(path.with_suffix(".lock")):
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        if before and not before.endswith("\n"):
            before += "\n"
        write_whole(path, before + "".join(map(to_line, records)))
