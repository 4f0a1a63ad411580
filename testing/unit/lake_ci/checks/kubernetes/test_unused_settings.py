"""The check reports each setting that no environment uses."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from lake_ci.checks.kubernetes.image_settings import Image, Program
from lake_ci.checks.kubernetes.kustomize import BuildOverlay
from lake_ci.checks.kubernetes.manifests import Manifest, Rendered
from lake_ci.checks.kubernetes.scans import CheckovScan
from lake_ci.checks.kubernetes.unused_settings import UnusedSettings
from lake_ci.model.job import ENVIRONMENTS
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed

PROJECT = """\
[tool.lake_ci.k8s]
secrets = [
  "tokens",
  "keys",
]

[tool.lake_ci.k8s.images]
shop-api = { program = "shop" }
shop = { program = "shop" }

[tool.lake_ci.k8s.accepted]
CKV_K8S_15 = "a reason"
"""


@pytest.fixture
def ctx(ctx: CheckContext) -> CheckContext:
    (ctx.root / "pyproject.toml").write_text(PROJECT)
    return ctx


def pod(image: str, secret: str) -> Manifest:
    spec = {
        "containers": [{"name": "one", "image": f"registry/{image}:1"}],
        "volumes": [{"name": "one", "secret": {"secretName": secret}}],
    }
    return Manifest({"kind": "Pod", "metadata": {"name": "one"}, "spec": spec})


class Scanned(CheckovScan):
    """Fakes a scan that reports violations of the rules in `broken`. If `broken` is
    None, the scan itself fails.
    """

    def __init__(
        self, builds: Sequence[BuildOverlay], broken: Sequence[str] | None
    ) -> None:
        super().__init__(builds)
        self.broken = broken

    def done(self, ctx: CheckContext) -> Completed:
        failed = [{"rule": rule} for rule in self.broken or ()]
        stdout = json.dumps({"failed": failed})
        return Completed(("python",), int(self.broken is None), stdout, "", 0.1)


def checked(
    ctx: CheckContext,
    *built: Manifest | None,
    broken: Sequence[str] | None = ("CKV_K8S_15",),
) -> Outcome:
    """Return the outcome for environments with these pods, one pod per environment. If
    a pod is None, its environment was not built. If there are fewer pods than
    environments, the last environments have no pod.
    """
    builds = [BuildOverlay(name) for name in ENVIRONMENTS]
    for number, build in enumerate(builds):
        manifests = built[number : number + 1]
        pods = tuple(each for each in manifests if each)
        missing = None in manifests
        build.result.set(
            None if missing else Rendered(build.environment, "made.yaml", pods)
        )
    shop = Image(Program("shop", frozenset()))
    images = {"shop-api": shop, "shop": shop}
    return UnusedSettings(Scanned(builds, broken), images).run(ctx)


def test_what_any_environment_has_is_used(ctx: CheckContext) -> None:
    outcome = checked(ctx, pod("shop-api", "tokens"), pod("shop", "keys"))
    assert (outcome.status, outcome.findings) == (Status.SUCCESS, ())
    assert outcome.detail == "2 images, 2 Secrets, 1 accepted rule"


def test_an_image_and_a_secret_that_no_environment_has_are_found(
    ctx: CheckContext,
) -> None:
    outcome = checked(ctx, pod("shop-api", "tokens"))
    assert [(each.rule, each.file, each.line) for each in outcome.findings] == [
        ("unused-image", "pyproject.toml", 9),
        ("unused-secret", "pyproject.toml", 4),
    ]
    assert [each.message for each in outcome.findings] == [
        "no environment runs the image 'shop'",
        "no environment uses the Secret 'keys'",
    ]


def test_an_accepted_rule_that_no_environment_breaks_is_found(
    ctx: CheckContext,
) -> None:
    pods = pod("shop-api", "tokens"), pod("shop", "keys")
    [found] = checked(ctx, *pods, broken=["CKV_K8S_43"]).findings
    assert (found.rule, found.file, found.line) == (
        "unused-rule",
        "pyproject.toml",
        12,
    )
    assert "CKV_K8S_15" in found.message
    assert checked(ctx, *pods, broken=None).status is Status.SKIPPED


def test_a_part_of_the_environments_is_not_judged(ctx: CheckContext) -> None:
    one = UnusedSettings(CheckovScan([BuildOverlay("dev")]), {}).run(ctx)
    assert one.status is Status.SKIPPED
    assert checked(ctx, pod("shop", "keys"), None).status is Status.SKIPPED
