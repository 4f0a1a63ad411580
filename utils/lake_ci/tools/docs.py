"""The pictures of the README."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lake_ci.results import Outcome, Status
from lake_ci.tools.tool import Tool, Workbench, crashed, stopped


class Picture(Tool):
    """Run the pipeline in a terminal and draw what a person sees."""

    name = "picture"
    alone = True

    def __init__(self, file: Path) -> None:
        self.file = file

    def run(self, bench: Workbench) -> Outcome:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        command = [
            str(bench.python),
            "scripts/draw_run.py",
            str(self.file),
            "--first",
            "Playing",
            "--then",
            "✅ lint",
        ]
        # The run's own `nox`, whatever stands on PATH.
        env = {**bench.env, "PATH": os.pathsep.join([str(Path(sys.executable).parent), bench.env["PATH"]])}
        done = bench.execute([*command, "nox"], env=env)
        if done.code != 0:
            return stopped(self.name, done) or crashed(self.name, done)
        return Outcome(Status.SUCCESS, f"wrote {bench.relative(self.file)}")
