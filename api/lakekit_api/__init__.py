"""The gold tables of a lake over HTTP: `create_app` makes the FastAPI application,
`lakekit-api serve` runs it.

Endpoints, parameters and OpenAPI all come from the tables' declarations; nothing here
knows any particular table.
"""

from __future__ import annotations

from lakekit_api.app import create_app
from lakekit_api.settings import Settings

__all__ = ["Settings", "create_app"]
