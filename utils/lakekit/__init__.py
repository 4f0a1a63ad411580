"""Bronze, silver and gold Delta tables from declarations, on DuckDB or Spark."""

from __future__ import annotations

from lakekit.errors import LakekitError
from lakekit.medallion import RunResult, TableResult, run

__all__ = ["LakekitError", "RunResult", "TableResult", "run"]
