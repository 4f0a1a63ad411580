"""All the checks of the manifests, as they depend on each other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from lake_ci.tools.alike import Alike
from lake_ci.tools.api_server import ApiServer
from lake_ci.tools.dry_run import DryRun
from lake_ci.tools.known_settings import Programs
from lake_ci.tools.kustomize import Build, Yaml
from lake_ci.tools.manifest_scans import Checkov, Scan, Schema
from lake_ci.tools.practices import Practices
from lake_ci.tools.tool import Tool


def checks(environments: Sequence[str], held: ExitStack) -> list[Tool]:
    """The checks of these environments, to be run all at once: each waits for its build; the server starts meanwhile.

    The server lives until `held` is closed.
    """
    server = ApiServer(held)
    builds = [Build(name) for name in environments]
    scan, programs = Scan(builds), Programs()
    found: list[Tool] = [server, Yaml(), *builds]
    for build in builds:
        found += [
            Schema(build),
            DryRun(build, server),
            Checkov(build, scan),
            Practices(build, programs),
        ]
    return [*found, Alike(builds)]
