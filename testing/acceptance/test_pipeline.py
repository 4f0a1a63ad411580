"""Tests `nox` without arguments, from event to exit code, in a repository with two
jobs. The path of the repository has blanks, quotes and umlauts.
"""

from __future__ import annotations

import os
import subprocess

from lake_ci.model.results import Status, read
from testing.acceptance.conftest import LIMIT, Checkout, Lifeline, Ran, Start

# A job that reports its start, and ends when the test requests it.
GATED = """
with open("begun", "w") as begun:
    print("begun", file=begun)
with open("gate") as gate:
    gate.readline()
"""
ABSENT = "3.19"


def run(checkout: Checkout, *arguments: str, strict: bool = False) -> Ran:
    """Run nox with environments in the checkout. nox must not download Python."""
    env = {"LAKE_CI_STRICT": "1" if strict else "", "NOX_DOWNLOAD_PYTHON": "never"}
    return checkout.nox(*arguments, env=env, envdir=checkout.root / ".nox")


def test_all_jobs_pass(small: Checkout) -> None:
    ran = run(small)
    assert ran.code == 0, ran.output
    first, second = ran.result("first"), ran.result("second")
    assert first.status is second.status is Status.SUCCESS
    assert first.run == second.run
    assert (first.event, first.dirty, first.partial) == ("push", False, False)
    assert first.commit == second.commit is not None
    assert "2 passed" in ran.output


def test_a_failed_need_keeps_its_dependents_from_running(small: Checkout) -> None:
    small.write("first.py", "raise SystemExit('not today')\n")
    small.write("second.py", "open('second-ran', 'w').close()\n")
    ran = run(small)
    assert ran.code == 1, ran.output
    assert ran.rows("first") == {"first": "failure"}
    assert "not today" in ran.finding("first", "first", "crash").message
    second = ran.result("second")
    assert (second.status, second.cause) == (Status.SKIPPED, "need-failed")
    assert not (small.root / "second-ran").exists()
    assert "nox -s first" in ran.output


def test_a_missing_interpreter_is_a_warning_and_the_other_variant_runs(
    small: Checkout,
) -> None:
    small.replace(
        "noxfile.py",
        "@suite.job(needs=[first], ",
        f'@suite.job(pythons=["3.11", "{ABSENT}"], ',
    )
    ran = run(small)
    assert ran.code == 0, ran.output
    assert ran.result("first").status is Status.SUCCESS
    assert ran.result("second-3.11").status is Status.SUCCESS
    assert ran.rows(f"second-{ABSENT}") == {"interpreter": "warning"}
    check = ran.check(f"second-{ABSENT}", "interpreter")
    assert f"uv python install {ABSENT}" in (check.not_checked or "")


def test_a_missing_interpreter_is_a_failure_where_the_run_is_strict(
    small: Checkout,
) -> None:
    small.replace(
        "noxfile.py",
        "@suite.job(needs=[first], ",
        f'@suite.job(pythons=["3.11", "{ABSENT}"], ',
    )
    ran = run(small, strict=True)
    assert ran.code == 1, ran.output
    assert ran.result("second-3.11").status is Status.SUCCESS
    assert ran.rows(f"second-{ABSENT}") == {"interpreter": "failure"}


def test_a_second_pipeline_in_the_same_checkout_waits_for_the_first(
    small: Checkout, start: Start
) -> None:
    small.write("first.py", GATED)
    begun = Lifeline(small.root / "begun")
    os.mkfifo(small.root / "gate")
    with open(small.root / "gate", "r+b", buffering=0) as gate:
        one = start(small)
        begun.wait_for(1, LIMIT)
        two = start(small)
        assert f"process {one.pid}," in waiting_line(two)
        gate.write(b"go\n")
        said = output(one)
        assert (one.returncode, "2 passed" in said) == (0, True), said
        begun.wait_for(2, LIMIT)
        earlier = read(small.root / "reports" / "second")
        gate.write(b"go\n")
        said = output(two)
        assert (two.returncode, "2 passed" in said) == (0, True), said
    later = [read(small.root / "reports" / job) for job in ("first", "second")]
    assert {result.status for result in [earlier, *later]} == {Status.SUCCESS}
    assert later[0].run == later[1].run != earlier.run


def waiting_line(process: subprocess.Popen[str]) -> str:
    """Read the output up to the line in which a pipeline reports that it waits, and
    return this line.
    """
    assert process.stdout is not None
    return next(
        line
        for line in process.stdout
        if line.startswith("waiting for ") and "process " in line
    )


def output(process: subprocess.Popen[str]) -> str:
    """Wait until nox ends, and return the rest of its output."""
    assert process.stdout is not None
    text = process.stdout.read()
    process.wait()
    return text
