"""Routes of Unity Catalog for catalogs, schemas and volumes."""

from __future__ import annotations

from typing import Any

from ..routing import Call, Route
from .state import CATALOG, Catalog

BASE = "/api/2.1/unity-catalog"


def routes(catalog: Catalog) -> list[Route]:
    return [*_catalogs(catalog), *_schemas(catalog), *_volumes(catalog)]


def _catalogs(catalog: Catalog) -> list[Route]:
    def get_catalog(call: Call) -> dict[str, Any]:
        return catalog.catalog(call.match["name"])

    def list_catalogs(call: Call) -> dict[str, Any]:
        return {"catalogs": [catalog.catalog(CATALOG)]}

    return [
        Route("GET", f"{BASE}/catalogs", list_catalogs),
        Route("GET", f"{BASE}/catalogs/{{name}}", get_catalog),
    ]


def _schemas(catalog: Catalog) -> list[Route]:
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

    return [
        Route("POST", f"{BASE}/schemas", create_schema),
        Route("GET", f"{BASE}/schemas", list_schemas),
        Route("GET", f"{BASE}/schemas/{{name}}", get_schema),
        Route("DELETE", f"{BASE}/schemas/{{name}}", delete_schema),
    ]


def _volumes(catalog: Catalog) -> list[Route]:
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

    return [
        Route("POST", f"{BASE}/volumes", create_volume),
        Route("GET", f"{BASE}/volumes", list_volumes),
        Route("GET", f"{BASE}/volumes/{{name}}", get_volume),
        Route("DELETE", f"{BASE}/volumes/{{name}}", delete_volume),
    ]
