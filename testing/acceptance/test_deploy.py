"""Tests that `nox -s deploy` deploys to the emulator, reports if there is nothing to
do, and refuses to change objects that it does not know.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lake_ci.model.results import Status
from testing.acceptance.conftest import Checkout

ENTRY = "files/Volumes/spark_catalog/lakekit/artifacts/lakekit/trial/ledger/000001.json"


@pytest.fixture(scope="module")
def built(original: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return a copy of the repository. All files are committed, and the wheel is
    built.
    """
    checkout = original.copy(tmp_path_factory.mktemp("built") / "repository")
    checkout.commit()
    # Make a second commit, because the version number of the first commit would not
    # contain the commit's hash.
    checkout.write("NOTES", "A second commit.\n")
    checkout.commit()
    assert checkout.nox("-s", "build").code == 0
    return checkout


def test_nothing_is_deployed_that_was_not_built(
    original: Checkout, tmp_path: Path
) -> None:
    checkout = original.copy(tmp_path / "repository")
    checkout.commit()
    ran = checkout.nox("-s", "deploy")
    ran.assert_only("deploy", failed={"artifacts"}, rows={"artifacts"})
    assert "`nox -s build`" in ran.check("deploy", "artifacts").findings[0].message


def test_real_environment_without_credentials_is_refused_before_anything(
    built: Checkout,
) -> None:
    ran = built.nox("-s", "deploy", "--", "--environment", "production")
    ran.assert_only(
        "deploy",
        failed={"workspace", "deploy"},
        rows={"artifacts", "attestation", "reviewed", "workspace", "deploy"},
        skipped={"attestation"},
    )
    message = ran.check("deploy", "workspace").findings[0].message
    assert "production" in message
    assert "DATABRICKS_HOST" in message and "DATABRICKS_TOKEN" in message


def test_a_commit_that_is_not_on_main_is_not_deployed_to_production(
    built: Checkout,
) -> None:
    built.git("checkout", "--quiet", "-b", "topic")
    built.git("branch", "--force", "main", "HEAD~1")
    ran = built.nox("-s", "deploy", "--", "--environment", "production")
    built.git("branch", "--force", "main", "topic")
    rows = {"artifacts", "attestation", "reviewed"}
    ran.assert_only("deploy", failed={"reviewed"}, rows=rows, skipped={"attestation"})
    assert ran.check("deploy", "reviewed").findings[0].rule == "unreviewed"


def test_trial_holds_the_expected_tables_and_a_second_one_changes_nothing(
    built: Checkout,
) -> None:
    ran = built.nox("-s", "deploy")
    assert ran.code == 0, ran.output
    row = ran.check("deploy", "gold")
    assert row.status is Status.SUCCESS
    # If an environment has a sample, the deployed tables are compared with the tables
    # of a run on this machine.
    assert ran.check("deploy", "sample").status is Status.SUCCESS
    entry = json.loads(
        (built.root / ".cache" / "trial" / ENTRY).read_text(encoding="utf-8")
    )
    [wheel] = (built.root / "dist").glob("*.whl")
    assert (
        entry["folder"].split("/")[-2] == entry["version"] == wheel.name.split("-")[1]
    )
    assert sum(table["rows"] for table in entry["gold"].values()) > 0
    assert all(
        f"{name} {table['rows']:,}" in row.detail
        for name, table in entry["gold"].items()
    )

    again = built.nox("-s", "deploy")
    assert again.code == 0, again.output
    assert entry["version"] in again.check("deploy", "compare").detail
    assert again.check("deploy", "deploy").detail == "unchanged"
    assert (
        not (built.root / ".cache" / "trial" / ENTRY).with_name("000002.json").exists()
    )

    status = built.nox("-s", "deploy", "--", "--status")
    assert status.code == 0 and f"version      {entry['version']}" in status.output
    assert status.result("deploy").partial
    built.nox("-s", "deploy", "--", "--history", "--tear-down")
    assert not (built.root / ".cache" / "trial").exists()
