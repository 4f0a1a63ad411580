"""Builds bronze, silver and gold Delta tables from declarations, with DuckDB or Spark.

Each command of the program `lakekit` calls the function that has the command's name. To
import this package, only click and sqlglot must be installed. The extras `embedded` and
`spark` install the libraries of the engines. A library is imported by the first call
that needs it.
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
