"""Bronze, silver and gold Delta tables from declarations, on DuckDB and delta-rs.

`run` and `show` are what the commands of the same names call. Importing this package needs click and sqlglot only;
the engine's libraries (the extra `embedded`) are imported by the first call that needs them.
"""

from __future__ import annotations

from lakekit.errors import LakekitError
from lakekit.medallion import RunResult, TableResult, run
from lakekit.rows import ShowResult, show

__all__ = ["LakekitError", "RunResult", "ShowResult", "TableResult", "run", "show"]
