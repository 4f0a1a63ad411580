"""Defines the checks of the workflow files.

The checks cover the schema, errors and security. One check makes sure that each step
only calls a session.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from lake_ci.model.job import Graph
from lake_ci.model.results import Finding
from lake_ci.runner.check import CheckContext, CommandCheck
from lake_ci.system import git
from lake_ci.system.processes import Completed

WORKFLOWS = ".github/workflows"


def workflows(ctx: CheckContext) -> list[str]:
    """Return the workflow files that git lists."""
    return list(git.files(ctx.root, f"{WORKFLOWS}/*.yml"))


class Schema(CommandCheck):
    """The workflow files match GitHub's schema."""

    name = "workflow schema"

    def command(self, ctx: CheckContext) -> list[str]:
        check = [
            ctx.bin("check-jsonschema"),
            "--builtin-schema",
            "vendor.github-workflows",
        ]
        return [*check, "--output-format", "json", *workflows(ctx)]

    def findings(self, done: Completed, ctx: CheckContext) -> Iterator[Finding]:
        report = json.loads(done.stdout)
        for error in report["errors"]:
            # The schema defines several kinds of jobs, and a job with a wrong step
            # matches no kind. The error at the deepest match is the cause.
            match = error.get("best_deep_match") or error
            place = match["path"].removeprefix("$.")
            file = ctx.relative(error["filename"])
            yield Finding(
                self.name,
                "schema",
                f"{place}: {match['message']}",
                file,
                _line_of(ctx, file, place),
            )
        for error in report.get("parse_errors", ()):
            line = re.search(r"line (\d+)", error["message"])
            yield Finding(
                self.name,
                "parse",
                error["message"],
                ctx.relative(error["filename"]),
                int(line[1]) if line else 1,
            )


def _line_of(ctx: CheckContext, file: str, place: str) -> int:
    """Return the line of a path such as `jobs.lint.steps[0]`.

    If a key of the path is not found, the line of the previous key is used.
    """
    lines = Path(ctx.root, file).read_text(encoding="utf-8").splitlines()
    at = 0
    for key in re.findall(r"[\w-]+", re.sub(r"\[\d+\]", "", place)):
        for number in range(at, len(lines)):
            if re.match(rf"\s*(?:- )?{re.escape(key)}:", lines[number]):
                at = number
                break
    return at + 1


class Actionlint(CommandCheck):
    """actionlint finds no invalid expression, context, `needs:` or input."""

    name = "actionlint"

    def command(self, ctx: CheckContext) -> list[str]:
        # Without these options, actionlint would also call other installed linters.
        return [
            ctx.bin("actionlint"),
            "-shellcheck=",
            "-pyflakes=",
            "-format",
            "{{json .}}",
            *workflows(ctx),
        ]

    def findings(self, done: Completed, ctx: CheckContext) -> Iterator[Finding]:
        for row in json.loads(done.stdout):
            yield Finding(
                self.name,
                row["kind"],
                row["message"],
                ctx.relative(row["filepath"]),
                row["line"],
            )


class Zizmor(CommandCheck):
    """zizmor finds no injection, no unpinned action and no unneeded permission."""

    name = "zizmor"
    finding_codes = (11, 12, 13, 14)

    def command(self, ctx: CheckContext) -> list[str]:
        audit = [
            ctx.bin("zizmor"),
            "--persona=auditor",
            "--offline",
            "--strict-collection",
            "--quiet",
        ]
        return [*audit, "--format=json-v1", ".github"]

    def findings(self, done: Completed, ctx: CheckContext) -> Iterator[Finding]:
        for row in json.loads(done.stdout):
            primary = next(
                place
                for place in row["locations"]
                if place["symbolic"]["kind"] == "Primary"
            )
            file = primary["symbolic"]["key"]["Local"]["verbatim_path"]
            line = primary["concrete"]["location"]["start_point"]["row"] + 1
            severity = row["determinations"]["severity"].lower()
            message = (
                f"{row['desc']} ({severity}):"
                f" {primary['symbolic']['annotation']}; {row['url']}"
            )
            yield Finding(self.name, row["ident"], message, ctx.relative(file), line)


class Sessions(CommandCheck):
    """Each job of ci.yml has at most five steps and runs an existing session.

    The `needs:` of each job lists the jobs that its declaration needs.
    """

    name = "workflow sessions"

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def command(self, ctx: CheckContext) -> list[str]:
        declared = {
            job.name: {
                "needs": list(job.needs),
                "sessions": [variant.session for variant in job.variants],
            }
            for job in self.graph
        }
        return [
            str(ctx.python),
            "scripts/check_workflow.py",
            f"{WORKFLOWS}/ci.yml",
            json.dumps(declared),
        ]

    def findings(self, done: Completed, ctx: CheckContext) -> Iterator[Finding]:
        for row in json.loads(done.stdout):
            yield Finding(
                self.name, row["rule"], row["message"], row["file"], row["line"]
            )
