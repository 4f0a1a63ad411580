"""Tests the separate script that draws the picture of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lake_ci.checks.docs import Picture, Screenshots
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed

Answering = Callable[..., list[list[str]]]


def test_a_drawn_picture_is_named(ctx: CheckContext, answering: Answering) -> None:
    file = ctx.root / "docs" / "run.svg"
    calls = answering(Completed((), 0, "", "", 0.1))
    assert Picture(file).run(ctx) == Outcome(Status.SUCCESS, "wrote docs/run.svg")
    assert calls[0][1:3] == ["scripts/draw_run.py", str(file)]
    assert file.parent.is_dir()


@pytest.mark.parametrize(
    ("done", "rule"),
    [
        (Completed((), 1, "", "no terminal", 0.1), "crash"),
        (Completed((), -15, "", "", 0.1, "timeout"), "timeout"),
    ],
)
def test_a_picture_that_was_not_drawn_is_a_failure(
    ctx: CheckContext, answering: Answering, tmp_path: Path, done: Completed, rule: str
) -> None:
    answering(done)
    outcome = Picture(tmp_path / "run.svg").run(ctx)
    assert (outcome.status, outcome.findings[0].rule) == (Status.FAILURE, rule)


def test_screenshots_of_the_last_report_are_stored_by_name(
    ctx: CheckContext, answering: Answering
) -> None:
    (ctx.root / "reports" / "index.html").write_text("a report", encoding="utf-8")

    def take(argv: list[str]) -> Completed:
        for name in ("desktop.png", "desktop-dark.png", "phone.png", "phone-dark.png"):
            Path(argv[-1], name).write_text(name, encoding="utf-8")
        return Completed((), 0, "", "", 0.1)

    answering(take)
    folder = ctx.root / "pictures"
    assert Screenshots(folder).run(ctx) == Outcome(Status.SUCCESS, "wrote 3 pictures")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "report.png": "desktop.png",
        "report-dark.png": "desktop-dark.png",
        "report-phone.png": "phone.png",
    }


def test_without_a_report_there_is_nothing_to_take(ctx: CheckContext) -> None:
    assert Screenshots(ctx.root / "pictures").run(ctx).status is Status.SKIPPED


def test_a_browser_that_fails_is_a_failure(
    ctx: CheckContext, answering: Answering
) -> None:
    (ctx.root / "reports" / "index.html").write_text("a report", encoding="utf-8")
    answering(Completed((), 3, "", "no Chromium: run `apt-get install chromium`", 0.1))
    outcome = Screenshots(ctx.root / "pictures").run(ctx)
    assert outcome.status is Status.FAILURE
    assert "apt-get install chromium" in outcome.findings[0].message
