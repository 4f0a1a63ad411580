"""Tests that the check of the Kubernetes manifests knows all environment variables that
lakekit and its API read.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if sys.version_info < (3, 10):
    pytest.skip("lake_ci needs Python 3.10", allow_module_level=True)

from lake_ci.checks.kubernetes.declared_variables import variables

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).parents[3]


def declared(program: str) -> frozenset[str]:
    """Return the variables that the manifest check finds in the code of a program."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    table = project["tool"]["lake_ci"]["k8s"]["programs"][program]
    return variables(REPOSITORY, table["code"], table["settings"])


def test_variables_of_lakekit_and_its_api_are_found() -> None:
    lake = declared("lakekit")
    assert {"LAKEKIT_SOURCE", "LAKEKIT_SCRATCH", "AWS_REGION"} <= lake
    api = {"LAKEKIT_API_TOKENS", "LAKEKIT_API_TOKENS_FILE", "LAKEKIT_API_GRACE"}
    assert api <= declared("lakekit-api")
