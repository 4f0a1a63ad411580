"""What a lake is on disk: a folder of layers, each a folder of Delta tables."""

from __future__ import annotations

from pathlib import Path

from lakekit.errors import LakeRefused
from lakekit.tables import LAYERS, TableSet

ANOTHER_LAKE = "Name a new or empty folder, or a lake that lakekit made, with --lake."


def check_lake(lake: Path, tables: TableSet) -> None:
    """Refuse a folder that lakekit did not make: nothing of anybody else's is ever written over.

    A folder that does not exist, or is empty, will become a lake. Raises LakeRefused.
    """
    if lake.exists() and not lake.is_dir():
        raise LakeRefused(f"The lake {lake} is a file, not a folder", ANOTHER_LAKE)
    if not lake.exists():
        return
    for layer in sorted(lake.iterdir()):
        if layer.name not in LAYERS or not layer.is_dir():
            raise LakeRefused(f"The folder {lake} is no lake: it holds {layer.name}", ANOTHER_LAKE)
        for folder in sorted(layer.iterdir()):
            if not _is_table(folder, tables):
                raise LakeRefused(f"The folder {lake} is no lake: {folder} is no Delta table", ANOTHER_LAKE)


def _is_table(folder: Path, tables: TableSet) -> bool:
    """A folder with a Delta log, or what a killed first run leaves: a declared table's folder with data files only."""
    if (folder / "_delta_log").is_dir():
        return True
    declared = any(folder.parts[-2:] == table.folder.parts for table in tables)
    return declared and folder.is_dir() and all(file.match("part-*.parquet") for file in folder.iterdir())
