"""The settings of an example project, for the tests of the image checks."""

from __future__ import annotations

import pytest

from lake_ci.checks.docker.settings import TARGETS
from lake_ci.model.settings import Docker


@pytest.fixture
def settings() -> Docker:
    return Docker(
        prefix="pond-",
        packages={"prod": "pond", "api": "pond"},
        context=("docker", "src"),
        planted=("src/.env",),
        megabytes=dict.fromkeys(TARGETS, 100.0),
        tests="testing/pond",
    )
