"""The overlays satisfy the rules of this lake, so that settings that lakekit would
reject at runtime are found before an apply.

`nox -s k8s` runs these tests over the rendered overlays.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lake_ci.checks.kubernetes.manifests import Manifest, Rendered

# The session sets this variable in `utils/lake_ci/checks/kubernetes/overlay_tests.py`.
VARIABLE = "LAKE_CI_RENDERED"
ENGINE = "LAKEKIT_ENGINE"
LAKE = "LAKEKIT_LAKE"
Fail = Callable[[Manifest, str, str], None]


def rendered() -> list[Rendered]:
    """Return the environments that the session rendered."""
    files = os.environ.get(VARIABLE)
    if not files:
        raise pytest.UsageError(
            f"{VARIABLE} names no rendered manifests; run `nox -s k8s`"
        )
    return [
        Rendered.from_json(path.parent.name, str(path), path.read_text("utf-8"))
        for path in map(Path, files.split(os.pathsep))
    ]


@pytest.fixture
def fail(record_property: Callable[[str, object], None]) -> Fail:
    """Return a function that fails the test at the line of a ConfigMap's key."""

    def at(config: Manifest, key: str, message: str) -> None:
        file, line = config.place(("data", key))
        record_property("place", f"{file}:{line}")
        pytest.fail(f"{config.id}: {message}", pytrace=False)

    return at


@pytest.mark.parametrize("environment", rendered(), ids=lambda each: each.environment)
def test_spark_has_no_lake_in_a_bucket(environment: Rendered, fail: Fail) -> None:
    """Outside Databricks, Spark has no log store with put-if-absent on S3."""
    configs = [each for each in environment.of("ConfigMap") if each.get("data", ENGINE)]
    assert configs, f"no ConfigMap of {environment.environment} has {ENGINE}"
    for config in configs:
        in_bucket = str(config.get("data", LAKE)).startswith("s3")
        if config.get("data", ENGINE) == "spark" and in_bucket:
            fail(
                config,
                ENGINE,
                "Spark writes to no lake on S3 outside Databricks;"
                " the engine there is `embedded`",
            )
