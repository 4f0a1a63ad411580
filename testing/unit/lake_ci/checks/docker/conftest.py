"""Settings of a separate project."""

from __future__ import annotations

import pytest

from lake_ci.checks.docker.settings import TARGETS, Settings


@pytest.fixture
def settings() -> Settings:
    return Settings(
        prefix="pond-",
        packages={"prod": "pond", "api": "pond"},
        context=("docker", "src"),
        planted=("src/.env",),
        megabytes=dict.fromkeys(TARGETS, 100.0),
        tests="testing/pond",
    )
