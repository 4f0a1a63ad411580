"""Tests the comparison of the manifests of staging and production."""

from __future__ import annotations

from typing import Any

import pytest

from lake_ci.checks.kubernetes.environment_parity import EnvironmentParity
from lake_ci.checks.kubernetes.kustomize import BuildOverlay
from lake_ci.checks.kubernetes.manifests import Manifest, Rendered
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import CheckContext

ACCOUNTS = {"staging": "222233334444", "production": "111122223333"}


@pytest.fixture
def ctx(ctx: CheckContext) -> CheckContext:
    (ctx.root / "pyproject.toml").write_text(
        '[tool.lake_ci.k8s]\nmay_differ = ["*.spec.maxReplicas"]\n'
    )
    folder = ctx.root / "terraform" / "environments"
    folder.mkdir(parents=True)
    for name, account in ACCOUNTS.items():
        (folder / f"{name}.tfvars").write_text(f'account_id = "{account}"\n')
    return ctx


def environment(name: str, digest: str, **spec: Any) -> Rendered:
    """Return the rendered objects of an environment. The values of `name` and `digest`
    are different in every environment.
    """
    config = f"settings-{digest}"
    data = {"LAKE": f"s3://lake-{name}-{ACCOUNTS[name]}"}
    places = {
        (): (f"k8s/{name}.yaml", 1),
        ("spec", "minReplicas"): (f"k8s/{name}.yaml", 5),
    }
    return Rendered(
        name,
        "made.yaml",
        (
            Manifest(
                {"kind": "ConfigMap", "metadata": {"name": config}, "data": data},
                places,
            ),
            Manifest(
                {
                    "kind": "Scaler",
                    "metadata": {"name": "api"},
                    "spec": {"config": config, **spec},
                },
                places,
            ),
        ),
    )


def compared(ctx: CheckContext, *built: Rendered | None) -> Outcome:
    builds = [BuildOverlay("staging"), BuildOverlay("production")]
    for build, rendered in zip(builds, built):
        build.result.set(rendered)
    return EnvironmentParity(builds).run(ctx)


def test_names_accounts_hashes_and_what_is_declared_may_differ(
    ctx: CheckContext,
) -> None:
    staging = environment("staging", "abcdefghij", maxReplicas=2, minReplicas=1)
    production = environment("production", "0123456789", maxReplicas=9, minReplicas=1)
    outcome = compared(ctx, staging, production)
    assert (outcome.status, outcome.findings) == (Status.SUCCESS, ())


def test_every_other_difference_is_placed_in_production(ctx: CheckContext) -> None:
    outcome = compared(
        ctx,
        environment("staging", "abcdefghij", minReplicas=1, pause=3, maxReplicas=1),
        environment("production", "0123456789", minReplicas=2, maxReplicas=2),
    )
    assert [(each.file, each.line) for each in outcome.findings] == [
        ("k8s/production.yaml", 5),
        ("k8s/staging.yaml", 1),
    ]
    assert (
        "Scaler.api.spec.minReplicas is 1 in staging and 2 in production"
        in outcome.findings[0].message
    )
    assert (
        "Scaler.api.spec.pause is 3 in staging and nothing in production"
        in outcome.findings[1].message
    )


def test_a_pattern_that_no_value_matches_is_named_with_its_line(
    ctx: CheckContext,
) -> None:
    outcome = compared(
        ctx,
        environment("staging", "abcdefghij", minReplicas=1),
        environment("production", "0123456789", minReplicas=1),
    )
    [finding] = outcome.findings
    assert (finding.rule, finding.file, finding.line) == (
        "unmatched",
        "pyproject.toml",
        2,
    )
    assert "no value matches '*.spec.maxReplicas'" in finding.message


def test_a_part_is_not_compared(ctx: CheckContext) -> None:
    assert EnvironmentParity([BuildOverlay("dev")]).run(ctx).status is Status.SKIPPED
    assert (
        compared(ctx, None, environment("production", "0123456789")).status
        is Status.SKIPPED
    )
