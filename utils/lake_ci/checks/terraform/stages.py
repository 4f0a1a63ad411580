"""Creates all checks of `terraform/`, in the order of their dependencies."""

from __future__ import annotations

from lake_ci.checks.terraform import accounts as aws
from lake_ci.checks.terraform.checkov import Checkov
from lake_ci.checks.terraform.code import (
    Code,
    Fmt,
    Init,
    UnitTests,
    Validate,
    Variables,
)
from lake_ci.checks.terraform.plan import Drift, EnvironmentPlan, TerraformOptions
from lake_ci.checks.terraform.policy import Policy
from lake_ci.runner.check import CheckContext, Stages


def stages(ctx: CheckContext, chosen: TerraformOptions) -> Stages:
    """Yield the checks of the chosen environments, stage by stage.

    The moto server ends when the iterator is closed.
    """
    code = Code()
    yield [Init(code), Fmt(), Variables(), Validate(code)]
    if chosen.drift:
        yield [Drift(code, chosen.drift)]
        return
    environments = chosen.environments if code.valid else ()
    with aws.accounts(ctx, environments, rehearse=chosen.rehearse) as accounts:
        plans = [
            EnvironmentPlan(code, name, accounts.get(name), plan_only=chosen.plan_only)
            for name in chosen.environments
        ]
        unit = UnitTests(code, after=[plan.folder for plan in plans])
        yield [*plans, unit, Checkov(plans), Policy(plans)]
