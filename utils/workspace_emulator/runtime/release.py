"""Defines the only Databricks runtime that is emulated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import ApiError, invalid_parameter

SPARK_VERSION = "15.4.x-scala2.12"
NAME = "15.4 LTS (includes Apache Spark 3.5, Scala 2.12)"
PYTHON = "3.11"
ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".cache" / "clusters"
LOCK = ROOT / "requirements" / "cluster.txt"
"""The lock file for the environments of clusters: PySpark, the Python package of Delta,
and Java.
"""
NODE_TYPE: dict[str, Any] = {
    "node_type_id": "emulated.small",
    "memory_mb": 8192,
    "num_cores": 2.0,
    "description": "processes on this machine",
    "instance_type_id": "emulated.small",
    "category": "General Purpose",
}


def check(spark_version: str) -> None:
    """Raise ApiError if a cluster requests a runtime that is not emulated. Code that
    works on the emulated runtime may fail on a different runtime.
    """
    if spark_version != SPARK_VERSION:
        raise unsupported(spark_version)


def unsupported(spark_version: str) -> ApiError:
    return invalid_parameter(
        f"Spark version {spark_version} is not emulated; use {SPARK_VERSION}"
    )
