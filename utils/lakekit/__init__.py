"""Builds bronze, silver and gold Delta tables from declarations, with DuckDB or Spark.

Each command of the program `lakekit` calls the function of the same name. To import
this package, only click and sqlglot must be installed. The libraries of the engines are
in the extras `embedded` and `spark`. They are imported by the first call that needs
them.
"""

from __future__ import annotations

from lakekit.commands.ddl import DdlResult, DescribeResult, ddl, describe
from lakekit.commands.diff import DiffResult, TableDiff, diff
from lakekit.commands.init import InitResult, init
from lakekit.commands.maintain import MaintainResult, TableMaintenance, maintain
from lakekit.commands.plan import PlanResult, plan
from lakekit.commands.quality import Check, QualityResult, quality
from lakekit.commands.restore import RestoreResult, restore
from lakekit.commands.run import RunResult, TableResult, run
from lakekit.commands.show import ShowResult, show
from lakekit.errors import LakekitError
from lakekit.storage.versions import Version

__all__ = [
    "Check",
    "DdlResult",
    "DescribeResult",
    "DiffResult",
    "InitResult",
    "LakekitError",
    "MaintainResult",
    "TableMaintenance",
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
