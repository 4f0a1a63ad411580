"""Serves the gold tables of a lake over HTTP.

`create_app` creates the FastAPI application, and the command `lakekit-api serve` runs
it.

Endpoints, parameters and OpenAPI are generated from the tables' declarations. This
package does not depend on particular tables.
"""

from __future__ import annotations

from lakekit_api.app import create_app
from lakekit_api.settings import Settings

__all__ = ["Settings", "create_app"]
