"""Checks the Terraform code without an account.

The checks cover the format, the variables, the validity and the tests of the code.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lake_ci.checks.lint.diff import first_changes
from lake_ci.checks.terraform import hcl
from lake_ci.model.job import ENVIRONMENTS
from lake_ci.model.results import Finding, Outcome, Status, count
from lake_ci.runner.check import Check, CheckContext, CommandCheck, crashed, stopped
from lake_ci.system.atomic_write import write_whole
from lake_ci.system.processes import Completed

FOLDER = "terraform"
GET = "https://developer.hashicorp.com/terraform/install"
PROVIDER = re.compile(r"provider\s+(?:registry\.terraform\.io/)?([\w-]+/[\w-]+)")
# Matches Terraform's errors for an unreachable registry, but not the errors for a
# provider that does not exist.
UNREACHABLE = re.compile(
    r"could not connect|failed to request discovery document|dial tcp|no such host",
    re.I,
)
# The only Terraform variables that checks inherit. These variables set where this
# machine gets providers.
INHERITED = ("TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR")


@dataclass
class Code:
    """The state of the code's checks, on which other checks depend.

    Attributes:
        ready: whether `init` has passed.
        valid: whether `validate` has passed.
    """

    ready: bool = False
    valid: bool = False


def program(ctx: CheckContext) -> str | None:
    """Return the path of the program `terraform`, or None."""
    return shutil.which("terraform", path=ctx.env.get("PATH"))


def work(ctx: CheckContext, name: str) -> Path:
    """Return the folder for Terraform's own files (TF_DATA_DIR), by purpose."""
    return ctx.root / ".cache" / "terraform" / name


def mirror(ctx: CheckContext) -> Path:
    """Write a CLI configuration that allows only the providers from `Init`.

    With this configuration, no environment downloads or copies a provider, and
    rehearsals work without a network.
    """
    path = work(ctx, "mirror.tfrc")
    folder = (
        json.dumps(str(work(ctx, "code") / "providers"))
        .replace("${", "$${")
        .replace("%{", "%%{")
    )
    text = (
        f"provider_installation {{\n  filesystem_mirror {{\n    path = {folder}\n   "
        ' include = ["*/*/*"]\n  }\n}\n'
    )
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_whole(path, text)
    return path


