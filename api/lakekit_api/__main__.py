"""`python -m lakekit_api` is the command `lakekit-api`."""

from __future__ import annotations

from lakekit_api.cli import main

if __name__ == "__main__":
    main()
