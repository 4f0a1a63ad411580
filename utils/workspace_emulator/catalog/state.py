"""Stores the workspace's only catalog, with its schemas and managed volumes. The tables
of this catalog are stored in the Spark catalog of the same name.
"""

from __future__ import annotations

import re
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

from ..errors import invalid_parameter, not_emulated
from ..store import Document, Store
from ..tree import Tree, milliseconds
from . import errors

CATALOG = "spark_catalog"
"""The name of the only catalog. Outside Databricks, Spark can store named Delta tables
only in its session catalog, which has this name.
"""
NAME = re.compile(r"\w[\w-]*")


class Catalog:
    """The schemas and volumes of the catalog. A volume is the folder
    `/Volumes/<catalog>/<schema>/<volume>`.
    """

    def __init__(self, store: Store, tree: Tree, owner: str) -> None:
        self._schemas = store.collection("schema")
        self._volumes = store.collection("volume")
        self._tree = tree
        self._owner = owner
        if f"{CATALOG}.default" not in self._schemas:
            self.create_schema(CATALOG, "default", "")

    def catalog(self, name: str) -> Document:
        """Return the catalog in the API's format. Raises ApiError if no catalog has
        this name.
        """
        if name != CATALOG:
            raise errors.no_catalog(name, CATALOG)
        return {
            "name": CATALOG,
            "catalog_type": "MANAGED_CATALOG",
            "owner": self._owner,
        }

    def create_schema(self, catalog: str, name: str, comment: str) -> Document:
        """Create a schema. Raises ApiError if the schema already exists."""
        self.catalog(catalog)
        full = f"{catalog}.{self._named(name)}"
        if full in self._schemas:
            raise errors.schema_exists(full)
        self._schemas[full] = {
            "catalog_name": catalog,
            "name": name,
            "full_name": full,
            "comment": comment,
            **self._made(),
        }
        return self._schemas[full]

    def schema(self, full: str) -> Document:
        """Return the schema `catalog.schema`."""
        self.catalog(full.partition(".")[0])
        if full not in self._schemas:
            raise errors.no_schema(full)
        return self._schemas[full]

    def schemas(self, catalog: str) -> list[Document]:
        """Return all schemas of a catalog."""
        self.catalog(catalog)
        return list(self._schemas.values())

    def delete_schema(self, full: str) -> None:
        """Delete a schema that has no volumes."""
        self.schema(full)
        if self.volumes(*full.split(".")):
            raise errors.schema_not_empty(full)
        del self._schemas[full]

    def create_volume(
        self, catalog: str, schema: str, name: str, kind: str, comment: str
    ) -> Document:
        """Create a managed volume and its folder. Raises ApiError if the volume already
        exists.
        """
        if kind != "MANAGED":
            raise not_emulated(f"volumes of type {kind}")
        self.schema(f"{catalog}.{schema}")
        full = f"{catalog}.{schema}.{self._named(name)}"
        if full in self._volumes:
            raise errors.volume_exists(full)
        folder = self._folder(full)
        folder.mkdir(parents=True, exist_ok=True)
        self._volumes[full] = {
            "catalog_name": catalog,
            "schema_name": schema,
            "name": name,
            "full_name": full,
            "volume_type": kind,
            "volume_id": str(uuid.uuid4()),
            "storage_location": f"dbfs:/Volumes/{catalog}/{schema}/{name}",
            "comment": comment,
            **self._made(),
        }
        return self._volumes[full]

    def volume(self, full: str) -> Document:
        """Return the volume `catalog.schema.volume`."""
        self.schema(full.rpartition(".")[0])
        if full not in self._volumes:
            raise errors.no_volume(full)
        return self._volumes[full]

    def volumes(self, catalog: str, schema: str) -> list[Document]:
        """Return all volumes of a schema."""
        self.schema(f"{catalog}.{schema}")
        return [
            each for each in self._volumes.values() if each["schema_name"] == schema
        ]

    def delete_volume(self, full: str) -> None:
        """Delete a volume with all its files."""
        self.volume(full)
        shutil.rmtree(self._folder(full))
        del self._volumes[full]

    def _folder(self, full: str) -> Path:
        return self._tree.file("Volumes", "/" + full.replace(".", "/"))

    def _made(self) -> dict[str, Any]:
        now = milliseconds(time.time())
        return {
            "owner": self._owner,
            "created_at": now,
            "updated_at": now,
            "created_by": self._owner,
        }

    @staticmethod
    def _named(name: str) -> str:
        if not NAME.fullmatch(name):
            raise invalid_parameter(f"Invalid name: {name!r}")
        return name
