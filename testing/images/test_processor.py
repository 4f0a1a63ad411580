"""The image `processor` runs on Spark with a read-only root, without privileges or
network.
"""

from __future__ import annotations

import json

from testing.images.batch import Batch, different
from testing.images.containers import reason


def test_run_gives_the_rows_of_a_run_on_duckdb_outside(batch: Batch) -> None:
    # Queries on a sample end before the JVM's second compiler saves time.
    ran = batch.run("spark", "--env=JAVA_TOOL_OPTIONS=-XX:TieredStopAtLevel=1")
    assert ran.returncode == 0, reason("lakekit run", ran)
    assert sum(table["rows"] for table in json.loads(ran.stdout)["tables"]) > 0
    diff = batch.diff()
    assert diff.returncode in (0, 1) and diff.stdout, reason("lakekit diff", diff)
    assert diff.returncode == 0, f"other rows: {different(json.loads(diff.stdout))}"
