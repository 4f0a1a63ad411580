"""The location of a lake: a folder, an `s3://` prefix, or a catalog schema of Spark."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Union

from lakekit.declarations.tables import LAYERS, Table, TableSet
from lakekit.errors import InvalidLakeError

ANOTHER_LAKE = "Use --lake with a new or empty folder, or with a lake of lakekit."
SCHEMA = re.compile(r"[A-Za-z_]\w*\.[A-Za-z_]\w*")
MISREAD = "%?#="
"""Characters that a lake's path must not contain. delta-rs would interpret the path as
a URL, and use a different folder. DuckDB would interpret a folder `a=b` as a column
`a`.
"""


@dataclass(frozen=True)
class Lake:
    """The location of a lake.

    `root` is an absolute path, `s3://bucket/prefix` without a trailing slash, or
    `catalog.schema`.
    """

    kind: Literal["folder", "s3", "schema"]
    root: str

    def location(self, table: Table) -> str:
        """Return the table's path or URL. If the lake is a schema, return the table's
        name `catalog.schema.layer_table`.
        """
        layer, _, short = table.name.partition(".")
        separator = "/" if self.kind != "schema" else "."
        return f"{self.root}{separator}" + (
            f"{layer}/{short}" if separator == "/" else f"{layer}_{short}"
        )

    @property
    def path(self) -> Path:
        """Return the folder of a lake whose kind is `folder`."""
        assert self.kind == "folder", self
        return Path(self.root)

    def __str__(self) -> str:
        return self.root


def find_lake(name: Union[str, os.PathLike[str]]) -> Lake:
    """Return the lake at the location `name`.

    A name with one dot and no slash is `catalog.schema`, unless a folder of that name
    exists. `./a.b` is always a folder, and `~` is the home directory. Raises
    InvalidLakeError for an invalid location.
    """
    text = os.fspath(name)
    if text.startswith(("s3://", "s3a://")):
        return _bucket_lake(text)
    if "://" in text or text.startswith("dbfs:"):
        raise InvalidLakeError(
            f"The lake {text} is neither a folder nor on S3", ANOTHER_LAKE
        )
    if SCHEMA.fullmatch(text) and not Path(text).exists():
        return Lake("schema", text)
    return _folder_lake(Path(os.path.expanduser(text)).absolute())


def _bucket_lake(text: str) -> Lake:
    bucket, _, prefix = text.partition("://")[2].partition("/")
    if not bucket:
        raise InvalidLakeError(
            f"The lake {text} names no bucket", "Write s3://BUCKET/PREFIX."
        )
    return Lake(
        "s3",
        "s3://" + "/".join(part for part in (bucket, prefix.strip("/")) if part),
    )


def _folder_lake(root: Path) -> Lake:
    if root.parts[1:2] == ("Volumes",):
        raise InvalidLakeError(
            f"The lake {root} is on a volume, where two writers can both write the same"
            " version of a Delta log",
            "Use --lake CATALOG.SCHEMA. Sources and wheels can stay on the volume.",
        )
    for sign in MISREAD:
        if sign in str(root):
            raise InvalidLakeError(
                f"The lake {root} has a {sign} in its path, which engines misread",
                ANOTHER_LAKE,
            )
    return Lake("folder", str(root))


def check_lake(lake: Lake, tables: TableSet) -> None:
    """Raise InvalidLakeError if lakekit did not create the lake's folder. So lakekit
    never overwrites files of other programs.

    A folder that is empty or does not exist yet is allowed.
    """
    if lake.kind != "folder":
        return
    root = lake.path
    if root.exists() and not root.is_dir():
        raise InvalidLakeError(f"The lake {root} is a file, not a folder", ANOTHER_LAKE)
    if not root.exists():
        return
    for layer in sorted(root.iterdir()):
        if layer.name not in LAYERS or not layer.is_dir():
            raise InvalidLakeError(
                f"The folder {root} is not a lake: it contains {layer.name}",
                ANOTHER_LAKE,
            )
        for folder in sorted(layer.iterdir()):
            if not _is_table(folder, tables):
                raise InvalidLakeError(
                    f"The folder {root} is not a lake: {folder} is not a Delta table",
                    ANOTHER_LAKE,
                )


def _is_table(folder: Path, tables: TableSet) -> bool:
    """Return whether a folder is the folder of a table.

    The folder of a table has a Delta log. The folder of a declared table may also
    contain only data files and no log, for example after the first run was killed.
    """
    if (folder / "_delta_log").is_dir():
        return True
    declared = any(folder.parts[-2:] == table.folder.parts for table in tables)
    files = (file for file in folder.rglob("*") if file.is_file())
    return (
        declared
        and folder.is_dir()
        and all(file.match("part-*.parquet") for file in files)
    )
