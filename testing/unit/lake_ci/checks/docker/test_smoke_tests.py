"""Tests how pytest runs an image's smoke tests, and which outcome is reported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from lake_ci.checks.docker.build import Images
from lake_ci.checks.docker.engine import Engine
from lake_ci.checks.docker.smoke_tests import SmokeTest
from lake_ci.model.results import Status
from lake_ci.model.settings import Docker
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed

PASSED = '<testcase classname="test_api" name="test_rows" time="1.0"/>'
SKIPPED = '<testcase name="test_end"><skipped message="no engine"/></testcase>'
FAILED = """<testcase classname="test_api" name="test_end" file="t.py" line="3">
<failure message="AssertionError: it still runs">def test_end() -&gt; None:
&gt;       assert end is not None
E       AssertionError: it still runs

testing/pond/test_api.py:41: AssertionError</failure></testcase>"""


@pytest.fixture
def images(ctx: CheckContext, settings: Docker) -> Images:
    images = Images(Engine(ctx, "0123"), ("api", "prod"), settings)
    images.ids["api"] = "sha256:0"
    return images


class Pytest:
    """A fake pytest that writes a report with these cases."""

    def __init__(self, ctx: CheckContext, code: int, *cases: str) -> None:
        self.code = code
        self.cases = cases
        self.argv: list[str] = []
        self.env: Mapping[str, str] = {}
        ctx.execute = self.execute

    def execute(
        self, argv: list[str], *, env: Mapping[str, str], **_: object
    ) -> Completed:
        self.argv, self.env = argv, env
        [junit] = [each for each in argv if each.startswith("--junit-xml=")]
        Path(junit.partition("=")[2]).write_text(
            f"<testsuites><testsuite>{''.join(self.cases)}</testsuite></testsuites>"
        )
        return Completed(tuple(argv), self.code, "what pytest printed\n", "", 1.0)


def test_image_that_was_not_built_is_skipped(ctx: CheckContext, images: Images) -> None:
    outcome = SmokeTest(images, "prod").run(ctx)
    assert (outcome.status, outcome.detail) == (Status.SKIPPED, "prod was not built")


def test_pytest_gets_the_module_of_the_image_and_its_name(
    ctx: CheckContext, images: Images
) -> None:
    ctx.posargs, ctx.workers = ("--target", "api"), 8
    started = Pytest(ctx, 0, PASSED)
    assert SmokeTest(images, "api").run(ctx).status is Status.SUCCESS
    assert started.argv[1:4] == ["-m", "pytest", "testing/pond/test_api.py"]
    assert not {"--target", "--numprocesses=8"} & set(started.argv)
    assert started.env["LAKE_CI_IMAGE"] == "lake-ci-0123/api:checked"
    assert started.env["LAKE_CI_LABEL"] == "lake-ci.checkout=0123"
    assert started.env["LAKE_CI_SCRATCH"] == str(ctx.root / ".cache/docker/run")
    assert started.env["LAKE_CI_ENGINE"] == "0123"


def test_failed_test_is_a_finding_with_its_file_and_line(
    ctx: CheckContext, images: Images, capsys: pytest.CaptureFixture[str]
) -> None:
    test = ctx.root / "testing/pond/test_api.py"
    test.parent.mkdir(parents=True)
    test.touch()
    Pytest(ctx, 1, PASSED, FAILED)
    outcome = SmokeTest(images, "api").run(ctx)
    [found] = outcome.findings
    assert outcome.status is Status.FAILURE
    assert (found.file, found.line) == ("testing/pond/test_api.py", 41)
    assert "it still runs" in found.message
    assert "what pytest printed" in capsys.readouterr().out


def test_skipped_test_weakens_the_check(ctx: CheckContext, images: Images) -> None:
    Pytest(ctx, 0, PASSED, SKIPPED)
    assert SmokeTest(images, "api").run(ctx).not_checked == "skipped: test_end"


def test_module_without_a_test_is_a_failure(ctx: CheckContext, images: Images) -> None:
    Pytest(ctx, 5)
    ctx.posargs = ("--target", "api")
    [found] = SmokeTest(images, "api").run(ctx).findings
    assert (found.rule, found.file) == ("no-tests", "testing/pond/test_api.py")
