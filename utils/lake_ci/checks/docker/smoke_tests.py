"""The images at work: each does what it is for, on the sample, as narrowly confined as
in production.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from lake_ci.checks.docker.build import DOCKERFILE, Images
from lake_ci.checks.docker.contents import stage_line
from lake_ci.checks.docker.reference_lake import SAMPLE, lakekit
from lake_ci.model.results import Finding, Outcome, Status
from lake_ci.runner.check import Tool, Workbench, crashed, stopped

# A read-only root and one file system in memory for /tmp, no right beyond a plain
# user's: as the manifests have it.
CONFINED = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
OFFLINE = "--network=none"
# The one name that can be looked up without a network; a pod can look up its own, too.
NAMED = "--hostname=localhost"
# Spark unpacks native libraries there and runs them.
TMPFS = "--tmpfs=/tmp:rw,exec,nosuid,size=1g"
STRANGER = "12345:12345"


class Exercise(Tool):
    """A container of one image, put to work."""

    target = ""

    def __init__(self, images: Images) -> None:
        self.images = images
        self.engine = images.engine

    def run(self, bench: Workbench) -> Outcome:
        if self.target not in self.images.ids:
            return Outcome(Status.SKIPPED, f"{self.target} was not built")
        folder = self.images.scratch(bench, self.name.replace(" ", "-"))
        try:
            return self.exercise(folder, bench)
        except Unmet as unmet:
            line = stage_line(bench, self.target)
            finding = Finding(
                self.name, unmet.rule, f"{self.target}: {unmet}", DOCKERFILE, line
            )
            return Outcome(Status.FAILURE, str(unmet).splitlines()[0], (finding,))
        finally:
            # A run that was interrupted removes the image's files with the rest, or the
            # next one does.
            shutil.rmtree(folder, ignore_errors=True)

    def exercise(self, folder: Path, bench: Workbench) -> Outcome:
        """Put it to work. Raises Unmet for what it does not do."""
        raise NotImplementedError

    @property
    def image(self) -> str:
        return self.images.name(self.target)


class Unmet(Exception):
    """An image does not do what it is for."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(rule, message)
        self.rule = rule
        self.message = message

    def __str__(self) -> str:
        return self.message


class Dev(Exercise):
    """dev: `nox -l` and a module of unit tests, in a mounted checkout, as a user that
    the image does not know.
    """

    name = target = "dev"
    module = "testing/unit/lakekit/declarations/test_tables.py"

    def exercise(self, folder: Path, bench: Workbench) -> Outcome:
        options = [
            OFFLINE,
            "--cap-drop=ALL",
            f"--user={STRANGER}",
            "--tmpfs=/tmp:rw,exec",
            f"--volume={bench.root}:/work:ro",
        ]
        listed = self.engine.run(self.image, "nox", "-l", options=options)
        if listed.code != 0 or "* pipeline" not in listed.stdout:
            raise Unmet(
                "nox", f"`nox -l` exited with {listed.code}\n{listed.last_lines()}"
            )
        test = ["python", "-m", "pytest", "-q", "-p", "no:cacheprovider", self.module]
        tested = self.engine.run(self.image, *test, options=options)
        if tested.code != 0 or " passed" not in tested.stdout:
            raise Unmet(
                "tests",
                f"{self.module} exited with {tested.code}\n{tested.last_lines()}",
            )
        return Outcome(
            Status.SUCCESS,
            f"nox -l; {tested.stdout.strip().splitlines()[-1].strip('= ')}",
        )


class Batch(Exercise):
    """A run of the lake on the sample, and its rows against those of a run outside."""

    engine_name = "embedded"
    more: tuple[str, ...] = ()

    def exercise(self, folder: Path, bench: Workbench) -> Outcome:
        # One name for the volume and the container tells them apart as well.
        container, begun = self.engine.volume(self.target), time.monotonic()
        ran = self.engine.docker(*self._command(bench, container))
        if ran.code != 0:
            cut = stopped(self.name, ran)
            if cut is not None:
                return cut
            raise Unmet(
                "run", f"lakekit run exited with {ran.code}\n{ran.last_lines()}"
            )
        seconds = time.monotonic() - begun
        lake = folder / "inside"
        copied = self.engine.docker("cp", f"{container}:/lake/.", str(lake))
        if copied.code != 0:
            return stopped(self.name, copied) or crashed(self.name, copied)
        diff = lakekit(
            bench, "diff", str(self.images.outside.lake(bench)), str(lake), "--json"
        )
        if diff.code not in (0, 1) or not diff.stdout:
            return stopped(self.name, diff) or crashed(self.name, diff)
        if diff.code == 1:
            raise Unmet(
                "rows",
                "its rows are not those of a run outside:"
                f" {different(json.loads(diff.stdout))}",
            )
        rows = sum(table["rows"] for table in json.loads(ran.stdout)["tables"])
        return Outcome(
            Status.SUCCESS,
            f"{rows:,} rows in {seconds:.0f} s, as outside",
            data={"rows": rows},
        )

    def _command(self, bench: Workbench, container: str) -> list[str]:
        """`docker run` of the lake, kept in a volume of the container's name."""
        options = [
            f"--name={container}",
            *self.engine.labelled,
            *CONFINED,
            OFFLINE,
            NAMED,
            TMPFS,
            f"--volume={bench.root / SAMPLE}:/source:ro",
            f"--volume={container}:/lake",
            *self.more,
        ]
        lakes = ["--source", "/source", "--lake", "/lake"]
        run = ["run", "--engine", self.engine_name, *lakes, "--json"]
        return ["run", *options, self.image, *run]


class Prod(Batch):
    """prod: a run on DuckDB with a read-only root, no rights and no network gives the
    rows of a run outside.
    """

    name = target = "prod"


class Processor(Batch):
    """processor: a run on Spark with a read-only root, no rights and no network gives
    the rows of a run on DuckDB.
    """

    name = target = "processor"
    engine_name = "spark"
    # A sample's queries end before the JVM's second compiler pays.
    more = ("--env=JAVA_TOOL_OPTIONS=-XX:TieredStopAtLevel=1",)


def different(said: dict[str, Any]) -> str:
    """The tables in which two lakes differ, in a few words."""
    rows = [
        each
        for each in said["tables"]
        if any(each[what] for what in ("only_a", "only_b", "changed", "shape"))
    ]
    return "; ".join(
        f"{each['table']}: {each['only_a']} missing, {each['only_b']} more,"
        f" {each['changed']} changed"
        for each in rows
    )
