"""Settings that name what no environment has are findings."""

from __future__ import annotations

import pytest

from lake_ci.checks.kubernetes.image_settings import Image, Program
from lake_ci.checks.kubernetes.kustomize import Build
from lake_ci.checks.kubernetes.manifests import Manifest, Rendered
from lake_ci.checks.kubernetes.unused_settings import UnusedSettings
from lake_ci.model.job import ENVIRONMENTS
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import Workbench

PROJECT = """\
[tool.lake_ci.k8s]
secrets = [
  "tokens",
  "keys",
]

[tool.lake_ci.k8s.images]
shop-api = { program = "shop" }
shop = { program = "shop" }
"""


@pytest.fixture
def bench(bench: Workbench) -> Workbench:
    (bench.root / "pyproject.toml").write_text(PROJECT)
    return bench


def pod(image: str, secret: str) -> Manifest:
    spec = {
        "containers": [{"name": "one", "image": f"registry/{image}:1"}],
        "volumes": [{"name": "one", "secret": {"secretName": secret}}],
    }
    return Manifest({"kind": "Pod", "metadata": {"name": "one"}, "spec": spec})


def checked(bench: Workbench, *made: Manifest | None) -> Outcome:
    """The row where the first environments have these pods, and the others none."""
    builds = [Build(name) for name in ENVIRONMENTS]
    for number, build in enumerate(builds):
        manifests = made[number : number + 1]
        pods = tuple(each for each in manifests if each)
        missing = None in manifests
        build.made.set(
            None if missing else Rendered(build.environment, "made.yaml", pods)
        )
    shop = Image(Program("shop", frozenset()))
    images = {"shop-api": shop, "shop": shop}
    return UnusedSettings(builds, images).run(bench)


def test_what_any_environment_has_is_used(bench: Workbench) -> None:
    outcome = checked(bench, pod("shop-api", "tokens"), pod("shop", "keys"))
    assert (outcome.status, outcome.findings) == (Status.SUCCESS, ())
    assert outcome.detail == "2 images, 2 Secrets"


def test_an_image_and_a_secret_that_no_environment_has_are_found(
    bench: Workbench,
) -> None:
    outcome = checked(bench, pod("shop-api", "tokens"))
    assert [(each.rule, each.file, each.line) for each in outcome.findings] == [
        ("unused-image", "pyproject.toml", 9),
        ("unused-secret", "pyproject.toml", 4),
    ]
    assert [each.message for each in outcome.findings] == [
        "no environment runs the image 'shop'",
        "no environment uses the Secret 'keys'",
    ]


def test_a_part_of_the_environments_is_not_judged(bench: Workbench) -> None:
    one = UnusedSettings([Build("dev")], {}).run(bench)
    assert one.status is Status.SKIPPED
    assert checked(bench, pod("shop", "keys"), None).status is Status.SKIPPED
