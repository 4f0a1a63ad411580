"""A real nox runs the whole graph of small noxfiles."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lake_ci.model import results
from lake_ci.model.events import Event, Plan
from lake_ci.model.job import Job, Variant
from lake_ci.model.results import CheckResult, Result, Status
from lake_ci.pipeline import github_issue, pipeline
from lake_ci.pipeline.pipeline import Pipeline
from lake_ci.runner.run import Run
from lake_ci.runner.suite import Suite

if TYPE_CHECKING:
    from testing.unit.lake_ci.conftest import Nox

THIS = f"{sys.version_info[0]}.{sys.version_info[1]}"
GRAPH = '''
@suite.job(python=None)
def lint(run):
    """Find something."""
    run.check(Shell("exit 1"))


@suite.job(python=None)
def security(run):
    """Find nothing."""
    run.check(Shell("true"))


@suite.job(needs=[lint], python=None, javas=["11", "17"])
def tests(run):
    """Never run."""
    run.check(Shell("touch tests-ran"))


@suite.job(needs=[tests, security], python=None)
def build(run):
    """Never run either."""
    run.check(Shell("touch build-ran"))


@suite.job(pythons=["3.99"])
def future(run):
    """Ask for a Python that is not there."""
    run.check(Shell("true"))


@suite.job(needs=[future], python=None)
def after(run):
    """Run all the same where the missing Python is but a warning."""
    run.check(Shell("true"))


@suite.job(python=None)
def dies(run):
    """Leave no result."""
    os._exit(3)


@suite.job(needs=[build], events=["push:main"], python=None)
def deploy(run):
    """Run on another event."""
    run.check(Shell("touch deploy-ran"))
'''
TWO = '''
@suite.job(python=None)
def lint(run):
    """Do as the environment says."""
    run.check(Shell(os.environ.get("LINT", "echo $LAKE_CI_RUN$LAKE_CI_PLAN")))


@suite.job(needs=[lint], python=None)
def tests(run):
    """Test."""
    run.check(Shell("touch tests-ran"))
'''


@pytest.fixture
def two(nox_run: Nox) -> Nox:
    nox_run.write(TWO)
    return nox_run


def test_a_failed_need_skips_its_dependents_and_nothing_else(nox_run: Nox) -> None:
    nox_run.write(GRAPH)
    code, output = nox_run.run("--", "--plain")
    assert code == 1, output
    assert nox_run.statuses() == {
        "lint": ("failure", None),
        "security": ("success", None),
        "tests(java11)": ("skipped", "need-failed"),
        "tests(java17)": ("skipped", "need-failed"),
        "build": ("skipped", "need-failed"),
        "future-3.99": ("warning", None),
        "after": ("success", None),
        "dies": ("failure", "no-environment"),
    }
    assert not list(nox_run.root.glob("*-ran"))

    assert "lint" in nox_run.result("tests-java17").checks[0].detail
    assert "tests(java11)" in nox_run.result("build").checks[0].detail
    assert (
        len({result.run for result in map(nox_run.result, ("lint", "build", "dies"))})
        == 1
    )
    [check] = nox_run.result("future-3.99").checks
    assert "`uv python install 3.99`" in (check.not_checked or "")

    assert "uv python install 3.99" in output
    assert re.search(r"^.*\bdeploy\b.*\bmain$", output, re.MULTILINE)
    assert re.search(r" nox -s lint$", output, re.MULTILINE)
    assert re.search(
        r" 2 passed, .* 2 failed, .* 1 with warnings, .* 4 skipped$",
        output,
        re.MULTILINE,
    )


def test_a_green_run_ends_with_0_and_tells_its_tools_nothing_of_the_suite(
    two: Nox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert two.here("--", "--plain") == 0
    assert two.statuses() == {"lint": ("success", None), "tests": ("success", None)}
    assert two.result("lint").checks[0].detail == ""
    assert (two.root / "tests-ran").exists()
    output = capsys.readouterr().out
    assert output.startswith("Simulating pull_request on feature")
    assert re.search(r" 2 passed$", output, re.MULTILINE)


def test_strict_makes_a_missing_python_a_failure(
    nox_run: Nox, monkeypatch: pytest.MonkeyPatch
) -> None:
    nox_run.write(GRAPH)
    monkeypatch.setenv("LAKE_CI_STRICT", "1")
    assert nox_run.here("--", "--plain", "--only", "future,after") == 1
    assert nox_run.statuses() == {
        "future-3.99": ("failure", None),
        "after": ("skipped", "need-failed"),
    }
    [check] = nox_run.result("future-3.99").checks
    assert (check.name, "3.99" in check.detail) == ("interpreter", True)
    assert "`uv python install 3.99`" in check.findings[0].message


def test_only_runs_a_job_whose_needs_are_not_run(
    two: Nox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINT", "exit 1")
    assert two.here("--", "--plain", "--only", "tests") == 0
    assert two.statuses() == {"tests": ("success", None)}


def test_skipped_job_skips_its_dependents_so_that_nothing_runs(
    two: Nox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert two.here("--", "--skip", "lint") == 0
    assert two.statuses() == {}
    output = capsys.readouterr().out
    assert re.search(r"^\S+ lint\b", output, re.MULTILINE)
    assert re.search(r"^\S+ tests\b.*\blint\b", output, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (["--only", "test"], "'tests'"),
        (["--skip", "lnit"], "'lint'"),
        (["--event", "pushed"], "'push'"),
        (["--evnt", "push"], "'--event'"),
        (["--event"], "--event"),
    ],
)
def test_wrong_usage_is_one_line_with_the_nearest_name_and_exit_code_2(
    two: Nox, capsys: pytest.CaptureFixture[str], arguments: list[str], nearest: str
) -> None:
    assert two.here("--", *arguments) == 2
    captured = capsys.readouterr()
    assert nearest in captured.err.splitlines()[-1]
    assert captured.out == ""
    assert two.statuses() == {}


def test_wrong_usage_ends_the_process_with_2(two: Nox) -> None:
    code, output = two.run("--", "--only", "test")
    assert (code, "'tests'" in output.splitlines()[-1]) == (2, True)


def test_after_the_first_failure_nothing_more_is_started_with_x(nox_run: Nox) -> None:
    nox_run.write(GRAPH)
    assert (
        nox_run.here("-x", "--", "--plain", "-j", "1", "--only", "lint,security,dies")
        == 1
    )
    assert nox_run.statuses()["security"] == ("skipped", None)
    assert "-x" in nox_run.result("security").checks[0].detail


def test_install_only_makes_the_environments_and_leaves_no_result(two: Nox) -> None:
    assert two.here("--install-only", "--", "--plain") == 0
    assert sorted(
        path.name for path in (two.root / ".nox").iterdir() if path.is_dir()
    ) == ["lint", "tests"]
    assert two.statuses() == {}


def test_the_result_of_an_earlier_run_is_not_taken_for_this_one(
    nox_run: Nox, monkeypatch: pytest.MonkeyPatch
) -> None:
    nox_run.write(GRAPH)
    nox_run.here("-s", "security")
    folder = nox_run.root / "reports" / "security"
    (nox_run.root / "reports" / "dies").mkdir()
    (nox_run.root / "reports" / "dies" / "result.json").write_text(
        (folder / "result.json").read_text()
    )
    assert nox_run.here("--", "--plain", "--only", "dies") == 1
    assert nox_run.result("dies").cause == "no-environment"


def test_a_second_pipeline_in_the_same_checkout_waits_for_the_first(
    two: Nox, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(two.root / "gate")
    monkeypatch.setenv("LINT", "echo open > gate; cat gate > /dev/null")
    with two.start("--", "--plain", "--only", "lint") as first:
        (two.root / "gate").read_text()  # now the first pipeline runs its session
        monkeypatch.delenv("LINT")
        with two.start("--", "--plain", "--only", "tests") as second:
            assert second.stdout is not None
            for line in second.stdout:
                if line.startswith("waiting for another pipeline"):
                    break
            else:
                pytest.fail("the second pipeline did not wait")
            assert f"process {first.pid}" in line
            assert not (two.root / "tests-ran").exists()
            (two.root / "gate").write_text("go on")
            assert first.wait() == 0
            second.stdout.read()
            assert second.wait() == 0
            assert first.stdout is not None
            first.stdout.read()
    assert (two.root / "tests-ran").exists()


def test_interrupted_pipeline_exits_with_130_and_writes_all_results(
    two: Nox, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(two.root / "gate")
    monkeypatch.setenv("LINT", "echo open > gate; exec sleep 6000")
    with two.start("--", "--plain") as process:
        (two.root / "gate").read_text()
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate()
    assert process.returncode == 130, output
    assert two.statuses() == {
        "lint": ("failure", "interrupted"),
        "tests": ("failure", "interrupted"),
    }
    assert two.result("tests").checks[0].status is Status.SKIPPED


def test_a_pipeline_without_a_board_or_with_one_runs_the_same(two: Nox) -> None:
    code, output = two.run("--", "--only", "tests")
    assert code == 0, output
    assert two.statuses() == {"tests": ("success", None)}


@pytest.mark.parametrize(
    ("arguments", "first_line"),
    [
        ([], "push on main: 2 jobs"),
        (["--json"], "{"),
        (["--mermaid"], "flowchart LR"),
    ],
)
def test_a_plan_is_printed_and_nothing_run(
    two: Nox, capsys: pytest.CaptureFixture[str], arguments: list[str], first_line: str
) -> None:
    assert (
        two.here("-s", "plan", "--", "--event", "push", "--branch", "main", *arguments)
        == 0
    )
    assert capsys.readouterr().out.splitlines()[0] == first_line
    assert two.statuses() == {}


def test_a_wrong_option_of_the_plan_is_wrong_usage(
    two: Nox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert two.here("-s", "plan", "--", "--jsn") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "'--json'" in last


def test_without_a_run_there_is_nothing_to_sum_up(
    two: Nox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert two.here("-s", "summary") == 2
    assert (
        capsys.readouterr().err.splitlines()[-1]
        == "no pipeline has run in this checkout (run `nox`)"
    )


def test_the_summary_is_that_of_the_last_pipeline_with_its_own_plan(
    two: Nox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LINT", "exit 1")
    arguments = [
        "--event",
        "push",
        "--branch",
        "main",
        "--only",
        "lint",
        "--plain",
        "-j",
        "1",
    ]
    assert two.here("--", *arguments) == 1
    assert (two.root / "reports" / "index.html").exists()
    capsys.readouterr()
    assert two.here("-s", "summary") == 1
    text = capsys.readouterr().out
    assert "push" in text
    assert "exit 1" in text


def test_summary_on_github_is_of_the_run_and_uses_github_results(
    two: Nox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_RUN_ID", "4711")
    assert two.here("-s", "lint") == 0
    assert two.here("-s", "tests") == 0
    assert two.here("-s", "summary") == 0
    monkeypatch.setenv(
        "NEEDS", json.dumps({"tests": {"result": "failure", "outputs": {}}})
    )
    assert two.here("-s", "summary") == 1


def test_a_failed_nightly_run_is_told_where_people_look(
    two: Nox, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []

    def tell(text: str, env: Mapping[str, str]) -> str:
        texts.append(text)
        return "https://github.example/issues/1"

    monkeypatch.setattr(github_issue, "tell", tell)
    nightly = TWO.replace("(python=None)", '(python=None, events=["schedule"])')
    two.write(nightly)
    for name, value in (
        ("RUN_ID", "4711"),
        ("TOKEN", "none"),
        ("EVENT_NAME", "schedule"),
    ):
        monkeypatch.setenv(f"GITHUB_{name}", value)
    monkeypatch.setenv("LINT", "exit 1")
    assert two.here("-s", "lint") == 1
    assert two.here("-s", "summary") == 1
    assert "lint" in texts[0]


# Units


def nothing(run: Run) -> None:
    """Do nothing."""


@pytest.fixture
def made(root: Path, handlers: None) -> Iterator[Pipeline]:
    """Yield a pipeline of two jobs that has not run yet."""
    from nox import _options

    suite = Suite(
        root,
        {"PATH": os.environ["PATH"], "LAKE_CI_RUN": "outer", "GITHUB_RUN_ID": "4711"},
    )
    jobs = tuple(suite.graph.add(Job(name, nothing)) for name in ("lint", "tests"))
    options = Namespace(parallel=None, plain=True, environment="dev", no_cache=True)
    yield Pipeline(
        suite,
        Plan(Event("push", "main"), jobs, {}),
        _options.options.namespace(),
        options,
    )


def stand_in(
    made: Pipeline, entry: dict[str, Any] | None, *, interrupted: bool = False
) -> Result:
    return made._results({"lint": entry} if entry else {}, interrupted=interrupted)[0]


@pytest.mark.parametrize(
    ("entry", "interrupted", "status", "cause", "words"),
    [
        (None, False, Status.SKIPPED, None, "not started: a session failed (-x)"),
        (
            {
                "result": "aborted",
                "reason": "Prerequisite session build was not successful",
                "duration": 0,
            },
            False,
            Status.SKIPPED,
            "need-failed",
            "needs build, which did not pass",
        ),
        (
            {"result": "failed", "reason": None, "duration": 1.23456},
            False,
            Status.FAILURE,
            "no-environment",
            "nox could not create the environment",
        ),
        (
            {
                "result": "failed",
                "reason": "Python interpreter 3.9 not found",
                "duration": 0.1,
            },
            False,
            Status.WARNING,
            None,
            "no Python 3.9",
        ),
        (
            {
                "result": "aborted",
                "reason": "a session.error of its own",
                "duration": 0.1,
            },
            False,
            Status.FAILURE,
            "no-environment",
            "a session.error of its own",
        ),
    ],
)
def test_a_job_that_left_no_result_gets_one_with_noxs_reason(
    made: Pipeline,
    entry: dict[str, Any] | None,
    interrupted: bool,
    status: Status,
    cause: str | None,
    words: str,
) -> None:
    result = stand_in(made, entry, interrupted=interrupted)
    assert (result.status, result.cause, result.run, result.event) == (
        status,
        cause,
        "4711",
        "push",
    )
    assert words in result.checks[0].detail
    assert results.read(made.suite.root / "reports" / "lint") == result


def test_a_job_that_was_never_started_was_interrupted_too(made: Pipeline) -> None:
    result = stand_in(made, None, interrupted=True)
    assert (result.status, result.cause) == (Status.FAILURE, "interrupted")
    assert result.checks[0].detail == "interrupted before it started"


def test_a_result_that_cannot_be_read_is_replaced(made: Pipeline) -> None:
    folder = made.suite.root / "reports" / "lint"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text("{")
    assert (
        stand_in(made, {"result": "failed", "reason": None}).cause == "no-environment"
    )
    assert results.read(folder).cause == "no-environment"


@pytest.mark.parametrize(
    ("statuses", "nox_code", "code"),
    [
        ([Status.SUCCESS, Status.WARNING], 0, 0),
        ([Status.SUCCESS, Status.FAILURE], 1, 1),
        ([Status.SUCCESS, Status.FAILURE], 0, 1),
        # No row failed, but nox itself exits with an error.
        ([Status.SUCCESS, Status.SUCCESS], 2, 2),
    ],
)
def test_the_exit_code_is_that_of_the_worst_job_or_noxs_own(
    made: Pipeline,
    monkeypatch: pytest.MonkeyPatch,
    statuses: list[Status],
    nox_code: int,
    code: int,
) -> None:
    causes: list[str | None] = [None] * len(statuses)
    assert exit_code(made, monkeypatch, statuses, causes, nox_code) == code


@pytest.mark.parametrize(
    ("cause", "code"), [("not-provisioned", 3), (None, 1), ("no-environment", 1)]
)
def test_the_exit_code_is_3_where_the_machine_alone_failed(
    made: Pipeline, monkeypatch: pytest.MonkeyPatch, cause: str | None, code: int
) -> None:
    statuses, causes = [Status.FAILURE] * 2, ["not-provisioned", cause]
    assert exit_code(made, monkeypatch, statuses, causes, nox_code=1) == code


def exit_code(
    made: Pipeline,
    monkeypatch: pytest.MonkeyPatch,
    statuses: list[Status],
    causes: list[str | None],
    nox_code: int,
) -> int:
    """Run a pipeline whose sessions end with these statuses and causes, and return its
    exit code.
    """

    def inner(report: Path, running: Sequence[Variant]) -> int:
        for variant, status, cause in zip(made.variants, statuses, causes):
            result = stand_in(made, {"result": "failed", "reason": None})
            result = replace(
                result, job=variant.id, session=variant.session, cause=cause
            )
            result = replace(result, checks=(CheckResult("one", status),))
            results.write(made.suite.root / "reports" / variant.id, result)
        return nox_code

    monkeypatch.setattr(made, "_inner", inner)
    return made.run()


@pytest.mark.parametrize("install_only", [False, True])
def test_an_interruption_is_passed_on_once_the_table_is_printed(
    made: Pipeline,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    install_only: bool,
) -> None:
    def interrupt(report: Path, running: Sequence[Variant]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(made, "_inner", interrupt)
    made.config.install_only = install_only
    if install_only:
        assert made.run() == 130
        return
    with pytest.raises(KeyboardInterrupt):
        made.run()
    assert re.search(r"^\S+ lint\b", capsys.readouterr().out, re.MULTILINE)


BAD_ORDER = f'''
@suite.job(python=None)
def short(run):
    """Come first by declaration, and keep nothing waiting."""
    run.check(Shell("echo short >> order"))


@suite.job(python=None)
def lint(run):
    """Begin the longest path."""
    run.check(Shell("echo lint >> order"))


@suite.job(needs=[lint], pythons=["{THIS}"], javas=["11", "17"])
def tests(run):
    """Take longest on Java 11."""
    run.check(Shell(f"echo tests{{run.java}} >> order"))


@suite.job(needs=[tests], python=None)
def build(run):
    """End the longest path."""
    run.check(Shell("echo build >> order"))
'''
BAD_ORDER_SECONDS = {
    "short": 5.0,
    "lint": 1.0,
    f"tests-{THIS}-java11": 90.0,
    f"tests-{THIS}-java17": 60.0,
    "build": 1.0,
}


def record(root: Path, seconds: Mapping[str, float]) -> None:
    """Write the results of an earlier run. `seconds` contains the duration of each
    session, by the name of the session's folder.
    """
    for name, each in seconds.items():
        result = Result(
            run="before",
            attempt=1,
            event="push",
            commit=None,
            dirty=False,
            job=name,
            session=name,
            started="2026-01-31T02:00:00Z",
            seconds=each,
            reproduce="",
            checks=(CheckResult("one", Status.SUCCESS),),
        )
        results.write(root / "reports" / name, result)


def test_sessions_start_by_the_longest_path_of_the_recorded_seconds(
    nox_run: Nox,
) -> None:
    nox_run.write(BAD_ORDER)
    record(nox_run.root, BAD_ORDER_SECONDS)
    code, output = nox_run.run("--", "--plain", "-j", "1")
    assert code == 0, output
    assert (nox_run.root / "order").read_text().split() == [
        *("lint", "tests11", "tests17", "short", "build")
    ]
    first, second, third = estimate_of(output)
    # The numbers are: sessions, cached sessions, sessions to run, minutes, workers.
    assert re.findall(r"\d+", first) == ["5", "0", "5", "3", "1"]
    assert f"lint → tests-{THIS}(java11) → build" in second
    assert second.endswith(" 92 s")
    assert third.startswith("`nox -s short` ") and third.endswith(" 5 s")


def estimate_of(output: str) -> list[str]:
    """Return the three lines of the estimate. The first line begins with the number of
    sessions.
    """
    lines = output.splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("5 sessions"))
    return lines[at : at + 3]


def test_estimated_seconds_of_pyproject_order_the_first_run(nox_run: Nox) -> None:
    nox_run.write(BAD_ORDER)
    table = "short = 500\nlint = 1\ntests = 60\nbuild = 1\n"
    (nox_run.root / "pyproject.toml").write_text(f"[tool.lake_ci.seconds]\n{table}")
    code, output = nox_run.run("--", "--plain", "-j", "1")
    assert code == 0, output
    assert (nox_run.root / "order").read_text().split()[:2] == ["short", "lint"]
    # The line has the number of sessions whose duration was never recorded.
    assert re.findall(r"\d+", estimate_of(output)[1]) == ["5"]


def test_several_workers_get_the_sessions_in_the_same_order(nox_run: Nox) -> None:
    nox_run.write(BAD_ORDER)
    record(nox_run.root, {**BAD_ORDER_SECONDS, "short": 500.0})
    code, output = nox_run.run("--", "--plain", "-j", "2")
    assert code == 0, output
    started = re.findall(r"^Starting session (\S+)\.\.\.$", output, re.MULTILINE)
    assert set(started[:2]) == {"short", "lint"}
    assert sorted(started[2:4]) == [f"tests-{THIS}(java11)", f"tests-{THIS}(java17)"]
    assert started[4] == "build"


def test_a_plan_shows_the_estimate_of_the_run(
    nox_run: Nox, capsys: pytest.CaptureFixture[str]
) -> None:
    nox_run.write(BAD_ORDER)
    record(nox_run.root, BAD_ORDER_SECONDS)
    assert nox_run.here("-s", "plan") == 0
    planned = estimate_of(capsys.readouterr().out)
    assert re.findall(r"\d+", planned[0])[:3] == ["5", "0", "5"]
    assert f"lint → tests-{THIS}(java11) → build" in planned[1]
    assert "`nox -s short`" in planned[2]
    assert nox_run.here("--", "--plain") == 0
    assert estimate_of(capsys.readouterr().out) == planned


def test_a_wrong_number_of_workers_is_wrong_usage(
    two: Nox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert two.here("--", "-j", "many") == 2
    assert "'many'" in capsys.readouterr().err
    assert not (two.root / "reports" / "lint").exists()


def test_the_run_ends_with_its_ratio_and_the_summary_repeats_it(
    two: Nox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert two.here("--", "--plain", "-j", "2") == 0
    output = capsys.readouterr().out
    ratio = re.search(r"^.* s, \d+\.\d\d .* s$", output, re.MULTILINE)
    assert ratio is not None
    assert re.search(r"lint → tests, .* s; .* / ", output)
    assert ratio[0] in (two.root / "reports" / "summary.md").read_text()
    assert ratio[0] in (two.root / "reports" / "index.html").read_text()
    assert two.here("-s", "summary") == 0
    assert ratio[0] in capsys.readouterr().out


def test_the_last_run_of_an_older_suite_is_summed_up_without_workers(two: Nox) -> None:
    assert two.here("--", "--plain") == 0
    path = two.root / "reports" / pipeline.LAST
    last = json.loads(path.read_text())
    assert set(last.pop("workers")) == {"number", "cores", "began"}
    path.write_text(json.dumps(last))
    assert two.here("-s", "summary") == 0
    assert " core" not in (two.root / "reports" / "summary.md").read_text()


def test_a_jobs_newest_session_starts_first_as_it_takes_longest(nox_run: Nox) -> None:
    nox_run.write('''
@suite.job(python=None)
def lint(run):
    """Come before."""
    run.check(Shell("echo lint >> order"))


@suite.job(needs=[lint], python=None, javas=["11", "17", "21"])
def tests(run):
    """Say when it starts."""
    run.check(Shell(f"echo {run.java} >> order"))
''')
    code, output = nox_run.run("--", "--plain", "-j", "1")
    assert code == 0, output
    assert (nox_run.root / "order").read_text().split() == ["lint", "21", "17", "11"]
    # The rows are in the order in which the jobs are declared.
    table = output.partition("\ntook ")[0].rpartition("lint ")[2]
    assert re.findall(r"tests\(java(\d+)\)", table) == ["11", "17", "21"]


LEAKY = """
from lake_ci.model.results import Finding

