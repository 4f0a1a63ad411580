"""The check of the manifests finds the variables that lakekit and its API read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if sys.version_info < (3, 10):
    pytest.skip("lake_ci needs Python 3.10", allow_module_level=True)

from lake_ci.checks.kubernetes.declared_variables import known

REPOSITORY = Path(__file__).parents[3]


def test_variables_of_lakekit_and_its_api_are_found() -> None:
    found = known(REPOSITORY)
    assert {"LAKEKIT_SOURCE", "LAKEKIT_SCRATCH", "AWS_REGION"} <= found["lakekit"]
    api = {"LAKEKIT_API_TOKENS", "LAKEKIT_API_TOKENS_FILE", "LAKEKIT_API_GRACE"}
    assert api <= found["lakekit-api"]
