"""Reads the settings of a command from flags, LAKEKIT_* variables and `lakekit.toml`.

Flags take precedence over variables, and variables over `lakekit.toml`. `lakekit.toml`
is read from the current directory, or else from the nearest parent folder that contains
a file of this name.

`SETTINGS` describes all settings. The tables are declared in a Python file or module
that defines TABLES. By default, lakekit uses the tables of the New York flights.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Mapping, Optional, Sequence

from lakekit.cli.tables_file import load_tables
from lakekit.commands.refusals import POLICIES, Policy
from lakekit.declarations.tables import TableSet
from lakekit.engines.open import ENGINES, check_memory
from lakekit.errors import SettingsError, nearest
from lakekit.sources.archives import DEFAULT_LIMIT
from lakekit.storage.lake import SCHEMA

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "lakekit.toml"
SETTINGS: Mapping[str, str] = {
    "source": "folder of the source files",
    "lake": "folder, s3://BUCKET/PREFIX, or CATALOG.SCHEMA on Spark",
    "engine": "embedded (DuckDB and delta-rs, the default) or spark",
    "tables": "Python file, or module, that defines TABLES",
    "memory": "memory limit of DuckDB, such as 2GB",
    "scratch": "folder for temporary files; all machines of a cluster must share it",
    "refused": "effect of a faulty source file: stop, the default, does not update the"
    " tables that depend on the file; skip only leaves out the file",
    "unpacked": "size limit of all unpacked archives together, and of each decoded"
    " Parquet file, such as 20GB; by default 100GB",
}
CHOICES: Mapping[str, Sequence[str]] = {"engine": ENGINES, "refused": POLICIES}
PATHS = ("source", "scratch")


@dataclass(frozen=True)
class Settings:
    """The settings of one command. A setting without a value is None."""

    source: Optional[str] = None
    lake: Optional[str] = None
    engine: str = "embedded"
    tables: Optional[str] = None
    memory: str = ""
    scratch: Optional[str] = None
    refused: Policy = "stop"
    unpacked: str = DEFAULT_LIMIT

    def required(self, name: str) -> str:
        """Return the value of a setting. Raises SettingsError if the setting has no
        value.
        """
        value: Optional[str] = getattr(self, name)
        if value is None:
            raise SettingsError(
                f"The setting {name} is missing: {SETTINGS[name]}",
                f"Set it with --{name}, LAKEKIT_{name.upper()},"
                f" or {name} in {FILE}.",
            )
        return value

    def table_set(self) -> TableSet:
        """Return the declared tables.

        Raises SettingsError for a file or module that defines no tables;
        DeclarationError for an invalid declaration.
        """
        if self.tables is None:
            from lakekit.nyc_flights.tables import TABLES

            return TABLES
        return load_tables(self.tables)


def read_settings(
    flags: Mapping[str, Optional[str]], environment: Mapping[str, str], folder: Path
) -> Settings:
    """Read settings from flags, environment variables and the settings file. Flags take
    precedence over variables, and variables over the settings file.

    The settings file is read from `folder`, or else from the nearest parent folder that
    contains a settings file. Paths in the settings file are relative to the folder of
    the settings file; `~` is the home directory. On a Databricks cluster, the default
    engine is Spark, because a Spark session exists and the lake is a schema.

    Raises SettingsError for an unknown name or an invalid value.
    """
    found: Dict[str, str] = (
        {"engine": "spark"} if "DATABRICKS_RUNTIME_VERSION" in environment else {}
    )
    found.update(_file(_nearest_file(folder)))
    for name, value in environment.items():
        if name.startswith("LAKEKIT_") and not name.startswith(
            ("LAKEKIT_API_", "LAKEKIT_JARS")
        ):
            found[
                _known(
                    name[len("LAKEKIT_") :].lower(), f"the environment variable {name}"
                )
            ] = value
    found.update({name: value for name, value in flags.items() if value is not None})
    for name, choices in CHOICES.items():
        if name in found and found[name] not in choices:
            raise SettingsError(
                f"There is no {name} {found[name]}",
                f"Choose one of {', '.join(choices)}.",
            )
    for name, value in found.items():
        if _is_path(name, value):
            found[name] = os.path.expanduser(value)
    check_memory(found.get("memory", ""))
    return Settings(
        **found  # type: ignore[arg-type]  # texts of CHOICES were checked above
    )


def _nearest_file(folder: Path) -> Optional[Path]:
    """Return the nearest settings file, in the folder itself or in a parent folder.

    A settings file in a parent folder is only used if the file belongs to this user or
    to root. A settings file can select Python code to run, and every user can write to
    folders such as /tmp.
    """
    for place in (folder, *folder.absolute().parents):
        path = place / FILE
        if path.exists() and (place == folder or _is_own(path)):
            return path
    return None


def _is_own(path: Path) -> bool:
    return not hasattr(os, "getuid") or path.stat().st_uid in (os.getuid(), 0)


def _file(path: Optional[Path]) -> Mapping[str, str]:
    if path is None:
        return {}
    try:
        # Some editors write a byte order mark at the start of a file.
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(
            f"{path} cannot be read: {error}", f"Correct {path}."
        ) from error
    found = {}
    for name, value in document.items():
        _known(name, f"the key {name} in {path}")
        if not isinstance(value, str):
            raise SettingsError(
                f"{name} in {path} is not a text: {value!r}",
                f'Write {name} = "..." there.',
            )
        if _is_path(name, value):
            value = str(path.parent / os.path.expanduser(value))
        found[name] = value
    return found


def _is_path(name: str, value: str) -> bool:
    """Return whether a setting's value is a path. A relative path in the settings file
    starts at the folder of this file.
    """
    if name == "tables":
        return value.endswith(".py")
    if name == "lake":
        return "://" not in value and not SCHEMA.fullmatch(value)
    return name in PATHS


def _known(name: str, where: str) -> str:
    if name not in SETTINGS:
        raise SettingsError(
            f"There is no setting {name} ({where})",
            f"Did you mean {nearest(name, SETTINGS)}?",
        )
    return name


def settings_here(flags: Mapping[str, Optional[str]]) -> Settings:
    """Read the settings of a command that runs in the current directory."""
    return read_settings(flags, os.environ, Path.cwd())