def isolated(ctx: CheckContext, purpose: str) -> dict[str, str]:
    """Return the few environment variables that Terraform needs.

    The user's credentials, endpoints, proxies and options are excluded.
    """
    home = work(ctx, purpose) / "home"
    home.mkdir(parents=True, exist_ok=True)
    for name in ("config", "credentials"):
        (home / name).write_text("", encoding="utf-8")
    return {
        "PATH": ctx.env.get("PATH", ""),
        "HOME": str(home),
        "AWS_CONFIG_FILE": str(home / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "3",
        "TF_CLI_CONFIG_FILE": str(mirror(ctx)),
        **terraform_variables(ctx, purpose),
    }


def terraform_variables(ctx: CheckContext, purpose: str) -> dict[str, str]:
    """Return the environment variables that every Terraform command gets."""
    return {
        "TF_DATA_DIR": str(work(ctx, purpose)),
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "CHECKPOINT_DISABLE": "1",
    }


def diagnostics(tool: str, text: str, ctx: CheckContext) -> list[Finding]:
    """Return the findings that the JSON output of a Terraform command contains.

    Raises:
        ValueError: a line is not JSON.
    """
    found = []
    for row in _rows(text):
        message = f"{row['summary']}: {row.get('detail', '')}".strip(": \n")
        # The rule is the part of Terraform's summary before names and ids.
        rule = re.sub(r"\W+", "-", re.split(r"[:(]", row["summary"])[0].lower()).strip(
            "-"
        )
        place = row.get("range")
        file, line = (
            (f"{FOLDER}/{place['filename']}", place["start"]["line"])
            if place
            else (None, None)
        )
        provider = PROVIDER.search(message)
        if file is None and provider:
            file, line = hcl.line_of_provider(ctx.root, FOLDER, provider[1]) or (
                None,
                None,
            )
        found.append(Finding(tool, rule, message, file, line, row["severity"]))
    return list(dict.fromkeys(found))


def _rows(text: str) -> Iterator[dict[str, Any]]:
    if text.startswith("{\n"):
        yield from json.loads(text)["diagnostics"]
        return
    yield from (row["diagnostic"] for row in messages(text) if "diagnostic" in row)


def messages(text: str) -> Iterator[dict[str, Any]]:
    """Return the JSON messages of a Terraform command, one per output line.

    Lines of plain text are skipped, because `init -json` prints some.
    """
    return (json.loads(line) for line in text.splitlines() if line.startswith("{"))


class Init(Check):
    """Download the locked providers with `terraform init`."""

    name = "init"
    exclusive = True
    is_setup = True

    def __init__(self, code: Code) -> None:
        self.code = code

    def run(self, ctx: CheckContext) -> Outcome:
        terraform = program(ctx)
        if terraform is None:
            how = f"get Terraform 1.11 or newer ({GET}), and put it on PATH"
            return Outcome(
                Status.WARNING,
                f"Terraform is not installed: {how}",
                not_checked="nothing was planned",
            )
        command = [terraform, "init", "-backend=false", "-lockfile=readonly", "-json"]
        done = ctx.execute(
            command,
            cwd=ctx.root / FOLDER,
            env=_download_env(ctx) | terraform_variables(ctx, "code"),
        )
        if done.code == 0:
            self.code.ready = True
            version = ctx.execute(
                [terraform, "version", "-json"], env=isolated(ctx, "version")
            )
            return Outcome(
                Status.SUCCESS,
                f"Terraform {json.loads(version.stdout)['terraform_version']}",
            )
        outcome = judged(self.name, done, ctx)
        config = ctx.env.get("TF_CLI_CONFIG_FILE")
        if any(UNREACHABLE.search(finding.message) for finding in outcome.findings):
            why = "the provider registry is unreachable"
            if config and not Path(config).exists():
                why += f"; TF_CLI_CONFIG_FILE names {config}, which does not exist"
            return Outcome(
                Status.WARNING,
                why,
                outcome.findings,
                not_checked=f"nothing was planned: {why}",
            )
        return outcome


def _download_env(ctx: CheckContext) -> dict[str, str]:
    """Return the environment variables for `init`, without credentials.

    Of Terraform's own variables, only the variables in INHERITED are included.
    """
    return {
        name: value
        for name, value in ctx.env_of("download").items()
        if name in INHERITED or not name.startswith(("TF_", "AWS_"))
    }


class Fmt(CommandCheck):
    """Check the format with `terraform fmt`."""

    name = "fmt"
    finding_codes = (2, 3)

    def command(self, ctx: CheckContext) -> list[str]:
        return [
            program(ctx) or "terraform",
            "fmt",
            "-check",
            "-diff",
            "-recursive",
            "-no-color",
            FOLDER,
        ]

    def run(self, ctx: CheckContext) -> Outcome:
        if program(ctx) is None:
            return Outcome(Status.SKIPPED, "Terraform is not installed")
        return self.outcome(
            ctx.execute(self.command(ctx), env=isolated(ctx, "fmt")), ctx
        )

    def findings(self, done: Completed, ctx: CheckContext) -> Iterator[Finding]:
        for file, line in first_changes(done.stdout):
            file = ctx.relative(file.removeprefix("old/"))
            yield Finding(
                self.name,
                "format",
                f"not formatted; run `terraform fmt -recursive {FOLDER}`",
                file,
                line,
            )
        for error in re.finditer(
            r"Error: (.+)\n\n\s+on (.+) line (\d+)", done.stderr.replace("\n│ ", "\n")
        ):
            yield Finding(
                self.name, "syntax", error[1], ctx.relative(error[2]), int(error[3])
            )


class Variables(Check):
    """Check that each environment's files exist and set only declared variables."""

    name = "tfvars"

    def run(self, ctx: CheckContext) -> Outcome:
        declared = {
            block.labels[0]
            for block in hcl.blocks(ctx.root, FOLDER)
            if block.kind == "variable"
        }
        found = []
        for environment in ENVIRONMENTS:
            for suffix in ("tfvars", "s3.tfbackend"):
                if not (
                    ctx.root / FOLDER / "environments" / f"{environment}.{suffix}"
                ).is_file():
                    file = f"{FOLDER}/environments/{environment}.{suffix}"
                    found.append(
                        Finding(
                            self.name,
                            "missing",
                            "the file of this environment is missing",
                            file,
                        )
                    )
        paths = sorted((ctx.root / FOLDER / "environments").glob("*.tfvars"))
        for path in paths:
            for name, line in hcl.assignments(path.read_text(encoding="utf-8")):
                if name not in declared:
                    message = (
                        f"variable {name!r} is not declared: its value is not used"
                    )
                    found.append(
                        Finding(
                            self.name, "undeclared", message, ctx.relative(path), line
                        )
                    )
        return Outcome.of(found, clean=count(len(paths), "environment"))


class Validate(Check):
    """Check code and tests with `terraform validate`, whose warnings are findings."""

    name = "validate"

    def __init__(self, code: Code) -> None:
        self.code = code

    def run(self, ctx: CheckContext) -> Outcome:
        terraform = program(ctx)
        if terraform is None or not self.code.ready:
            return Outcome(Status.SKIPPED, "skipped: `init` failed")
        command = [terraform, "validate", "-json"]
        done = ctx.execute(command, cwd=ctx.root / FOLDER, env=isolated(ctx, "code"))
        outcome = judged(self.name, done, ctx)
        self.code.valid = outcome.status is Status.SUCCESS
        return outcome


class UnitTests(Check):
    """Run the tests in terraform/tests, with a mocked provider.

    The tests wait for the futures in `after`, so that other checks can use the
    processor first.
    """

    name = "test"

    def __init__(self, code: Code, after: Sequence[Future[Any]] = ()) -> None:
        self.code = code
        self.after = after

    def run(self, ctx: CheckContext) -> Outcome:
        wait(self.after)
        terraform = program(ctx)
        if terraform is None or not self.code.valid:
            return Outcome(Status.SKIPPED, "skipped: the code is not valid")
        scratch = ctx.reports / ".junit.xml"
        command = [terraform, "test", "-json", f"-junit-xml={scratch}"]
        done = ctx.execute(command, cwd=ctx.root / FOLDER, env=isolated(ctx, "code"))
        if scratch.exists():
            write_whole(ctx.reports / "junit.xml", scratch.read_text(encoding="utf-8"))
            scratch.unlink()
        outcome = judged(self.name, done, ctx)
        if outcome.status is not Status.SUCCESS:
            return outcome
        passed = sum(
            row["test_summary"]["passed"]
            for row in messages(done.stdout)
            if "test_summary" in row
        )
        if not passed:
            return Outcome.failure(self.name, "empty", f"no test in {FOLDER}/tests ran")
        return Outcome(Status.SUCCESS, count(passed, "test"))


def judged(
    tool: str, done: Completed, ctx: CheckContext, codes: Sequence[int] = (0, 1)
) -> Outcome:
    """Return the outcome of a completed Terraform command with JSON output.

    Warnings count as findings.
    """
    cut = stopped(tool, done)
    if cut is not None:
        return cut
    try:
        found = diagnostics(tool, done.stdout, ctx)
    except (ValueError, KeyError, TypeError) as error:
        return crashed(tool, done, f"printed unexpected output: {error}")
    if done.code not in codes or (done.code != 0 and not found):
        return crashed(tool, done)
    return Outcome.of(found)
