"""Tests the findings in Terraform's output, and Terraform's environment variables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lake_ci.checks.terraform import code as terraform
from lake_ci.checks.terraform.code import (
    Code,
    Fmt,
    Init,
    UnitTests,
    Validate,
    Variables,
)
from lake_ci.model.results import Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed

Answering = Callable[..., list[list[str]]]
DIFF = """\
main.tf
--- old/terraform/main.tf
+++ new/terraform/main.tf
@@ -1,3 +1,3 @@
 locals {
-  a=1
+  a = 1
 }
"""


def diagnostic(
    summary: str, detail: str, file: str | None = None, line: int = 0
) -> dict[str, Any]:
    place = {"range": {"filename": file, "start": {"line": line}}} if file else {}
    return {"severity": "error", "summary": summary, "detail": detail, **place}


def completed(code: int, *rows: dict[str, Any], before: str = "") -> Completed:
    """Return the result of a command that prints messages in JSON."""
    lines = [json.dumps({"type": "diagnostic", "diagnostic": row}) for row in rows]
    return Completed(("terraform",), code, before + "\n".join(lines), "", 1.0)


@pytest.fixture
def ctx(ctx: CheckContext, tmp_path: Path) -> CheckContext:
    """Return a repository with Terraform files, on a machine with Terraform."""
    program = tmp_path / "bin" / "terraform"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    ctx.env["PATH"] = str(program.parent)
    folder = ctx.root / "terraform"
    (folder / "environments").mkdir(parents=True)
    (folder / "main.tf").write_text(
        'terraform {\n  x = {\n    source = "hashicorp/aws"\n  }\n}\n'
    )
    (folder / "variables.tf").write_text('variable "region" {\n  type = string\n}\n')
    for environment in ("production", "staging", "dev", "trial"):
        (folder / "environments" / f"{environment}.tfvars").write_text(
            'region = "eu-central-1"\n'
        )
        (folder / "environments" / f"{environment}.s3.tfbackend").write_text(
            'bucket = "states"\n'
        )
    return ctx


def test_missing_terraform_reports_installation_and_skipped_checks(
    ctx: CheckContext,
) -> None:
    ctx.env["PATH"] = ""
    code = Code()
    outcome = Init(code).run(ctx)
    assert (outcome.status, outcome.not_checked, code.ready) == (
        Status.WARNING,
        "nothing was planned",
        False,
    )
    assert terraform.GET in outcome.detail
    rows = [Fmt().run(ctx), Validate(code).run(ctx), UnitTests(code).run(ctx)]
    assert {row.status for row in rows} == {Status.SKIPPED}


def test_init_inherits_provider_source_but_no_credentials_or_options(
    ctx: CheckContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, str] = {}

    def execute(argv: list[str], **options: Any) -> Completed:
        if "init" in argv:
            seen.update(options["env"])
            return completed(0, before="Initializing the backend...\n")
        return Completed(("terraform",), 0, '{"terraform_version": "1.11.4"}', "", 0.1)

    ctx.execute = execute
    ctx.env |= {
        "TF_CLI_CONFIG_FILE": "/etc/mirror.tfrc",
        "TF_CLI_ARGS": "-x",
        "AWS_PROFILE": "admin",
    }
    code = Code()
    assert Init(code).run(ctx).detail == "Terraform 1.11.4"
    assert code.ready
    assert seen["TF_CLI_CONFIG_FILE"] == "/etc/mirror.tfrc"
    assert not {"TF_CLI_ARGS", "AWS_PROFILE"} & seen.keys()


def test_a_provider_that_cannot_be_found_is_named_where_it_is_asked_for(
    ctx: CheckContext, answering: Answering
) -> None:
    detail = (
        "Could not retrieve the list of available versions for provider hashicorp/aws:"
        " none match 5.1.2"
    )
    answering(
        completed(1, diagnostic("Failed to query available provider packages", detail))
    )
    outcome = Init(Code()).run(ctx)
    assert (outcome.status, outcome.not_checked) == (Status.FAILURE, None)
    [found] = outcome.findings
    assert (found.file, found.line) == ("terraform/main.tf", 3)
    assert found.rule == "failed-to-query-available-provider-packages"
    assert found.message.endswith("none match 5.1.2")


def test_an_unreachable_registry_is_an_incomplete_check(
    ctx: CheckContext, answering: Answering
) -> None:
    ctx.env["TF_CLI_CONFIG_FILE"] = "/nowhere/terraform.tfrc"
    answering(
        completed(
            1,
            diagnostic(
                "Failed", "could not connect to registry.example: lookup: no such host"
            ),
        )
    )
    outcome = Init(Code()).run(ctx)
    assert outcome.status is Status.WARNING
    assert outcome.not_checked is not None
    assert "/nowhere/terraform.tfrc, which does not exist" in outcome.not_checked


def test_what_is_not_formatted_is_named_with_its_line(
    ctx: CheckContext, answering: Answering
) -> None:
    answering(Completed(("terraform",), 3, DIFF, "", 0.1))
    [found] = Fmt().run(ctx).findings
    assert (found.rule, found.file, found.line) == ("format", "terraform/main.tf", 2)


def test_no_option_of_the_machine_reaches_a_check(ctx: CheckContext) -> None:
    seen: list[dict[str, str]] = []

    def execute(argv: list[str], **options: Any) -> Completed:
        seen.append(options["env"])
        return Completed(("terraform",), 0, "", "", 0.1)

    ctx.execute = execute
    ctx.env |= {"TF_CLI_ARGS": "-x", "AWS_PROFILE": "admin"}
    for tool in (Fmt(), Validate(Code(ready=True)), UnitTests(Code(valid=True))):
        tool.run(ctx)
    assert len(seen) == 3
    assert not [
        name for env in seen for name in ("TF_CLI_ARGS", "AWS_PROFILE") if name in env
    ]


def test_a_file_that_cannot_be_read_is_named_with_its_line(
    ctx: CheckContext, answering: Answering
) -> None:
    text = (
        "Error: Missing newline\n\n  on terraform/main.tf line 7, in locals:\n   7:   a"
        " = 1 b\n"
    )
    answering(Completed(("terraform",), 2, "", text, 0.1))
    [found] = Fmt().run(ctx).findings
    assert (found.rule, found.file, found.line) == ("syntax", "terraform/main.tf", 7)


def test_a_name_that_no_variable_declares_is_found_in_the_tfvars(
    ctx: CheckContext,
) -> None:
    file = ctx.root / "terraform" / "environments" / "dev.tfvars"
    file.write_text('region = "eu-central-1"\n\nregoin = "eu-west-1"\n')
    [found] = Variables().run(ctx).findings
    assert (found.rule, found.file, found.line) == (
        "undeclared",
        "terraform/environments/dev.tfvars",
        3,
    )
    assert "'regoin'" in found.message


def test_an_environment_without_its_file_is_named(ctx: CheckContext) -> None:
    (ctx.root / "terraform" / "environments" / "trial.tfvars").unlink()
    [found] = Variables().run(ctx).findings
    assert (found.rule, found.file) == (
        "missing",
        "terraform/environments/trial.tfvars",
    )


def test_validate_names_the_place_and_says_that_the_code_is_not_valid(
    ctx: CheckContext, answering: Answering
) -> None:
    rows = [
        diagnostic(
            "Reference to undeclared input variable", "No such variable.", "main.tf", 4
        )
    ]
    answering(
        Completed(
            ("terraform",), 1, json.dumps({"diagnostics": rows}, indent=2), "", 1.0
        )
    )
    code = Code(ready=True, valid=True)
    [found] = Validate(code).run(ctx).findings
    assert (found.rule, found.file, found.line) == (
        "reference-to-undeclared-input-variable",
        "terraform/main.tf",
        4,
    )
    assert not code.valid
    assert UnitTests(code).run(ctx).status is Status.SKIPPED


def test_half_a_json_is_a_crash_with_its_last_lines(
    ctx: CheckContext, answering: Answering
) -> None:
    answering(Completed(("terraform",), 1, '{\n  "diagnostics": [', "", 1.0))
    [found] = Validate(Code(ready=True)).run(ctx).findings
    assert found.rule == "crash"
    assert found.message.endswith('"diagnostics": [')


def test_tests_are_counted_and_none_at_all_is_a_failure(
    ctx: CheckContext, answering: Answering
) -> None:
    def ran(passed: int) -> Callable[[list[str]], Completed]:
        def answer(argv: list[str]) -> Completed:
            [junit] = [
                argument for argument in argv if argument.startswith("-junit-xml=")
            ]
            Path(junit.partition("=")[2]).write_text("<testsuites/>")
            row = {
                "type": "test_summary",
                "test_summary": {"passed": passed, "failed": 0},
            }
            return Completed(("terraform",), 0, json.dumps(row), "", 1.0)

        return answer

    answering(ran(3), ran(0))
    code = Code(ready=True, valid=True)
    assert UnitTests(code).run(ctx).detail == "3 tests"
    assert (ctx.reports / "junit.xml").read_text() == "<testsuites/>"
    assert UnitTests(code).run(ctx).findings[0].rule == "empty"


def test_an_isolated_environment_holds_nothing_of_the_machine_but_its_path(
    ctx: CheckContext,
) -> None:
    ctx.env |= {
        "AWS_PROFILE": "admin",
        "HTTPS_PROXY": "http://proxy",
        "TF_LOG": "trace",
        "HOME": "/root",
    }
    env = terraform.isolated(ctx, "dev")
    assert not {"AWS_PROFILE", "HTTPS_PROXY", "TF_LOG"} & env.keys()
    assert (
        Path(env["AWS_CONFIG_FILE"]).read_text()
        == Path(env["AWS_SHARED_CREDENTIALS_FILE"]).read_text()
        == ""
    )
    assert Path(env["HOME"]).is_relative_to(ctx.root / ".cache")
    text = Path(env["TF_CLI_CONFIG_FILE"]).read_text()
    assert str(ctx.root / ".cache" / "terraform" / "code" / "providers") in text
    assert "direct" not in text


def test_a_command_at_the_time_limit_is_a_timeout(
    ctx: CheckContext, answering: Answering
) -> None:
    answering(Completed(("terraform",), -15, "", "", 9.0, "timeout"))
    assert Validate(Code(ready=True)).run(ctx).findings[0].rule == "timeout"
