"""Bronze, silver and gold Delta tables from declarations, on DuckDB or Spark.

The functions are what the commands of the same names call. Importing this package needs
click and sqlglot only; the libraries of an engine (the extras `embedded` and `spark`)
are imported by the first call that needs them.
"""

from __future__ import annotations

from lakekit.care import Maintained, MaintainResult, maintain
from lakekit.catalog import DdlResult, DescribeResult, ddl, describe
from lakekit.checks import Check, QualityResult, quality
from lakekit.comparison import DiffResult, TableDiff, diff
from lakekit.errors import LakekitError
from lakekit.log_replay import Version
from lakekit.medallion import RunResult, TableResult, run
from lakekit.planning import PlanResult, plan
from lakekit.project import InitResult, init
from lakekit.restoring import RestoreResult, restore
from lakekit.rows import ShowResult, show

__all__ = [
    "Check",
    "DdlResult",
    "DescribeResult",
    "DiffResult",
    "InitResult",
    "LakekitError",
    "MaintainResult",
    "Maintained",
    "PlanResult",
    "QualityResult",
    "RestoreResult",
    "RunResult",
    "ShowResult",
    "TableDiff",
    "TableResult",
    "Version",
    "ddl",
    "describe",
    "diff",
    "init",
    "maintain",
    "plan",
    "quality",
    "restore",
    "run",
    "show",
]
