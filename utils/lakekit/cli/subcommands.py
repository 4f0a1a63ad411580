"""The commands of lakekit except `run`, `show` and `plan`, which are in
`lakekit.cli.main`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Optional, Sequence, Tuple

import click

import lakekit
from lakekit.cli.options import repeated, uses
from lakekit.cli.settings import Settings
from lakekit.cli.text import echo, plain, print_json, table_of
from lakekit.commands.maintain import RETAIN_HOURS
from lakekit.storage.versions import UnrestorableVersionError

LISTED = 20
"""The number of versions that `restore` prints."""


@click.command()
@uses("tables")
def tables(settings: Settings, as_json: bool) -> None:
    """Print the declared tables and their columns.

    \b
    Example:
      lakekit tables --tables tables.py
    """
    result = lakekit.describe(tables=settings.table_set())
    if as_json:
        print_json(
            result,
            tables=[{"layer": table.layer, **asdict(table)} for table in result.tables],
        )
        return
    for table in result.tables:
        title = [
            f"{table.name} ({table.update})",
            *([table.comment] if table.comment else []),
        ]
        echo(": ".join(title))
        details = {
            "reads": ", ".join(table.reads),
            "key": ", ".join(table.key),
            "partition": table.partition,
        }
        for what, names in details.items():
            if names:
                echo(f"  {what} {names}")
        header = ("column", "type", "", "comment")
        lines = [
            (c.name, c.type, "required" if c.required else "", c.comment)
            for c in table.columns
        ]
        echo(
            "\n".join(f"  {line}" for line in table_of(header, lines).splitlines())
            + "\n"
        )


@click.command()
@click.argument("schema", metavar="CATALOG.SCHEMA")
@uses("tables")
def ddl(settings: Settings, as_json: bool, schema: str) -> None:
    """Print Databricks SQL that creates the declared tables in CATALOG.SCHEMA. The SQL
    is idempotent.

    \b
    Example:
      lakekit ddl main.flights > tables.sql
    """
    result = lakekit.ddl(schema, tables=settings.table_set())
    if as_json:
        print_json(result)
    else:
        click.echo(result.script(), nl=False)  # not escaped, for programs


@click.command()
@uses("lake", "engine", "tables")
def quality(settings: Settings, as_json: bool) -> int:
    """Count the rows that do not meet the expectations and constraints of their tables.

    Exit code 1 if rows do not meet a constraint, or an expectation of severity fail or
    drop. Rows that do not meet an expectation of severity warn are only counted.

    \b
    Example:
      lakekit quality --lake lake
    """
    result = lakekit.quality(
        settings.required("lake"), engine=settings.engine, tables=settings.table_set()
    )
    failed = sum(check.failed for check in result.checks)
    if as_json:
        print_json(result, failed=failed, warnings=result.warnings)
        return int(failed > 0)
    lines = [
        (c.table, c.name, c.kind, c.severity, f"{c.unmet:,}", f"{c.rows:,}")
        for c in result.checks
    ]
    if lines:
        echo(
            table_of(
                ("table", "check", "kind", "severity", "unmet", "rows"),
                lines,
                right=(4, 5),
            )
        )
    for table, rules in result.quarantined.items():
        for rule, rows in rules.items():
            echo(f"{table}: {rows:,} rows violate the rule {rule}")
    for table in result.missing:
        echo(f"{table} does not exist yet")
    echo(f"{failed} of {len(result.checks)} checks failed, {result.warnings} warnings")
    return int(failed > 0)


@click.command()
@click.argument("lake_a")
@click.argument("lake_b")
@uses("engine", "tables")
def diff(settings: Settings, as_json: bool, lake_a: str, lake_b: str) -> int:
    """Compare two lakes row by row. Exit code 1 if they differ.

    \b
    Example:
      lakekit diff lake other-lake
    """
    result = lakekit.diff(
        lake_a, lake_b, engine=settings.engine, tables=settings.table_set()
    )
    if as_json:
        print_json(result, differs=result.differs)
        return int(result.differs)
    header = ("table", "rows in A", "rows in B", "only A", "only B", "changed", "")
    lines = [
        (
            t.table,
            _rows(t.rows_a),
            _rows(t.rows_b),
            f"{t.only_a:,}",
            f"{t.only_b:,}",
            f"{t.changed:,}",
            _differences(t),
        )
        for t in result.tables
    ]
    echo(table_of(header, lines, right=(1, 2, 3, 4, 5)))
    differing = sum(table.differs for table in result.tables)
    echo(
        f"{differing} of {len(lines)} tables differ" if differing else "No difference."
    )
    return int(result.differs)


def _rows(rows: Optional[int]) -> str:
    return "missing" if rows is None else f"{rows:,}"


def _differences(table: lakekit.TableDiff) -> str:
    parts = [f"{name} in {rows:,}" for name, rows in table.columns.items()]
    return ", ".join([*parts, *table.shape])


@click.command()
@uses("lake", "engine", "tables")
@click.option(
    "--dry-run", is_flag=True, help="Only print which files would be deleted."
)
@click.option(
    "--retain-hours",
    type=int,
    default=RETAIN_HOURS,
    show_default=True,
    help="Retention period in hours. Older versions can then no longer be read.",
)
def maintain(
    settings: Settings, as_json: bool, dry_run: bool, retain_hours: int
) -> int:
    """Compact small files, and delete files that no recent version uses.

    Exit code 1 if files of a table were not deleted because a dependent table has not
    read the newest changes.

    \b
    Example:
      lakekit maintain --lake lake --dry-run
    """
    result = lakekit.maintain(
        settings.required("lake"),
        engine=settings.engine,
        tables=settings.table_set(),
        dry_run=dry_run,
        retain_hours=retain_hours,
    )
    if as_json:
        print_json(result, refused=result.refused)
        return int(result.refused)
    echo(
        table_of(
            ("table", "files", "deleted"),
            [_done(table, dry_run) for table in result.tables],
        )
    )
    if result.refused:
        echo("Next: lakekit run, then lakekit maintain again.")
    return int(result.refused)


def _done(table: lakekit.TableMaintenance, dry_run: bool) -> Tuple[str, str, str]:
    if dry_run:
        files = "left as they are"
    elif table.compacted:
        files = f"{table.compacted:,} compacted to {table.written:,}"
    else:
        files = "nothing to gain"
    if table.waiting:
        return (
            table.table,
            files,
            f"none: {', '.join(table.waiting)} has not read the newest changes",
        )
    return (
        table.table,
        files,
        f"{table.deleted:,} files" + (" would be" if dry_run and table.deleted else ""),
    )


@click.command()
@click.argument("table")
@uses("lake", "engine", "tables")
@click.option("--version", type=int, metavar="N", help="Version to restore.")
@click.option(
    "--dry-run", is_flag=True, help="Only check whether the version can be restored."
)
def restore(
    settings: Settings, as_json: bool, table: str, version: Optional[int], dry_run: bool
) -> None:
    """Restore version N of TABLE, even if the newest version is damaged.

    Without --version, list the versions and whether they can be restored. Later
    versions stay in the history. The next `lakekit run` updates the table, and all
    tables that depend on it, from the source files and the declarations.

    \b
    Example:
      lakekit restore silver.flights --lake lake
      lakekit restore silver.flights --version 3 --lake lake
    """
    try:
        result = lakekit.restore(
            table,
            settings.required("lake"),
            version,
            engine=settings.engine,
            tables=settings.table_set(),
            dry_run=dry_run,
        )
    except UnrestorableVersionError as refused:
        echo(_listing(refused.versions), err=True)
        raise
    if as_json:
        print_json(
            result, whole=[each.number for each in result.versions if each.whole]
        )
        return
    if version is None:
        echo(_listing(result.versions))
        return
    if version == result.newest:
        echo(f"{table} is already at version {version}, which is not damaged.")
        return
    files = f"data files added: {result.added:,}, removed: {result.removed:,}"
    if dry_run:
        echo(f"Would restore {table} to version {version}; {files}")
        return
    echo(
        f"Restored {table} to version {version}, as version {result.committed}; {files}"
    )
    if result.derived:
        echo(f"The next run recomputes {', '.join(result.derived)}")
    source = "" if settings.source else " --source DIR"
    echo(f"Next: lakekit run{source}{repeated(click.get_current_context().params)}")


def _listing(versions: Sequence[lakekit.Version]) -> str:
    """Return a printable table of the newest versions."""
    header = ("version", "time", "operation", "condition")
    lines = [
        (str(each.number), plain(each.timestamp), each.operation, _condition(each))
        for each in versions[:LISTED]
    ]
    more = len(versions) - len(lines)
    return table_of(header, lines, right=(0,)) + (
        f"\n{more:,} older versions: add --json" if more else ""
    )


def _condition(version: lakekit.Version) -> str:
    """Describe in a few words whether a version can be restored."""
    if version.unreadable:
        return f"cannot be read: {version.unreadable}"
    if version.damaged is None:
        return "not checked"
    if version.damaged:
        return f"data files missing or damaged: {len(version.damaged):,}"
    return "undamaged"


@click.command()
@click.argument("folder", metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def init(folder: str, as_json: bool) -> None:
    """Create a project in DIR: one CSV, three tables, and a README with the commands.

    \b
    Example:
      lakekit init shop && cd shop && lakekit run
    """
    result = lakekit.init(folder)
    if as_json:
        print_json(result)
        return
    echo("\n".join(f"{folder}/{name}" for name in result.files))
    echo(f"Next: cd {folder} && lakekit run")


COMMANDS: Tuple[click.Command, ...] = (
    tables,
    ddl,
    quality,
    diff,
    maintain,
    restore,
    init,
)
