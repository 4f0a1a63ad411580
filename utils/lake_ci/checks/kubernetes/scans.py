"""What others know of good manifests: Kubernetes' own schemas, and checkov."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from lake_ci.checks.kubernetes.kustomize import Build
from lake_ci.checks.kubernetes.manifests import Manifest, Rendered
from lake_ci.model.results import Finding, Outcome, Status
from lake_ci.runner.check import Tool, Workbench, crashed, stopped_or_crashed
from lake_ci.system import pyproject
from lake_ci.system.atomic_write import write_whole
from lake_ci.system.processes import Completed

SCAN = "scripts/scan_manifests.py"
VALIDATE = "scripts/validate_manifests.py"
NOT_BUILT = "not checked, for it could not be built"
# With these checkov would ask a service, or skip and add checks behind the suite's
# back.
CHECKOV_SETTINGS = re.compile(r"(BC|CKV|CHECKOV|PRISMA)_.*|LOG_LEVEL")


def settings(bench: Workbench) -> dict[str, Any]:
    """What pyproject.toml says of Kubernetes."""
    return pyproject.settings(bench.root, "k8s")


class Schema(Tool):
    """The objects are as each Kubernetes version that pyproject.toml names has them; an
    unknown field is an error.
    """

    def __init__(self, build: Build) -> None:
        self.build = build
        self.name = f"schema {build.environment}"

    def run(self, bench: Workbench) -> Outcome:
        rendered = self.build.made.wait()
        if rendered is None:
            return Outcome(Status.SKIPPED, NOT_BUILT)
        versions = settings(bench)["versions"]
        done = bench.execute([str(bench.python), VALIDATE, rendered.file, *versions])
        if done.code not in (0, 1) or not done.stdout:
            return stopped_or_crashed(self.name, done)
        found = []
        for row in json.loads(done.stdout):
            manifest = rendered.named(row["kind"], row["name"])
            assert manifest is not None, row
            message = f"{row['message']} (Kubernetes {', '.join(row['versions'])})"
            found.append(manifest.finding(self.name, "schema", message, row["path"]))
        return Outcome.of(found, clean=f"Kubernetes {', '.join(versions)}")


class Scan:
    """One run of checkov over all environments: its start outlasts its work."""

    def __init__(self, builds: Sequence[Build]) -> None:
        self.builds = builds
        self._lock = threading.Lock()
        self._done: Completed | None = None

    def done(self, bench: Workbench) -> Completed:
        """How it ended; the first caller runs it, and the others wait."""
        with self._lock:
            if self._done is None:
                self._done = self._run(bench)
            return self._done

    def _run(self, bench: Workbench) -> Completed:
        rendered = [build.made.wait() for build in self.builds]
        files = [bench.relative(each.file) for each in rendered if each]
        env = {
            name: value
            for name, value in bench.env.items()
            if not CHECKOV_SETTINGS.fullmatch(name)
        }
        done = bench.execute([str(bench.python), SCAN, *files], env=env)
        if done.code == 0:
            write_whole(bench.reports / "checkov.json", done.stdout)
        return done


class Checkov(Tool):
    """checkov's rules for Kubernetes, but for those that pyproject.toml accepts with a
    reason.
    """

    def __init__(self, build: Build, scan: Scan) -> None:
        self.build = build
        self.scan = scan
        self.name = f"checkov {build.environment}"

    def run(self, bench: Workbench) -> Outcome:
        rendered = self.build.made.wait()
        if rendered is None:
            return Outcome(Status.SKIPPED, NOT_BUILT)
        done = self.scan.done(bench)
        if done.code != 0:
            return stopped_or_crashed(self.name, done)
        said = json.loads(done.stdout)
        if not said["checked"]:
            return crashed(self.name, done, "checked nothing")
        return Outcome.of(
            dict.fromkeys(self.findings(said, rendered, bench)), clean="no objection"
        )

    def findings(
        self, said: dict[str, Any], rendered: Rendered, bench: Workbench
    ) -> Iterator[Finding]:
        """What concerns this environment, but for the accepted rules."""
        file = bench.relative(rendered.file)
        accepted = settings(bench)["accepted"]
        if any(str(each).endswith(file) for each in said["unreadable"]):
            yield Finding(self.name, "parse", "checkov cannot read the manifests", file)
        for row in said["failed"]:
            if row["rule"] in accepted or not file.endswith(row["file"]):
                continue
            manifest = named(rendered, row["object"])
            if manifest is None:
                yield Finding(
                    self.name, row["rule"], f"{row['object']}: {row['asks']}", file
                )
            else:
                yield manifest.finding(
                    self.name, row["rule"], row["asks"], path_of(row["path"])
                )


def named(rendered: Rendered, resource: str) -> Manifest | None:
    """The object that checkov means: `Deployment.lake-dev.api`, or
    `Pod.lake-dev.api.app-api` for the pods of it.
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


def path_of(steps: Sequence[str]) -> tuple[str | int, ...]:
    """The path behind checkov's `spec`, `containers`, `[0]`, `image`."""
    return tuple(
        int(step[1:-1]) if re.fullmatch(r"\[\d+\]", step) else step for step in steps
    )
