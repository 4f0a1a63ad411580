"""Tests the outcome of a check that runs one command, for findings, crashes and
interruptions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lake_ci.errors import LakeCiError
from lake_ci.model.results import Finding, Status
from lake_ci.runner.check import Check, CheckContext, CommandCheck, crashed
from lake_ci.system.processes import Completed

Answering = Callable[..., list[list[str]]]


class Grep(CommandCheck):
    """A check whose command prints each finding as a line `file:line`. A line such as
    `odd` cannot be parsed.
    """

    name = "grep"

    def command(self, ctx: CheckContext) -> list[str]:
        return [ctx.bin("grep"), *ctx.posargs]

    def findings(self, done: Completed, ctx: CheckContext) -> Iterator[Finding]:
        for line in done.stdout.splitlines():
            file, number = line.split(":")
            yield Finding("grep", "todo", "a TODO", ctx.relative(file), int(number))


def completed(
    code: int, stdout: str = "", stderr: str = "", stopped: str | None = None
) -> Completed:
    return Completed(("grep",), code, stdout, stderr, 3.0, stopped)


def test_findings_are_a_failure_with_each_of_them(
    ctx: CheckContext, answering: Answering
) -> None:
    calls = answering(completed(1, "a.py:3\nb.py:4\n"))
    ctx.posargs = ("TODO",)
    outcome = Grep().run(ctx)
    assert (outcome.status, outcome.detail) == (Status.FAILURE, "2 findings")
    assert [finding.place for finding in outcome.findings] == ["a.py:3", "b.py:4"]
    assert calls == [[ctx.bin("grep"), "TODO"]]


def test_no_findings_and_code_zero_is_success(
    ctx: CheckContext, answering: Answering
) -> None:
    answering(completed(0))
    assert Grep().run(ctx).status is Status.SUCCESS


@pytest.mark.parametrize(
    ("done", "words"),
    [
        (completed(1), "exited with 1"),
        (completed(2, "a.py:3\n"), "exited with 2"),
        (completed(-11), "was killed by signal 11"),
        (completed(127, stderr="grep: No such file or directory"), "exited with 127"),
        (
            completed(1, "odd\n"),
            "printed unexpected output: not enough values to unpack",
        ),
        (completed(0, "odd\n"), "printed unexpected output"),
    ],
)
def test_what_the_reader_does_not_know_is_a_crash_with_the_last_lines(
    ctx: CheckContext, answering: Answering, done: Completed, words: str
) -> None:
    answering(done)
    outcome = Grep().run(ctx)
    assert outcome.status is Status.FAILURE
    [finding] = outcome.findings
    assert (finding.tool, finding.rule) == ("grep", "crash")
    assert words in outcome.detail
    assert finding.message.endswith(done.last_lines())


def test_a_crash_shows_the_end_of_a_long_output_only() -> None:
    outcome = crashed(
        "grep", completed(2, stderr="\n".join(f"line {n}" for n in range(100)))
    )
    assert outcome.findings[0].message.splitlines() == [
        "grep exited with 2",
        *(f"line {n}" for n in range(88, 100)),
    ]


@pytest.mark.parametrize(
    ("stopped", "rule", "message"),
    [
        (
            "timeout",
            "timeout",
            "stopped after 3 s: the job's time limit was reached\nstill at b.py",
        ),
        ("interrupted", "interrupted", "stopped after 3 s: interrupted"),
    ],
)
def test_a_command_that_was_cut_short_is_a_failure_whatever_it_printed(
    ctx: CheckContext, answering: Answering, stopped: str, rule: str, message: str
) -> None:
    answering(completed(0, "a.py:3\n", "still at b.py\n", stopped))
    outcome = Grep().run(ctx)
    assert outcome.status is Status.FAILURE
    assert [(finding.rule, finding.message) for finding in outcome.findings] == [
        (rule, message)
    ]


def test_paths_are_relative_to_the_repository_where_they_lie_inside(
    ctx: CheckContext, tmp_path: Path
) -> None:
    assert ctx.relative(ctx.root / "a" / "b.py") == "a/b.py"
    assert ctx.relative("a/b.py") == "a/b.py"
    assert ctx.relative(tmp_path / "elsewhere.py") == str(tmp_path / "elsewhere.py")


def test_a_tool_must_say_what_it_does(ctx: CheckContext) -> None:
    with pytest.raises(NotImplementedError):
        Check().run(ctx)
    with pytest.raises(NotImplementedError):
        CommandCheck().command(ctx)
    with pytest.raises(NotImplementedError):
        CommandCheck().findings(completed(0), ctx)


def test_a_bench_without_servers_says_so(ctx: CheckContext) -> None:
    with pytest.raises(LakeCiError, match="moto: this context cannot start servers"):
        ctx.serve(["moto"], env={})
