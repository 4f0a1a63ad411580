"""The command `lakekit`. Each subcommand prints what the Python function of the same name returns."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, List, Optional, Sequence

import click

import lakekit
from lakekit.errors import LakekitError


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        try:
            version = importlib.metadata.version("lakekit")
        except importlib.metadata.PackageNotFoundError:
            version = "0.0.0+unknown"
        click.echo(f"lakekit {version}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
def cli() -> None:
    """Bronze, silver and gold Delta tables from CSV files.

    \b
    Example:
      lakekit run --source data --lake lake
      lakekit show gold.delays_by_carrier_day --lake lake
    """


@cli.command()
@click.option(
    "--source", required=True, type=click.Path(path_type=Path), help="Folder of NAME.csv or NAME.csv.zip."
)
@click.option("--lake", required=True, type=click.Path(path_type=Path), help="Folder of the Delta tables.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def run(source: Path, lake: Path, as_json: bool) -> None:
    """Bring every table of the lake up to date with the source files.

    The same source a second time changes nothing. A run that was interrupted is resumed by running again.

    \b
    Example:
      lakekit run --source data --lake lake
    """
    if sys.stderr.isatty():
        result = _run_with_bar(source, lake)
    else:
        result = lakekit.run(source, lake)
    if as_json:
        click.echo(json.dumps({**asdict(result), "changed": result.changed}, default=str, indent=2))
        return
    header = ("table", "rows", "version", "seconds", "")
    lines = [
        (t.table, f"{t.rows:,}", str(t.version), f"{t.seconds:.2f}", "written" if t.changed else "unchanged")
        for t in result.tables
    ]
    click.echo(_table(header, lines, right=(1, 2, 3)))
    written = sum(table.changed for table in result.tables)
    said = f"{written} of {len(result.tables)} tables written" if written else "unchanged"
    click.echo(f"{said}, {result.seconds:.1f} s, in {result.lake}")


def _run_with_bar(source: Path, lake: Path) -> lakekit.RunResult:
    with click.progressbar(
        length=1, file=sys.stderr, item_show_func=lambda item: str(item or ""), show_eta=False
    ) as bar:

        def advance(doing: str, done: int, steps: int) -> None:
            bar.length = steps
            bar.update(done - bar.pos, doing)

        return lakekit.run(source, lake, progress=advance)


@cli.command()
@click.argument("table")
@click.option("--lake", required=True, type=click.Path(path_type=Path), help="Folder of the Delta tables.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="How many rows.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(table: str, lake: Path, limit: int, as_json: bool) -> None:
    """Print the first rows of TABLE.

    \b
    Example:
      lakekit show gold.delays_by_carrier_day --lake lake --limit 5
    """
    result = lakekit.show(table, lake, limit=limit)
    if as_json:
        click.echo(json.dumps(asdict(result), default=_plain, indent=2))
        return
    lines = [[_plain(row[column]) for column in result.columns] for row in result.rows]
    click.echo(_table(result.columns, lines))


def _plain(value: object) -> str:
    """A value as text: instants in ISO 8601 with Z, a missing value as nothing."""
    if isinstance(value, datetime.datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, float):
        return f"{value:.2f}"
    return "" if value is None else str(value)


def _table(header: Sequence[str], lines: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Text columns, each as wide as its widest cell."""
    widths = [max(len(line[place]) for line in (header, *lines)) for place in range(len(header))]

    def row(cells: Sequence[str]) -> str:
        placed = (c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths)))
        return "  ".join(placed).rstrip()

    return "\n".join(
        [row(header), "  ".join("-" * width for width in widths), *(row(line) for line in lines)]
    )


def main(arguments: Optional[List[str]] = None) -> None:
    """Run the command and exit with its code: 0, 1, 2, 3, or 130 after Ctrl-C; see `lakekit.errors`."""
    # delta-rs logs harmless warnings (1.2) and the conflicts that we report ourselves (1.6) to stderr.
    os.environ.setdefault("RUST_LOG", "off")
    try:
        result: Any = cli.main(arguments, prog_name="lakekit", standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except LakekitError as error:
        click.echo(f"Error: {error}\nNext: {error.next_step}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted: every table is whole, and running again resumes.", err=True)
        sys.exit(130)
