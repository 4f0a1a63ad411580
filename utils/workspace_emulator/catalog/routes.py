"""The requests to Unity Catalog that concern volumes."""

from __future__ import annotations

from typing import Any

from ..routing import Call, Route
from .state import CATALOG, Catalog


def routes(catalog: Catalog) -> list[Route]:
    def get_catalog(call: Call) -> dict[str, Any]:
        return catalog.catalog(call.match["name"])

    def list_catalogs(call: Call) -> dict[str, Any]:
        return {"catalogs": [catalog.catalog(CATALOG)]}

    def create_schema(call: Call) -> dict[str, Any]:
        return catalog.create_schema(
            call.text("catalog_name"), call.text("name"), call.text("comment", "")
        )

    def get_schema(call: Call) -> dict[str, Any]:
        return catalog.schema(call.match["name"])

    def list_schemas(call: Call) -> dict[str, Any]:
        return {"schemas": catalog.schemas(call.text("catalog_name"))}

    def delete_schema(call: Call) -> dict[str, Any]:
        catalog.delete_schema(call.match["name"])
        return {}

    def create_volume(call: Call) -> dict[str, Any]:
        where = call.text("catalog_name"), call.text("schema_name"), call.text("name")
        return catalog.create_volume(
            *where, call.text("volume_type"), call.text("comment", "")
        )

    def get_volume(call: Call) -> dict[str, Any]:
        return catalog.volume(call.match["name"])

    def list_volumes(call: Call) -> dict[str, Any]:
        return {
            "volumes": catalog.volumes(
                call.text("catalog_name"), call.text("schema_name")
            )
        }

    def delete_volume(call: Call) -> dict[str, Any]:
        catalog.delete_volume(call.match["name"])
        return {}

    base = "/api/2.1/unity-catalog"
    return [
        Route("GET", f"{base}/catalogs", list_catalogs),
        Route("GET", f"{base}/catalogs/{{name}}", get_catalog),
        Route("POST", f"{base}/schemas", create_schema),
        Route("GET", f"{base}/schemas", list_schemas),
        Route("GET", f"{base}/schemas/{{name}}", get_schema),
        Route("DELETE", f"{base}/schemas/{{name}}", delete_schema),
        Route("POST", f"{base}/volumes", create_volume),
        Route("GET", f"{base}/volumes", list_volumes),
        Route("GET", f"{base}/volumes/{{name}}", get_volume),
        Route("DELETE", f"{base}/volumes/{{name}}", delete_volume),
    ]
