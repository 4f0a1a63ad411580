"""Runs the command `lakekit-api` for `python -m lakekit_api`."""

from __future__ import annotations

from lakekit_api.cli import main

if __name__ == "__main__":
    main()
