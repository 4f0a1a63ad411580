"""A session only overwrites files that it generated."""

from __future__ import annotations

from pathlib import Path

import pytest

from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import CheckContext
from lake_ci.runner.generated_file import FOREIGN, Generated

TABLE = Generated("docs/table.md", session="table", source="data.csv")
TEXT = f"{TABLE.first_line}\nnew\n"
OWN = b"# My table\r\nby hand\n"


def before(ctx: CheckContext, content: bytes) -> Path:
    path = ctx.root / TABLE.file
    path.parent.mkdir()
    path.write_bytes(content)
    return path


def test_a_missing_file_is_written_and_then_unchanged(ctx: CheckContext) -> None:
    assert TABLE.foreign("table", ctx) is None
    written = TABLE.write("table", ctx, TEXT)
    assert written == Outcome(Status.SUCCESS, "wrote docs/table.md")
    assert (ctx.root / TABLE.file).read_text() == TEXT
    assert TABLE.write("table", ctx, TEXT).detail == "unchanged"


@pytest.mark.parametrize("content", [b"", TEXT.replace("new", "old").encode()])
def test_an_own_or_empty_file_is_overwritten(ctx: CheckContext, content: bytes) -> None:
    path = before(ctx, content)
    assert TABLE.write("table", ctx, TEXT).status is Status.SUCCESS
    assert path.read_text() == TEXT


@pytest.mark.parametrize("content", [OWN, b"\n" + TEXT.encode(), b"\xff\xfe\x00"])
def test_a_file_of_somebody_else_stays(ctx: CheckContext, content: bytes) -> None:
    path = before(ctx, content)
    outcome = TABLE.write("table", ctx, TEXT)
    [finding] = outcome.findings
    assert (outcome.status, finding.rule) == (Status.FAILURE, FOREIGN)
    assert finding.place == "docs/table.md:1"
    assert finding.message == (
        "`nox -s table` did not generate this file and does not overwrite it: move it "
        "away and run `nox -s table`, or run `nox -s table -- --force`"
    )
    assert path.read_bytes() == content


def test_force_replaces_a_file_of_somebody_else(ctx: CheckContext) -> None:
    path = before(ctx, OWN)
    ctx.posargs = ("--force",)
    assert TABLE.write("table", ctx, TEXT).detail == "wrote docs/table.md"
    assert path.read_text() == TEXT
