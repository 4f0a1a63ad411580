"""Creates the README's two pictures: a run in a terminal, and the run's report."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from lake_ci.model.results import REPORTS, Outcome, Status, count
from lake_ci.runner.check import Check, CheckContext, stopped_or_crashed


def pictures(folder: Path) -> list[Check]:
    """Return the checks that write the pictures to a folder."""
    return [Picture(folder / "run.svg"), Screenshots(folder)]


class Picture(Check):
    """Run the pipeline in a terminal, and draw its output as SVG."""

    name = "picture"
    exclusive = True

    def __init__(self, file: Path) -> None:
        self.file = file

    def run(self, ctx: CheckContext) -> Outcome:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        command = [
            str(ctx.python),
            "scripts/draw_run.py",
            str(self.file),
            "--first",
            "Simulating",
            "--then",
            "✅ lint",
        ]
        # Run all jobs without cached results, with the `nox` of this run instead of the
        # `nox` on PATH.
        path = os.pathsep.join([str(Path(sys.executable).parent), ctx.env["PATH"]])
        env = {**ctx.env_of("suite"), "PATH": path, "LAKE_CI_CACHE": "refresh"}
        done = ctx.execute([*command, "nox"], env=env)
        if done.code != 0:
            return stopped_or_crashed(self.name, done)
        return Outcome(Status.SUCCESS, f"wrote {ctx.relative(self.file)}")


class Screenshots(Check):
    """Open the last run's report in a browser, and take screenshots for the README."""

    name = "screenshots"
    exclusive = True
    PICTURES = {
        "desktop.png": "report.png",
        "desktop-dark.png": "report-dark.png",
        "phone.png": "report-phone.png",
    }

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, ctx: CheckContext) -> Outcome:
        report = ctx.root / REPORTS / "index.html"
        if not report.exists():
            return Outcome(Status.SKIPPED, "no report; run `nox` first")
        command = [
            str(ctx.python),
            "scripts/screenshot_report.py",
            str(report),
            str(ctx.reports),
        ]
        done = ctx.execute(command)
        if done.code != 0:
            return stopped_or_crashed(self.name, done)
        self.folder.mkdir(parents=True, exist_ok=True)
        for source, target in self.PICTURES.items():
            shutil.copyfile(ctx.reports / source, self.folder / target)
        return Outcome(Status.SUCCESS, f"wrote {count(len(self.PICTURES), 'picture')}")
