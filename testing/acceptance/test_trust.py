"""Seeds a forged cached result, a leaked secret, hostile text, a developer's options
and ambiguous workspace settings.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from testing.acceptance.conftest import Checkout, Ran

SECRET = "canary-0a1b2c3d4e"
HOSTILE = "@octocat fixes #12 \x1b[31m\u202e![x](http://x.invalid/y.png)"


def run(checkout: Checkout, cache: str = "off", **env: str) -> Ran:
    """Run nox with environments in the checkout."""
    env |= {"LAKE_CI_CACHE": cache, "NOX_DOWNLOAD_PYTHON": "never"}
    return checkout.nox(env=env, envdir=checkout.root / ".nox")


def test_forged_result_is_not_reused(small: Checkout) -> None:
    assert run(small, cache="").code == 0
    assert run(small, cache="").result("second").reused is not None
    forged = 0
    for manifest in small.root.glob(".cache/results/**/manifest.json"):
        text = manifest.read_text(encoding="utf-8")
        manifest.write_text(text.replace('"seconds"', '"second_s"'), encoding="utf-8")
        forged += 1
    assert forged == 2
    ran = run(small, cache="")
    assert ran.code == 0, ran.output
    assert ran.result("first").reused is ran.result("second").reused is None
    assert "manifest.json is corrupt, or another account wrote it" in ran.output


def test_secret_reaches_no_tool_and_no_output(small: Checkout) -> None:
    small.write(
        "first.py",
        "import os\n"
        "assert 'SERVICE_TOKEN' not in os.environ, 'the tool got a secret'\n"
        f"raise SystemExit('leaked {SECRET}')\n",
    )
    ran = run(small, SERVICE_TOKEN=f"{SECRET}\n")
    assert "leaked [hidden]" in ran.finding("first", "first", "crash").message
    assert SECRET not in ran.output
    written = [path for path in small.root.glob("reports/**/*") if path.is_file()]
    assert written
    assert [path for path in written if SECRET.encode() in path.read_bytes()] == []


def test_hostile_text_is_only_text(small: Checkout) -> None:
    small.write("first.py", f"raise SystemExit({'::error::x ' + HOSTILE!r})\n")
    ran = run(small)
    assert ran.rows("first") == {"first": "failure"}
    assert "\x1b[31m" not in ran.output and "\u202e" not in ran.output
    assert not re.search(r"^::error::x", ran.output, re.MULTILINE)
    text = (small.root / "reports" / "summary.md").read_text(encoding="utf-8")
    assert "octocat" in text
    assert not re.search(r"(?<![\w`])@octocat", text)
    assert not re.search(r"!\[x\]\(http", text)


def test_options_of_a_developer_have_no_effect(original: Checkout) -> None:
    original.commit()
    ran = original.nox(
        *(
            "-s",
            "tests-3.11(java17)",
            "--",
            "testing/unit/lakekit/cli/test_progress.py",
        ),
        env={"PYTEST_ADDOPTS": "-k nothing", "PYTHONPATH": "/nowhere"},
    )
    assert ran.code == 0 and "2 passed" in ran.output, ran.output


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "      host: ",
            "      host: https://first.invalid\n      host: ",
            "databricks.yml:70: the key 'host' is also in line 69",
        ),
        ("//lakekit-dev.", "//lakekit-other.", "lakekit-other"),
    ],
    ids=["double key", "other host"],
)
def test_ambiguous_or_wrong_workspace_is_refused(
    original: Checkout, tmp_path: Path, old: str, new: str, message: str
) -> None:
    checkout = original.copy(tmp_path / "repository")
    text = (checkout.root / "databricks.yml").read_text(encoding="utf-8")
    [host] = re.findall(r"https://lakekit-dev\.\S+", text)
    checkout.write("databricks.yml", text.replace(old, new, 1))
    checkout.commit()
    ran = checkout.nox(
        *("-s", "deploy", "--", "--environment", "dev", "--status"),
        env={"DATABRICKS_HOST": host, "DATABRICKS_TOKEN": SECRET},
    )
    assert ran.code == 1, ran.output
    findings = [found for row in ran.result("deploy").checks for found in row.findings]
    assert any(message in found.message for found in findings), ran.output
    assert SECRET not in ran.output