TOKEN = os.environ["DATABRICKS_TOKEN"]


class Leak(Check):
    name = "leak"

    def run(self, ctx):
        (ctx.reports / "junit.xml").write_text(
            '<testsuites><testcase name="a">'
            f"<failure>{TOKEN}</failure></testcase></testsuites>"
        )
        finding = Finding("leak", "error", repr(TOKEN + chr(10)), f"{TOKEN}.py", 1)
        return Outcome(Status.FAILURE, TOKEN, (finding,), data={"output": TOKEN})


@suite.job(python=None, reports=["junit.xml"])
def tools(run):
    \"\"\"Leak in what tools print, write and find.\"\"\"
    run.warn(TOKEN)
    run.check(Shell("echo $DATABRICKS_TOKEN; exit 1"), Leak())


@suite.job(python=None)
def error(run):
    \"\"\"Fail with an error that nobody expects.\"\"\"
    raise ValueError(f"Invalid header value {TOKEN.encode()!r}")
"""


def test_a_secret_is_in_no_output_of_a_pipeline(
    nox_run: Nox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi0123456789abcdef\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step.md"))
    nox_run.write(LEAKY)
    code, output = nox_run.run("--", "--plain")
    assert code == 1
    assert (
        "[hidden]" in output
        and "::error" in output
        and "Invalid header value" in output
    )
    found = [tmp_path / "step.md"]
    for folder in ("reports", ".cache"):
        found += [path for path in (nox_run.root / folder).rglob("*") if path.is_file()]
    assert {"index.html", "summary.md", "result.json", "junit.xml"} <= {
        path.name for path in found
    }
    assert [path for path in found if b"0123456789abcdef" in path.read_bytes()] == []
    assert "0123456789abcdef" not in output
    assert (
        nox_run.result("error").checks[0].detail
        == "ValueError: Invalid header value b'[hidden]'"
    )


def test_summary_redacts_results_of_jobs_that_did_not_know_the_secret(
    two: Nox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINT", "echo bad token ghp-0123456789abcdef; exit 1")
    two.run("--", "--plain")
    report = two.root / "reports" / "summary.md"
    assert "ghp-0123456789abcdef" in report.read_text(encoding="utf-8")
    monkeypatch.setenv("GITHUB_TOKEN", "ghp-0123456789abcdef")
    code, output = two.run("-s", "summary")
    assert code == 1 and "bad token" in output and "hidden" in output
    for file in (report, report.with_name("index.html")):
        assert "0123456789abcdef" not in file.read_text(encoding="utf-8")
    assert "0123456789abcdef" not in output
