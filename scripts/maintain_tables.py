"""Compact files and delete old ones: `lakekit maintain`, with its options, as a task of
a Databricks job or by hand.

python scripts/maintain_tables.py --lake main.flights
"""

import sys

from lakekit.cli.main import call

if __name__ == "__main__":
    code = call(["maintain", *sys.argv[1:]])
    if code:  # a task that exits at all, even by 0, may count as failed
        sys.exit(code)
