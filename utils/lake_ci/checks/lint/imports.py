"""Runs import-linter on the contracts in pyproject.toml."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from lake_ci.model.results import Finding
from lake_ci.runner.check import CheckContext, CommandCheck
from lake_ci.system.processes import Completed

# The folders that contain the packages of the contracts.
SOURCES = ("utils", "api")


class Imports(CommandCheck):
    """Check that no import breaks a contract of import-linter."""

    name = "imports"
    # The heading of a broken contract. Below the heading, import-linter lists chains of
    # forbidden imports, or the packages that have no layer.
    BROKEN = re.compile(r"^(\S+) is not allowed to import (\S+):$")
    CHAIN = re.compile(r"^- +(?P<importer>\S+) -> (?P<imported>\S+) \(l\.(?P<line>\d+)")
    UNLISTED = re.compile(r"^- (?P<module>[\w.]+)$")
    SYNTAX = re.compile(r"^Syntax error in (?P<file>.+), line (?P<line>\d+):", re.M)

    def command(self, ctx: CheckContext) -> list[str]:
        return [ctx.bin("lint-imports"), "--no-cache", "--no-logo", "pyproject.toml"]

    def environment(self, ctx: CheckContext) -> Mapping[str, str]:
        paths = os.pathsep.join(str(ctx.root / source) for source in SOURCES)
        return {"PYTHONPATH": paths, "COLUMNS": "1000"}

    def findings(self, done: Completed, ctx: CheckContext) -> Iterator[Finding]:
        broken = ""
        for line in done.stdout.splitlines():
            if heading := self.BROKEN.match(line):
                broken = f"{heading[1]} may not import {heading[2]}"
            elif chain := self.CHAIN.match(line):
                message = f"{broken}: this imports {chain['imported']}"
                file = _file(ctx.root, chain["importer"])
                yield Finding(self.name, "layer", message, file, int(chain["line"]))
            elif unlisted := self.UNLISTED.match(line):
                module = unlisted["module"]
                message = f"{module} is not in a layer of [tool.importlinter]"
                yield Finding(
                    self.name, "unlisted", message, _file(ctx.root, module), 1
                )
        for match in self.SYNTAX.finditer(done.stdout + done.stderr):
            file = ctx.relative(match["file"])
            message = "cannot be parsed"
            yield Finding(self.name, "syntax", message, file, int(match["line"]))


def _file(root: Path, module: str) -> str:
    """Return the file of a module, relative to the repository.

    For a module outside the source folders, return pyproject.toml.
    """
    path = module.replace(".", "/")
    for source in SOURCES:
        for name in (f"{source}/{path}.py", f"{source}/{path}/__init__.py"):
            if (root / name).is_file():
                return name
    return "pyproject.toml"
