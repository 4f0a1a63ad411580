"""Environments in a real account are only planned; environments on moto are applied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lake_ci.checks.terraform import plan as rehearsal
from lake_ci.checks.terraform.accounts import Account
from lake_ci.checks.terraform.code import Code
from lake_ci.checks.terraform.plan import Drift, EnvironmentPlan
from lake_ci.errors import LakeCiError, MachineError, UsageError
from lake_ci.model.results import Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed

MOTO = Account("333344445555", "states", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
REAL = Account("333344445555", "states", {}, real=True)
CREATED = {
    "actions": ["create"],
    "before": None,
    "after": {"bucket": "lake"},
    "after_unknown": {"arn": True},
}
UPDATED = {
    "actions": ["update"],
    "before": {"bucket": "lake", "tags": {"a": "1"}},
    "after": {"bucket": "lake", "tags": {"a": "2"}},
    "after_unknown": {},
}


def plan(*changes: dict[str, Any]) -> str:
    rows = [
        {"address": "aws_s3_bucket.lake", "mode": "managed", "change": change}
        for change in changes
    ]
    return json.dumps({"resource_changes": rows})


class Terraform:
    """A fake Terraform that records its commands."""

    def __init__(self, **answers: Completed | list[Completed]) -> None:
        self.answers = answers
        self.calls: list[list[str]] = []
        self.env: list[dict[str, str]] = []

    def __call__(self, argv: list[str], **options: Any) -> Completed:
        name = argv[1] if argv[0] == "terraform" else Path(argv[1]).stem
        self.calls.append([name, *argv[2:]])
        self.env.append(options.get("env", {}))
        answer = self.answers.get(name, done())
        return answer.pop(0) if isinstance(answer, list) else answer

    @property
    def names(self) -> list[str]:
        return [call[0] for call in self.calls]


def done(code: int = 0, stdout: str = "") -> Completed:
    return Completed(("terraform",), code, stdout, "", 0.1)


def diagnostic(summary: str, severity: str = "error") -> str:
    place = {"filename": "environments/dev.tfvars", "start": {"line": 3}}
    row = {"severity": severity, "summary": summary, "detail": "Wrong.", "range": place}
    return json.dumps({"type": "diagnostic", "diagnostic": row})


@pytest.fixture
def ctx(ctx: CheckContext) -> CheckContext:
    ctx.env["PATH"] = ""
    environments = ctx.root / "terraform" / "environments"
    environments.mkdir(parents=True)
    (environments / "dev.tfvars").write_text('account_id = "333344445555"\n')
    text = 'resource "aws_s3_bucket" "lake" {\n  bucket = "lake"\n  tags   = {}\n}\n'
    (ctx.root / "terraform" / "main.tf").write_text(text)
    return ctx


def test_a_rehearsal_plans_applies_plans_again_empties_and_destroys(
    ctx: CheckContext,
) -> None:
    ctx.execute = terraform = Terraform(
        plan=[done(0, "Plan: 1 to add"), done()], show=done(0, plan(CREATED))
    )
    tool = EnvironmentPlan(Code(), "dev", MOTO)
    outcome = tool.run(ctx)
    assert outcome.status is Status.SUCCESS
    assert (
        outcome.detail == "applied on moto: 1 to add, 0 to change, 0 to destroy;"
        " no changes in a second plan; destroyed"
    )
    assert outcome.data == {
        "account": MOTO.id,
        "rehearsed": True,
        "add": 1,
        "change": 0,
        "destroy": 0,
    }
    assert terraform.names == [
        "init",
        "plan",
        "show",
        "apply",
        "plan",
        "empty",
        "destroy",
    ]
    assert all(env is MOTO.env for env in terraform.env)
    folder = tool.folder.result()
    assert folder == ctx.reports / "dev"
    assert (folder / "plan.txt").read_text() == "Plan: 1 to add"
    assert json.loads((folder / "plan.json").read_text())["resource_changes"]


def test_rehearsal_forgets_guards_before_it_destroys(ctx: CheckContext) -> None:
    (ctx.root / "terraform" / "main.tf").write_text(
        'resource "terraform_data" "guard" {\n  lifecycle {\n'
        "    prevent_destroy = true\n  }\n}\n"
    )
    guard = {"resources": [{"address": "terraform_data.guard[0]"}]}
    shown = json.dumps({"planned_values": {"root_module": guard}})
    ctx.execute = terraform = Terraform(show=done(0, shown))
    assert EnvironmentPlan(Code(), "dev", MOTO).run(ctx).status is Status.SUCCESS
    assert terraform.names[-3:] == ["empty", "state", "destroy"]
    assert terraform.calls[-2] == ["state", "rm", "terraform_data.guard[0]"]
    ctx.execute = Terraform(show=done(0, shown), state=done(1))
    assert EnvironmentPlan(Code(), "dev", MOTO).run(ctx).status is Status.FAILURE


def test_a_real_account_is_only_read_and_not_even_locked(ctx: CheckContext) -> None:
    ctx.execute = terraform = Terraform(show=done(0, plan(UPDATED)))
    outcome = EnvironmentPlan(Code(), "dev", REAL).run(ctx)
    assert (
        outcome.detail
        == "account 333344445555, read only: 0 to add, 1 to change, 0 to destroy"
    )
    assert terraform.names == ["init", "plan", "show"]
    assert "-lock=false" in terraform.calls[1]


def test_a_plan_alone_is_not_applied_and_says_so(ctx: CheckContext) -> None:
    ctx.execute = terraform = Terraform(show=done(0, plan(CREATED)))
    outcome = EnvironmentPlan(Code(), "dev", MOTO, plan_only=True).run(ctx)
    assert (
        outcome.detail
        == "planned on moto, not applied: 1 to add, 0 to change, 0 to destroy"
    )
    assert terraform.names == ["init", "plan", "show"]


def test_what_is_planned_again_is_named_with_attribute_and_line(
    ctx: CheckContext,
) -> None:
    ctx.execute = terraform = Terraform(
        plan=[done(), done(rehearsal.CHANGES)],
        show=[done(0, plan(CREATED)), done(0, plan(UPDATED))],
    )
    outcome = EnvironmentPlan(Code(), "dev", MOTO).run(ctx)
    [found] = outcome.findings
    assert (found.rule, found.file, found.line) == (
        "changes-again",
        "terraform/main.tf",
        3,
    )
    assert found.message.startswith(
        "aws_s3_bucket.lake: update of tags is planned again"
    )
    assert "destroy" not in terraform.names


def test_an_output_alone_that_changes_again_is_named_too(ctx: CheckContext) -> None:
    ctx.execute = Terraform(
        plan=[done(), done(rehearsal.CHANGES)], show=done(0, plan())
    )
    [found] = EnvironmentPlan(Code(), "dev", MOTO).run(ctx).findings
    assert (found.rule, found.file) == ("changes-again", "terraform/outputs.tf")


@pytest.mark.parametrize(
    "first", [done(1), done(0, "Warning: Value for undeclared variable")]
)
def test_a_plan_that_fails_or_warns_is_asked_again_for_the_place(
    ctx: CheckContext, first: Completed
) -> None:
    ctx.execute = Terraform(
        plan=[first, done(first.code, diagnostic("Invalid value for variable"))]
    )
    tool = EnvironmentPlan(Code(), "dev", MOTO)
    [found] = tool.run(ctx).findings
    assert (found.rule, found.line) == ("invalid-value-for-variable", 3)
    assert found.file == "terraform/environments/dev.tfvars"
    assert tool.folder.result() is None
    assert not (ctx.reports / "dev").exists()


@pytest.mark.parametrize("command", ["init", "apply", "destroy"])
def test_a_command_that_fails_ends_the_rehearsal_with_its_words(
    ctx: CheckContext, command: str
) -> None:
    failed = {command: done(1, diagnostic("Broken"))}
    ctx.execute = terraform = Terraform(show=done(0, plan(CREATED)), **failed)
    outcome = EnvironmentPlan(Code(), "dev", MOTO).run(ctx)
    assert [found.rule for found in outcome.findings] == ["broken"]
    assert terraform.names[-1] == command


@pytest.mark.parametrize("command", ["plan", "show", "empty"])
def test_a_command_at_the_time_limit_is_a_timeout(
    ctx: CheckContext, command: str
) -> None:
    cut = Completed((), -15, "", "", 9.0, "timeout")
    ctx.execute = Terraform(**({"show": done(0, plan(CREATED))} | {command: cut}))
    tool = EnvironmentPlan(Code(), "dev", MOTO)
    assert tool.run(ctx).findings[0].rule == "timeout"
    assert tool.folder.done()


def test_without_an_account_nothing_is_planned_and_nobody_waits(
    ctx: CheckContext,
) -> None:
    tool = EnvironmentPlan(Code(), "dev", None)
    assert tool.run(ctx).status is Status.SKIPPED
    assert tool.folder.result() is None


def test_nobody_waits_for_a_plan_that_broke(ctx: CheckContext) -> None:
    def broken(*arguments: Any, **options: Any) -> Completed:
        raise RuntimeError

    ctx.execute = broken
    tool = EnvironmentPlan(Code(), "dev", MOTO)
    with pytest.raises(RuntimeError):
        tool.run(ctx)
    assert tool.folder.result() is None


def test_drift_is_named_at_the_block_that_declares_it(ctx: CheckContext) -> None:
    ctx.env["AWS_PROFILE"] = "dev"
    ctx.execute = terraform = Terraform(
        identify=done(0, "333344445555"),
        plan=done(rehearsal.CHANGES),
        show=done(0, plan(UPDATED)),
    )
    [found] = Drift(Code(valid=True), "dev").run(ctx).findings
    assert (found.rule, found.file, found.line) == ("drift", "terraform/main.tf", 3)
    assert "-lock=false" in terraform.calls[2]


def test_no_drift_is_a_success(ctx: CheckContext) -> None:
    ctx.env["AWS_PROFILE"] = "dev"
    ctx.execute = Terraform(identify=done(0, "333344445555"))
    assert Drift(Code(valid=True), "dev").run(ctx).status is Status.SUCCESS


def test_drift_wants_credentials_of_the_very_account_and_valid_code(
    ctx: CheckContext,
) -> None:
    with pytest.raises(
        MachineError, match="no AWS credentials.*log in to account 333344445555"
    ):
        Drift(Code(valid=True), "dev").run(ctx)
    ctx.env["AWS_PROFILE"] = "dev"
    ctx.execute = Terraform(identify=done(0, "999999999999"))
    with pytest.raises(LakeCiError, match="of account 999999999999, not of dev's"):
        Drift(Code(valid=True), "dev").run(ctx)
    assert Drift(Code(), "dev").run(ctx).status is Status.SKIPPED


def test_a_resource_that_is_replaced_is_both_added_and_destroyed() -> None:
    replaced = {
        "actions": ["delete", "create"],
        "before": {},
        "after": {},
        "after_unknown": {},
    }
    body = json.loads(plan(CREATED, UPDATED, replaced))
    body["resource_changes"].append(
        {"address": "data.x.y", "mode": "data", "change": {"actions": ["read"]}}
    )
    assert rehearsal.counts(body) == {"add": 2, "change": 1, "destroy": 1}


def test_options_select_environments_and_all_is_the_default() -> None:
    assert rehearsal.options([]).environments == (
        "trial",
        "dev",
        "staging",
        "production",
    )
    assert not rehearsal.options(["--rehearse"]).partial
    chosen = rehearsal.options(["--environment", "dev", "--environment", "trial"])
    assert (chosen.environments, chosen.partial) == (("trial", "dev"), True)
    assert rehearsal.options(["--drift", "staging"]).partial
    assert rehearsal.options(["--plan-only"]).partial
    with pytest.raises(UsageError, match="invalid choice: 'qa'"):
        rehearsal.options(["--environment", "qa"])
