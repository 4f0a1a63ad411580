"""Loads the tables that a project of `lakekit init` declares."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any


def project(folder: Path) -> Any:
    """Return the tables that a project declares. The result is a `TableSet` of the
    lakekit version that is measured.
    """
    spec = importlib.util.spec_from_file_location(
        "project_tables", folder / "tables.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.TABLES
