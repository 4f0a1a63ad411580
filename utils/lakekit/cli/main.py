"""The command `lakekit`. Each subcommand prints the result of the Python function that
has the subcommand's name.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import click

import lakekit
from lakekit.cli.options import exit_code, uses, version_option
from lakekit.cli.progress import ProgressLine
from lakekit.cli.settings import Settings
from lakekit.cli.subcommands import COMMANDS
from lakekit.cli.text import cell, echo, print_json, table_of

INTERRUPTED = "Interrupted. Every table is complete. To resume, run the command again."


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@version_option("lakekit")
def cli() -> None:
    """Bronze, silver and gold Delta tables from declarations, on DuckDB or Spark.

    Every setting is read from its flag, its LAKEKIT_* variable or its key in
    lakekit.toml, in that order.

    \b
    Example:
      lakekit init shop && cd shop && lakekit run
      lakekit run --source data --lake lake
      lakekit show gold.delays_by_carrier_day --lake lake
    """


@cli.command()
@uses("source", "lake", "engine", "tables", "memory", "scratch", "refused", "unpacked")
@click.option(
    "--allow-rebuild",
    is_flag=True,
    help="Rebuild tables whose schema changed.",
)
def run(settings: Settings, as_json: bool, allow_rebuild: bool) -> None:
    """Bring every table of the lake up to date with the source files.

    Files whose content was ingested before are skipped; without new files, nothing is
    written. To resume an interrupted run, run the same command again.

    \b
    Example:
      lakekit run --source data --lake lake
    """
    arguments: Dict[str, Any] = {
        "engine": settings.engine,
        "tables": settings.table_set(),
        "memory": settings.memory,
        "scratch": Path(settings.scratch) if settings.scratch else None,
        "allow_rebuild": allow_rebuild,
        "refused": settings.refused,
        "unpacked": settings.unpacked,
    }
    source, lake = settings.required("source"), settings.required("lake")
    if sys.stderr.isatty() and not as_json:
        with ProgressLine(sys.stderr) as progress:
            result = lakekit.run(source, lake, progress=progress, **arguments)
    else:
        result = lakekit.run(source, lake, **arguments)
    if as_json:
        print_json(result, changed=result.changed)
        return
    header = ("table", "rows", "version", "seconds", "")
    lines = [
        (t.table, f"{t.rows:,}", str(t.version), f"{t.seconds:.2f}", _outcome(t))
        for t in result.tables
        if t.rows or t.changed or not t.table.startswith("quarantine.")
    ]
    echo(table_of(header, lines, right=(1, 2, 3)))
    for report in (text for table in result.tables for text in table.refused):
        echo(f"Left out: {report}", err=True)
    written = sum(table.changed for table in result.tables)
    summary = (
        f"{written} of {len(result.tables)} tables written" if written else "unchanged"
    )
    echo(f"{summary}, {result.seconds:.1f} s, in {result.lake}")


def _outcome(table: lakekit.TableResult) -> str:
    """Describe the result of a run for one table: numbers of rows and groups, and
    warnings.
    """
    if not table.changed:
        return "unchanged"
    parts = _rows_written(table)
    parts += [
        f"{unmet:,} without: {name}"
        for name, unmet in table.counts.expectations.items()
        if unmet
    ]
    parts += [f"new column {name}" for name in table.new_columns]
    return ", ".join(parts) or "no rows changed"


def _rows_written(table: lakekit.TableResult) -> List[str]:
    """Return short texts about the rows or groups that the run wrote to a changed
    table.
    """
    counts = table.counts
    reason = f" ({table.why})" if table.why not in ("", "new") else ""
    all_rows = [f"all rows{reason}"]
    if table.mode == "groups":
        return [f"{counts.groups:,} of {table.groups_total:,} groups"]
    if table.mode == "whole" and not counts.read:
        return all_rows
    fates = ("inserted", "updated", "superseded", "quarantined")
    rows = {fate: getattr(counts, fate) for fate in fates}
    parts = [f"{number:,} {fate}" for fate, number in rows.items() if number]
    return parts + all_rows if reason else parts


@cli.command()
@click.argument("table")
@uses("lake", "engine", "tables")
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(min=1),
    help="Maximum number of rows.",
)
def show(settings: Settings, as_json: bool, table: str, limit: int) -> None:
    """Print the first rows of TABLE.

    \b
    Example:
      lakekit show gold.delays_by_carrier_day --lake lake --limit 5
    """
    lake, tables = settings.required("lake"), settings.table_set()
    result = lakekit.show(
        table, lake, limit=limit, engine=settings.engine, tables=tables
    )
    if as_json:
        print_json(result)
        return
    lines = [[cell(row[column]) for column in result.columns] for row in result.rows]
    echo(table_of(result.columns, lines))


@cli.command()
@uses("lake", "engine", "tables")
def plan(settings: Settings, as_json: bool) -> None:
    """Print the effect of changed declarations on the existing tables. Nothing is
    written.

    \b
    Example:
      lakekit plan --lake lake
    """
    result = lakekit.plan(
        settings.required("lake"), engine=settings.engine, tables=settings.table_set()
    )
    if as_json:
        print_json(result, needs_rebuild=result.needs_rebuild)
        return
    lines: List[Tuple[str, ...]] = [
        (c.table, c.kind, c.what, "" if c.additive else "--allow-rebuild")
        for c in result.changes
    ]
    lines += [
        (name, "rebuild", "its declaration or its SQL changed", "")
        for name in result.rebuilt
    ]
    echo(
        table_of(("table", "change", "what", "needs"), lines)
        if lines
        else "Nothing to change."
    )


for _command in COMMANDS:
    cli.add_command(_command)


def call(arguments: Optional[List[str]] = None) -> int:
    """Run the command and return its exit code: 0 to 4, or 130 after Ctrl-C.
    `lakekit.errors` explains the codes.
    """
    return exit_code(cli, "lakekit", arguments, INTERRUPTED)


def main(arguments: Optional[List[str]] = None) -> None:
    """Run the command and exit with its code."""
    sys.exit(call(arguments))
