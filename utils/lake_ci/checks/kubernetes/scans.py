"""Validates the manifests against Kubernetes' schemas, and scans them with checkov."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from lake_ci.checks.kubernetes.kustomize import BuildOverlay
from lake_ci.checks.kubernetes.manifests import Manifest, Rendered
from lake_ci.model.results import Finding, Outcome, Status
from lake_ci.model.settings import read_settings
from lake_ci.runner.check import Check, CheckContext, crashed, stopped_or_crashed
from lake_ci.system.atomic_write import write_whole
from lake_ci.system.processes import Completed

SCAN = "scripts/scan_manifests.py"
VALIDATE = "scripts/validate_manifests.py"
NOT_BUILT = "skipped: the overlay was not built"
# Remove these environment variables, because with them, checkov would call a service,
# or would silently skip or add checks.
CHECKOV_SETTINGS = re.compile(r"(BC|CKV|CHECKOV|PRISMA)_.*|LOG_LEVEL")


class SchemaValidation(Check):
    """Validate the objects against each Kubernetes version in pyproject.toml.

    An unknown field is an error.
    """

    def __init__(self, build: BuildOverlay) -> None:
        self.build = build
        self.name = f"schema {build.environment}"

    def run(self, ctx: CheckContext) -> Outcome:
        rendered = self.build.result.wait()
        if rendered is None:
            return Outcome(Status.SKIPPED, NOT_BUILT)
        versions = read_settings(ctx.root).k8s.versions
        done = ctx.execute([str(ctx.python), VALIDATE, rendered.file, *versions])
        if done.code not in (0, 1) or not done.stdout:
            return stopped_or_crashed(self.name, done)
        found = []
        for row in json.loads(done.stdout):
            manifest = rendered.named(row["kind"], row["name"])
            assert manifest is not None, row
            message = f"{row['message']} (Kubernetes {', '.join(row['versions'])})"
            found.append(manifest.finding(self.name, "schema", message, row["path"]))
        return Outcome.of(found, clean=f"Kubernetes {', '.join(versions)}")


class CheckovScan:
    """One run of checkov for all environments.

    All environments share one run, because most of checkov's time is spent on starting.
    """

    def __init__(self, builds: Sequence[BuildOverlay]) -> None:
        self.builds = builds
        self._lock = threading.Lock()
        self._done: Completed | None = None

    def done(self, ctx: CheckContext) -> Completed:
        """Return checkov's completed process; only the first call runs checkov."""
        with self._lock:
            if self._done is None:
                self._done = self._run(ctx)
            return self._done

    def _run(self, ctx: CheckContext) -> Completed:
        rendered = [build.result.wait() for build in self.builds]
        files = [ctx.relative(each.file) for each in rendered if each]
        env = {
            name: value
            for name, value in ctx.env.items()
            if not CHECKOV_SETTINGS.fullmatch(name)
        }
        done = ctx.execute([str(ctx.python), SCAN, *files], env=env)
        if done.code == 0:
            write_whole(ctx.reports / "checkov.json", done.stdout)
        return done


class KubernetesCheckov(Check):
    """Check an environment with checkov; pyproject.toml lists rules to ignore."""

    def __init__(self, build: BuildOverlay, scan: CheckovScan) -> None:
        self.build = build
        self.scan = scan
        self.name = f"checkov {build.environment}"

    def run(self, ctx: CheckContext) -> Outcome:
        rendered = self.build.result.wait()
        if rendered is None:
            return Outcome(Status.SKIPPED, NOT_BUILT)
        done = self.scan.done(ctx)
        if done.code != 0:
            return stopped_or_crashed(self.name, done)
        report = json.loads(done.stdout)
        if not report["checked"]:
            return crashed(self.name, done, "checked nothing")
        return Outcome.of(
            dict.fromkeys(self.findings(report, rendered, ctx)), clean="no findings"
        )

    def findings(
        self, report: dict[str, Any], rendered: Rendered, ctx: CheckContext
    ) -> Iterator[Finding]:
        """Yield this environment's findings, except the findings of accepted rules."""
        file = ctx.relative(rendered.file)
        accepted = read_settings(ctx.root).k8s.accepted
        if any(str(each).endswith(file) for each in report["unreadable"]):
            yield Finding(self.name, "parse", "checkov cannot read the manifests", file)
        for row in report["failed"]:
            if row["rule"] in accepted or not file.endswith(row["file"]):
                continue
            manifest = named(rendered, row["object"])
            if manifest is None:
                yield Finding(
                    self.name, row["rule"], f"{row['object']}: {row['asks']}", file
                )
            else:
                yield manifest.finding(
                    self.name, row["rule"], row["asks"], checkov_path(row["path"])
                )


def named(rendered: Rendered, resource: str) -> Manifest | None:
    """Return the object to which a resource in checkov's report belongs, or None.

    An example of a resource is `Deployment.lake-dev.api`. A resource such as
    `Pod.lake-dev.api.app-api` belongs to the workload that creates the pod.
    """
    for each in rendered.manifests:
        space = each.get("metadata", "namespace") or "default"
        if resource == f"{each.kind}.{space}.{each.name}":
            return each
    parts = resource.split(".")
    return next(
        (
            each
            for each in rendered.workloads()
            if len(parts) > 2 and each.name == parts[2]
        ),
        None,
    )


def checkov_path(steps: Sequence[str]) -> tuple[str | int, ...]:
    """Convert the steps in checkov's report, such as `spec` and `[0]`, to a path."""
    return tuple(
        int(step[1:-1]) if re.fullmatch(r"\[\d+\]", step) else step for step in steps
    )
