"""Checks the code and the plans with checkov's rules for AWS."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lake_ci.checks.terraform import hcl
from lake_ci.checks.terraform.code import FOLDER, isolated
from lake_ci.checks.terraform.plan import EnvironmentPlan, made
from lake_ci.model.results import Finding, Outcome
from lake_ci.runner.check import Check, CheckContext, crashed, stopped_or_crashed
from lake_ci.system.atomic_write import write_whole
from lake_ci.system.processes import Completed


class Checkov(Check):
    """Check the code and each plan with checkov's rules for AWS.

    checkov starts as soon as all plans are made. While checkov runs, the plans are
    applied, which takes a minute and leaves most of the machine idle.
    """

    name = "checkov"

    def __init__(self, plans: Sequence[EnvironmentPlan]) -> None:
        self.plans = plans

    def run(self, ctx: CheckContext) -> Outcome:
        made(self.plans)
        reports = []
        for kind, arguments in self.scans(ctx):
            rows = self._scan(ctx, kind, arguments)
            if isinstance(rows, Outcome):
                return rows
            reports += rows
        write_whole(ctx.reports / "checkov.json", json.dumps(reports, indent=1))
        passed = sum(row["summary"]["passed"] for row in reports if "summary" in row)
        found = [finding for row in reports for finding in self.findings(row, ctx)]
        return Outcome.of(dict.fromkeys(found), clean=f"{passed} passed")

    def _scan(
        self, ctx: CheckContext, kind: str, arguments: Sequence[str]
    ) -> list[dict[str, Any]] | Outcome:
        """Return checkov's reports for one framework, or a failure."""
        quiet = ["--skip-download", "--quiet", "--compact", "--output", "json"]
        done = ctx.execute(
            [ctx.bin("checkov"), *quiet, "--framework", kind, *arguments],
            env=isolated(ctx, "checkov"),
        )
        if done.code not in (0, 1):
            return stopped_or_crashed(self.name, done)
        try:
            rows = _reports(done)
        except ValueError as error:
            return crashed(self.name, done, f"printed unexpected output: {error}")
        checked = sum(
            row["summary"]["passed"] + row["summary"]["failed"]
            for row in rows
            if "summary" in row
        )
        return (
            rows if checked else crashed(self.name, done, f"checked nothing of {kind}")
        )

    def scans(self, ctx: CheckContext) -> Iterator[tuple[str, list[str]]]:
        """Yield the framework and arguments of each scan: the code, then the plans."""
        yield "terraform", ["--directory", FOLDER]
        files = [str(folder / "plan.json") for folder in made(self.plans).values()]
        if files:
            each = [argument for file in files for argument in ("--file", file)]
            yield "terraform_plan", [*each, "--repo-root-for-plan-enrichment", FOLDER]

    def findings(
        self, report: Mapping[str, Any], ctx: CheckContext
    ) -> Iterator[Finding]:
        """Yield the findings of a report, each with the line of the resource."""
        results = report.get("results", {})
        for file in results.get("parsing_errors", ()):
            yield Finding(
                self.name, "parse", "checkov cannot read the file", ctx.relative(file)
            )
        for row in results.get("failed_checks", ()):
            message = f"{row['resource']}: {row['check_name']}"
            block = hcl.locate(ctx.root, FOLDER, row["resource"])
            file, line = (
                f"{FOLDER}/{row['file_path'].lstrip('/')}",
                row["file_line_range"][0],
            )
            where = (block.file, block.line) if block else (file, line)
            yield Finding(self.name, row["check_id"], message, *where)


def _reports(done: Completed) -> list[dict[str, Any]]:
    """Return checkov's reports.

    checkov prints a list of reports, a single report, or only counts if there is
    nothing to report.
    """
    body = json.loads(done.stdout)
    rows = body if isinstance(body, list) else [body]
    return [row if "summary" in row else {"summary": row} for row in rows]
