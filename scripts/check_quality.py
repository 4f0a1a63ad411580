"""Runs `lakekit quality` as a task of a Databricks job, or by hand. The script has the
options of that command.

python scripts/check_quality.py --lake main.flights
"""

import sys

from lakekit.cli.main import call

if __name__ == "__main__":
    code = call(["quality", *sys.argv[1:]])
    if code:  # Databricks may report any call of exit as a failure, even exit(0)
        sys.exit(code)
