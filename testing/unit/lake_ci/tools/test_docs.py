"""The picture of a run, drawn by a script of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lake_ci.processes import Completed
from lake_ci.results import Outcome, Status
from lake_ci.tools.docs import Picture
from lake_ci.tools.tool import Workbench

Answering = Callable[..., list[list[str]]]


def test_a_drawn_picture_is_named(bench: Workbench, answering: Answering) -> None:
    file = bench.root / "docs" / "run.svg"
    calls = answering(Completed((), 0, "", "", 0.1))
    assert Picture(file).run(bench) == Outcome(Status.SUCCESS, "wrote docs/run.svg")
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
    bench: Workbench, answering: Answering, tmp_path: Path, done: Completed, rule: str
) -> None:
    answering(done)
    outcome = Picture(tmp_path / "run.svg").run(bench)
    assert (outcome.status, outcome.findings[0].rule) == (Status.FAILURE, rule)
