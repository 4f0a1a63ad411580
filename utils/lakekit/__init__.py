"""Bronze, silver and gold Delta tables from declarations, on DuckDB or Spark.

The functions are what the commands of the same names call. Importing this package needs click and sqlglot only; the
libraries of an engine (the extras `embedded` and `spark`) are imported by the first call that needs them.
"""

from __future__ import annotations

from lakekit.errors import LakekitError
from lakekit.medallion import RunResult, TableResult, run
from lakekit.planning import PlanResult, plan
from lakekit.rows import ShowResult, show

__all__ = ["LakekitError", "PlanResult", "RunResult", "ShowResult", "TableResult", "plan", "run", "show"]
