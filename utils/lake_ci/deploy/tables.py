"""Checks how a deploy changes tables and packages.

To compare the gold tables, the sample is also processed on this machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lake_ci.deploy.errors import StepError
from lake_ci.deploy.ledger import DeployRun
from lake_ci.model.settings import Comparison

# Sums of floating-point numbers depend on the order in which an engine adds them.
TOLERANCE = 1e-9


def versions(inspected: Mapping[str, Any]) -> dict[str, int]:
    """Return the Delta version of each table in the result of the script `inspect`."""
    return {name: int(table["version"]) for name, table in inspected["tables"].items()}


def restore_arguments(
    before: Mapping[str, int], runs: Sequence[DeployRun]
) -> list[str]:
    """Return the arguments of the script `restore`.

    The arguments contain each table's version before the deploy, and the time windows
    of the deploy's runs.
    """
    words = []
    for name, version in sorted(before.items()):
        words += ["--table", f"{name}={version}"]
    for run in runs:
        ids = ",".join(str(each) for each in (run.id, *run.tasks))
        words += ["--run", f"{ids}:{run.started}:{run.ended}"]
    return words


def unexpected_package_changes(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[str]:
    """Return a message for each package that an install changed unexpectedly.

    Only the deployed package and its dependencies may change.

    Args:
        before, after: results of the script `inspect` before and after the install.
            `packages` maps the name of each package to its version. `own` contains the
            names of the deployed package and all its dependencies.
    """
    had, has = before["packages"], after["packages"]
    own = {*before["own"], *after["own"]}
    return [
        f"{name}: {had.get(name, 'not installed')} before,"
        f" {has.get(name, 'not installed')} now"
        for name in sorted({*had, *has})
        if had.get(name) != has.get(name) and name not in own
    ]


def gold_differences(
    expected: Mapping[str, Any], found: Mapping[str, Any]
) -> list[str]:
    """Compare the deployed gold tables with the tables of a run on this machine.

    The deploy and this run have processed the same files. Returns one message for each
    difference in row counts or sums.
    """
    wrong = []
    for name in sorted({*expected, *found}):
        if name not in found:
            wrong.append(f"{name} does not exist")
            continue
        if name not in expected:
            continue  # skip tables of other projects
        one, two = expected[name], found[name]
        if one["rows"] != two["rows"]:
            wrong.append(
                f"{name} has {two['rows']:,} rows, the embedded run {one['rows']:,}"
            )
        for column in sorted({*one["sums"], *two["sums"]}):
            if not _same(one["sums"].get(column), two["sums"].get(column)):
                sums = (
                    f"{two['sums'].get(column)}, the embedded run's to"
                    f" {one['sums'].get(column)}"
                )
                wrong.append(f"{name}.{column} adds up to {sums}")
    return wrong


def _same(one: str | None, two: str | None) -> bool:
    if one is None or two is None:
        return one == two
    first, second = Decimal(one), Decimal(two)
    return first == second or abs(first - second) <= Decimal(TOLERANCE) * max(
        abs(first), abs(second)
    )


class Embedded:
    """Processes the sample on this machine while the job runs on the cluster.

    Args:
        sample, script: the folder of the sample and the script `inspect`, relative to
            the repository.
        how: the declared arguments, import paths and environment variables.
    """

    def __init__(self, root: Path, sample: str, script: str, how: Comparison) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lake-ci-embedded-")
        self._inspect = root / script
        self._lake = Path(self._folder.name) / "lake"
        path = os.pathsep.join(str(root / each) for each in how.path)
        unset = ("DATABRICKS_*", *how.unset)
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not any(fnmatchcase(name, pattern) for pattern in unset)
        }
        self._env = inherited | {"PYTHONPATH": path, **how.environment}
        self._root = root
        values = {"{sample}": str(root / sample), "{lake}": str(self._lake)}
        self._process = self._start(*(values.get(each, each) for each in how.arguments))

    def gold(self) -> dict[str, Any]:
        """Wait for the run, and return the row counts and sums of its gold tables.

        If the run failed, raises StepError with the last lines of its output.
        """
        with self._folder:
            self._end(self._process)
            printed = self._end(
                self._start(str(self._inspect), "--lake", str(self._lake))
            )
        return dict(json.loads(printed.splitlines()[-1])["lake_ci"]["gold"])

    def drop(self) -> None:
        """Kill the run if it is still active, and delete its folder."""
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self._root,
            env=self._env,
            stdout=pipe,
            stderr=pipe,
            encoding="utf-8",
        )

    def _end(self, process: subprocess.Popen[str]) -> str:
        out, errors = process.communicate()
        if process.returncode != 0:
            last = "\n".join((errors.strip() or out.strip()).splitlines()[-5:])
            raise StepError(f"the embedded run to compare with failed\n{last}")
        return out


def sample_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name and the path of each source file of a sample.

    The scripts and notes in the folder are not source files.
    """
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in (
            ".csv",
            ".gz",
            ".zip",
            ".parquet",
            ".json",
        ):
            yield path.name, path
