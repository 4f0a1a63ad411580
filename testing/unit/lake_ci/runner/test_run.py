"""In whatever way a session fails, its `Run` writes a result that contains the
failure.
"""

from __future__ import annotations

import html
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from lake_ci.errors import Interrupted, LakeCiError, MachineError
from lake_ci.model import results
from lake_ci.model.job import Job
from lake_ci.model.results import TIME_FORMAT, Finding, Outcome, Result, Status
from lake_ci.runner.check import Check, CheckContext, Stages, crashed, stopped
from lake_ci.runner.run import Run, facts
from lake_ci.system import provisioning, signals
from lake_ci.system.environment import Environment

Make = Callable[..., Run]
# Seconds after which a wait counts as a hang, even on a busy machine.
LIMIT = 60
PYTHON = ".".join(map(str, sys.version_info[:3]))


FINE = Outcome(Status.SUCCESS, "fine")


class Answer(Check):
    """A check that returns the given row."""

    def __init__(self, name: str, outcome: Outcome | Exception = FINE) -> None:
        self.name = name
        self.outcome = outcome

    def run(self, ctx: CheckContext) -> Outcome:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Shell(Check):
    """Runs a shell command in the same way as real checks run tools."""

    def __init__(self, name: str, command: str, *, exclusive: bool = False) -> None:
        self.name = name
        self.command = command
        self.exclusive = exclusive
        self.echo: Callable[[str], None] | None = None
        self.tool: str | None = None

    def run(self, ctx: CheckContext) -> Outcome:
        env = ctx.env_of(self.tool) if self.tool else ctx.env
        done = ctx.execute(["/bin/sh", "-c", self.command], echo=self.echo, env=env)
        if done.code != 0:
            return stopped(self.name, done) or crashed(self.name, done)
        return Outcome(Status.SUCCESS, done.stdout.strip())


class Clock:
    """A clock that the test sets. If `event` is set, the clock waits for this event,
    and then shows the time after one hour.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.event: threading.Event | None = None

    def __call__(self) -> float:
        if self.event is not None:
            assert self.event.wait(LIMIT)
            self.now = 3600.0
        return self.now


FOUND = Outcome.of([Finding("flake8", "F401", "'os' imported but unused", "a.py", 1)])


def session(run: Run) -> None:
    """Do it."""


@pytest.fixture
def printed() -> list[str]:
    """Return the list that gets the output of all runs that `make` creates."""
    return []


@pytest.fixture
def make(root: Path, venv: Path, printed: list[str]) -> Make:
    """Return a function that creates a run of the job `lint` in a real, empty
    environment.
    """

    def make(
        *,
        env: dict[str, str] | None = None,
        posargs: Sequence[str] = (),
        may_install: bool = True,
        install_only: bool = False,
        python: str | None = None,
        java: str | None = None,
        out: Callable[[str], None] = printed.append,
        provisioned: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> Run:
        if python:
            options["pythons"] = (python,)
        if java:
            options["javas"] = (java,)
        job = Job("lint", session, **options)
        environment = Environment(
            venv, may_install=may_install, install_only=install_only
        )
        env = {"PATH": os.environ["PATH"], "LAKE_CI_RUN": "4711", **(env or {})}
        variant = job.variant(python, java)
        return Run(
            variant,
            root,
            environment,
            env,
            posargs,
            out=out,
            provisioned=provisioned,
            clock=clock,
        )

    return make


def read(root: Path, job: str = "lint") -> Result:
    return results.read(root / "reports" / job)


def test_a_good_run_leaves_a_result_with_all_there_is_to_know(
    make: Make, root: Path, printed: list[str]
) -> None:
    with make(reports=("junit.xml",)) as run:
        (run.ctx.reports / "junit.xml").touch()
        (run.ctx.reports / "other.xml").touch()
        run.check(
            Answer("one"),
            Answer("two", Outcome(Status.SUCCESS, "17", data={"java": "17.0.9"})),
        )
        run.warn("the tree is odd")
    result = read(root)
    assert result == run.result
    assert (result.status, result.cause) == (Status.SUCCESS, None)
    assert [(check.name, check.detail) for check in result.checks] == [
        ("one", "fine"),
        ("two", "17"),
    ]
    assert (result.run, result.event, result.job, result.session) == (
        "4711",
        "pull_request",
        "lint",
        "lint",
    )
    assert (result.python, result.java) == (PYTHON, "17.0.9")
    assert result.artifacts == ("reports/lint/junit.xml",)
    assert result.warnings == ("the tree is odd",)
    assert result.reproduce == "nox -s lint"
    assert "note: the tree is odd" in printed
    assert any("one" in line and "fine" in line for line in printed)


def test_a_matrix_run_has_a_folder_of_its_own(make: Make, root: Path) -> None:
    with make(python="3.10", java="17") as run:
        run.check(Answer("one"))
    assert read(root, "lint-3.10-java17").session == "lint-3.10(java17)"
    assert (run.python, run.java) == ("3.10", "17")


def test_one_failed_check_fails_the_job_and_hides_no_other(
    make: Make, root: Path
) -> None:
    with make() as run:
        run.check(Answer("one"), Answer("flake8", FOUND), Answer("three"))
        run.check(Answer("four"))
    result = read(root)
    assert result.status is Status.FAILURE
    assert [check.name for check in result.checks] == ["one", "flake8", "three", "four"]
    assert result.checks[1].findings == FOUND.findings


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MachineError("no network", hint="connect"), "no network (connect)"),
        (ValueError("what is this?"), "ValueError: what is this?"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_a_tool_that_breaks_is_a_failed_row_beside_the_others(
    make: Make, root: Path, error: Exception, words: str
) -> None:
    with make() as run:
        run.check(Answer("one"), Answer("broken", error), Answer("three"))
    checks = read(root).checks
    assert [check.status for check in checks] == [
        Status.SUCCESS,
        Status.FAILURE,
        Status.SUCCESS,
    ]
    assert words in checks[1].findings[0].message


def test_a_suite_error_in_the_session_is_a_row_and_goes_no_further(
    make: Make, root: Path
) -> None:
    with make() as run:
        run.check(Answer("one"))
        raise LakeCiError("the baseline is missing", hint="run `nox -s performance`")
    result = read(root)
    assert (result.status, result.cause) == (Status.FAILURE, None)
    assert result.checks[1].name == "session"
    assert (
        result.checks[1].detail == "the baseline is missing (run `nox -s performance`)"
    )


def test_an_unexpected_error_is_a_row_and_is_raised_on(make: Make, root: Path) -> None:
    with pytest.raises(ZeroDivisionError), make() as run:
        run.check(Answer("one"))
        raise ZeroDivisionError("division by zero")
    result = read(root)
    assert result.status is Status.FAILURE
    assert result.checks[1].detail == "ZeroDivisionError: division by zero"


def test_a_lock_that_cannot_be_installed_is_a_row_with_its_cause(
    make: Make, root: Path
) -> None:
    with make() as run:
        run.install("lint")
        run.check(Answer("never"))
    result = read(root)
    assert (result.status, result.cause) == (Status.FAILURE, "no-environment")
    [check] = result.checks
    assert (check.name, check.findings[0].rule) == (
        "environment",
        "NoEnvironmentError",
    )
    assert "requirements/lint.txt" in check.detail


def test_an_empty_lock_is_really_installed_and_said(
    make: Make, root: Path, printed: list[str]
) -> None:
    (root / "requirements").mkdir()
    (root / "requirements" / "lint.txt").write_text("# nothing\n")
    for _ in range(2):
        with make(env=dict(os.environ)) as run:
            run.install("lint")
            run.check(Answer("one"))
        assert read(root).status is Status.SUCCESS
    assert (
        len(
            [
                line
                for line in printed
                if line.startswith("installed requirements/lint.txt in ")
            ]
        )
        == 1
    )


def test_with_reuse_only_nothing_is_installed(make: Make, root: Path) -> None:
    with make(may_install=False) as run:
        run.install("lint")
        run.check(Answer("one"))
    assert read(root).status is Status.SUCCESS


def test_install_only_runs_no_check_and_leaves_no_result(
    make: Make, root: Path
) -> None:
    with make(may_install=False, install_only=True) as run:
        run.install("lint")
        run.check(Answer("broken", ValueError("ran")))
    assert not (root / "reports" / "lint" / "result.json").exists()


def test_install_only_leaves_a_result_when_it_fails(make: Make, root: Path) -> None:
    with make(install_only=True) as run:
        run.install("lint")
    assert read(root).cause == "no-environment"


def test_waiting_for_the_machine_does_not_count_as_the_jobs_time(
    make: Make, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    waits: list[list[str]] = []

    def wait(
        names: Iterable[str], env: Mapping[str, str], say: Callable[[str], None]
    ) -> bool:
        waits.append(list(names))
        clock.now += 3600
        return True

    monkeypatch.setattr(provisioning, "wait", wait)
    observed: list[str] = []
    job = {"setup": ("kubernetes",), "external_inputs": ("api-server",), "minutes": 1}
    with make(
        **job,
        clock=clock,
        provisioned=lambda: observed.append("after the wait"),
    ) as run:
        run.run_stages(one_stage([Answer("one")]))
        run.check(Answer("two"))
    assert read(root).status is Status.SUCCESS
    assert (read(root).seconds, read(root).waited_seconds) == (0, 3600)
    assert waits == [["kubernetes", "api-server"]]
    assert observed == ["after the wait"]


def one_stage(tools: list[Check]) -> Stages:
    yield tools


def test_a_machine_that_could_not_be_prepared_is_a_row_and_a_cause(
    make: Make, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "engine.resource").write_text("engine 1\n")
    (tmp_path / "engine.log").write_text("no space left on device\n")
    with make(setup=("engine",), env={"LAKE_CI_PROVISIONING": str(tmp_path)}) as run:
        run.check(Answer("one"))
    result = read(root)
    assert (result.status, result.cause) == (Status.FAILURE, "not-provisioned")
    [check] = result.checks
    assert (check.name, check.detail.split()[0]) == ("machine", "engine")
    assert "no space left on device" in check.findings[0].message


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize(("name", "handler"), [("SIGINT", False), ("SIGTERM", True)])
def test_an_interrupted_run_ends_its_tools_and_writes_what_there_is(
    make: Make, root: Path, name: str, handler: bool
) -> None:
    if handler:
        signals.install()
    else:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    slow = Shell("slow", "echo started; sleep 6000; echo never")
    slow.echo = lambda line: os.kill(os.getpid(), signal.Signals[name])
    with pytest.raises(Interrupted if handler else KeyboardInterrupt), make() as run:
        run.check(Answer("one"))
        run.check(Answer("two"), slow, Answer("three"))
    result = read(root)
    assert (result.status, result.cause) == (Status.FAILURE, "interrupted")
    one, two, cut, three = result.checks
    assert (one.status, two.status, cut.status) == (
        Status.SUCCESS,
        Status.SUCCESS,
        Status.FAILURE,
    )
    assert cut.findings[0].rule == "interrupted"
    # The signal may arrive before the tool starts, or after the tool has ended.
    assert (three.name, three.status) in [
        ("three", Status.SUCCESS),
        ("three", Status.SKIPPED),
    ]
    assert result.warnings == (f"interrupted by {name}",)


def test_a_tool_that_a_signal_left_unstarted_has_its_row_too(
    make: Make, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = ThreadPoolExecutor.submit

    def interrupted_submit(
        pool: ThreadPoolExecutor, work: Callable[..., Any], *arguments: Any
    ) -> Any:
        if arguments[0] == 1:  # the second tool
            raise KeyboardInterrupt
        return submit(pool, work, *arguments)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", interrupted_submit)
    with pytest.raises(KeyboardInterrupt), make() as run:
        run.check(Answer("one"), Answer("two"), Answer("three"))
    assert [
        (check.name, check.status, check.detail) for check in read(root).checks
    ] == [
        ("one", Status.SUCCESS, "fine"),
        ("two", Status.SKIPPED, "not started: the run was interrupted"),
        ("three", Status.SKIPPED, "not started: the run was interrupted"),
    ]


def test_time_limit_ends_the_running_tool_and_starts_no_other(
    make: Make, root: Path
) -> None:
    clock, printed = Clock(), threading.Event()

    class Slow(Shell):
        """Reaches the time limit of its session as soon as its command has printed a
        line.
        """

        def run(self, ctx: CheckContext) -> Outcome:
            clock.event = printed
            return super().run(ctx)

    slow_tool = Slow("slow", "echo so far; sleep 6000", exclusive=True)
    slow_tool.echo = lambda line: printed.set()
    with make(minutes=5, clock=clock) as run:
        run.check(slow_tool, Shell("late", "touch late", exclusive=True))
    result = read(root)
    assert (result.status, result.cause) == (Status.FAILURE, "timeout")
    slow, late = result.checks
    assert slow.findings[0].rule == "timeout"
    assert (late.status, late.detail) == (
        Status.SKIPPED,
        "not started: the job's time limit was reached",
    )
    assert not (root / "late").exists()


def test_the_result_has_the_processor_time_of_its_tools(make: Make, root: Path) -> None:
    with make() as run:
        burn = "import time\nwhile time.process_time() < 0.3: pass"
        run.check(Shell("burn", f"'{sys.executable}' -c '{burn}'"))
    found = read(root).processor_seconds
    assert found is not None and found >= 0.3


def test_waiting_is_recorded_and_is_no_part_of_the_seconds(
    make: Make, root: Path
) -> None:
    clock = Clock()
    waiting = make(clock=clock)
    clock.now = 100.0  # the run has waited 100 s for its lock
    with waiting as run:
        run.check(Answer("quick"))
    result = read(root)
    assert (result.waited_seconds, result.seconds) == (100, 0)
    started = datetime.strptime(result.started, TIME_FORMAT).replace(
        tzinfo=timezone.utc
    )
    assert started.timestamp() + result.seconds <= time.time()


def test_time_spent_waiting_for_the_environment_does_not_count(
    make: Make, root: Path
) -> None:
    clock = Clock()
    first, second = make(clock=clock), make(minutes=5, clock=clock)
    with first:
        clock.now = 3600.0
    with second as run:
        run.check(Shell("quick", "true"))
    result = read(root)
    assert (result.status, result.cause) == (Status.SUCCESS, None)


@pytest.mark.parametrize(
    ("env", "status"),
    [
        ({}, Status.WARNING),
        ({"LAKE_CI_STRICT": "0"}, Status.WARNING),
        ({"LAKE_CI_STRICT": "1"}, Status.FAILURE),
    ],
)
def test_an_incomplete_check_is_a_warning_and_under_strict_a_failure(
    make: Make, root: Path, env: dict[str, str], status: Status
) -> None:
    with make(env=env) as run:
        run.check(
            Answer("one"),
            Answer("safety", Outcome(Status.SUCCESS, not_checked="no network")),
        )
    assert read(root).status is status
    assert read(root).checks[1].not_checked == "no network"


def test_a_selection_that_matches_nothing_is_a_failure(make: Make, root: Path) -> None:
    with make(posargs=["-k", "nothing"]) as run:
        run.partial = True
        run.check(Answer("unit", Outcome(Status.SKIPPED, "no tests selected")))
    result = read(root)
    assert (result.status, result.partial) == (Status.FAILURE, True)
    assert result.checks[1].detail == "nothing matches: -k nothing"


def test_what_only_makes_ready_does_not_count_as_a_match(
    make: Make, root: Path
) -> None:
    jars = Answer("jars")
    jars.is_setup = True
    with make(posargs=["-k", "nothing"]) as run:
        run.partial = True
        run.check(jars, Answer("unit", Outcome(Status.SKIPPED, "no tests selected")))
    assert read(root).status is Status.FAILURE


def test_a_selection_that_matches_something_is_partial_and_no_failure(
    make: Make, root: Path
) -> None:
    with make(posargs=["-k", "merge"]) as run:
        run.partial = True
        run.check(
            Answer("unit"),
            Answer("integration", Outcome(Status.SKIPPED, "no tests selected")),
        )
    assert (read(root).status, read(root).partial) == (Status.SUCCESS, True)


def test_tools_run_side_by_side_and_their_rows_stand_in_the_declared_order(
    make: Make, root: Path, printed: list[str]
) -> None:
    class Meeting(Check):
        """One of two checks, which end only after both have started."""

        def __init__(
            self, name: str, mine: threading.Event, other: threading.Event
        ) -> None:
            self.name, self.mine, self.other = name, mine, other

        def run(self, ctx: CheckContext) -> Outcome:
            self.mine.set()
            met = self.other.wait(LIMIT)
            return Outcome(Status.SUCCESS if met else Status.FAILURE)

    class Last(Check):
        """A check that ends only after the rows of all other checks were printed."""

        name = "last to end"

        def run(self, ctx: CheckContext) -> Outcome:
            assert others_ended.wait(LIMIT)
            return FINE

    others_ended = threading.Event()

    def out(line: str) -> None:
        printed.append(line)
        if len(printed) == 2:
            others_ended.set()

    a, b = threading.Event(), threading.Event()
    with make(out=out) as run:
        run.check(Last(), Meeting("first", a, b), Meeting("second", b, a))
    result = read(root)
    assert result.status is Status.SUCCESS
    assert [check.name for check in result.checks] == ["last to end", "first", "second"]
    assert "last to end" in printed[2]


def test_a_tool_that_must_be_alone_has_nothing_beside_it(
    make: Make, root: Path
) -> None:
    at_once: list[int] = []
    running: list[str] = []
    lock = threading.Lock()

    class Counting(Check):
        """Records how many checks were running when this check started."""

        def __init__(self, name: str, exclusive: bool) -> None:
            self.name, self.exclusive = name, exclusive

        def run(self, ctx: CheckContext) -> Outcome:
            with lock:
                running.append(self.name)
                if self.exclusive:
                    at_once.append(len(running))
            ctx.execute(["true"])
            with lock:
                running.remove(self.name)
            return Outcome(Status.SUCCESS)

    with make() as run:
        run.check(*(Counting(name, name.isupper()) for name in "abCDefG"))
    assert at_once == [1, 1, 1]
    assert [check.name for check in read(root).checks] == list("abCDefG")


@pytest.mark.parametrize(
    "error", [None, KeyboardInterrupt()], ids=["to the end", "interrupted"]
)
def test_stage_is_created_after_the_previous_and_its_resources_end(
    make: Make, root: Path, error: KeyboardInterrupt | None
) -> None:
    log: list[str] = []

    def stages() -> Stages:
        yield [Shell("first", "echo 1 >seen")]
        log.append((root / "seen").read_text())
        try:
            yield [Answer("second")]
            if error is not None:
                raise error
            yield [Answer("third")]
        finally:
            log.append("ended")

    with pytest.raises(KeyboardInterrupt) if error is not None else nullcontext():
        with make() as run:
            try:
                run.run_stages(stages())
            finally:
                log.append("after")
    assert log == ["1\n", "ended", "after"]
    names = [check.name for check in read(root).checks]
    assert names[:2] == ["first", "second"] and ("third" in names) == (error is None)


def test_what_stages_hold_ends_at_once_when_a_check_is_interrupted(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []

    def stages() -> Stages:
        try:
            yield [Answer("first")]
        finally:
            log.append("ended")

    def interrupted(*tools: Check) -> None:
        raise Interrupted("SIGTERM")

    stages_held = stages()  # a traceback also keeps a reference to the generator
    with pytest.raises(Interrupted), make() as run:
        monkeypatch.setattr(run, "check", interrupted)
        run.run_stages(stages_held)
    assert log == ["ended"]


def test_a_command_that_is_not_there_ends_with_127_as_in_a_shell(make: Make) -> None:
    with make() as run:
        done = run.execute(["no-such-program"])
    assert (done.code, done.stderr) == (
        127,
        "no-such-program: No such file or directory",
    )


def test_commands_run_at_the_root_in_the_job_environment_by_default(
    make: Make, root: Path, venv: Path
) -> None:
    with make() as run:
        at_root = run.execute(["/bin/sh", "-c", "pwd; echo $VIRTUAL_ENV"])
        elsewhere = run.execute(
            ["/bin/sh", "-c", "pwd; echo $WHO"], cwd=root.parent, env={"WHO": "me"}
        )
    assert at_root.stdout.split() == [str(root), str(venv)]
    assert elsewhere.stdout.split() == [str(root.parent), "me"]


def test_reports_of_the_last_run_are_gone(make: Make, root: Path) -> None:
    with make() as run:
        (run.ctx.reports / "old.xml").touch()
    with make() as run:
        assert not (run.ctx.reports / "old.xml").exists()


def test_what_is_in_dist_is_an_artifact_of_the_job_that_builds(
    make: Make, root: Path
) -> None:
    (root / "dist").mkdir()
    (root / "dist" / "lakekit-1.0-py3-none-any.whl").touch()
    with make(reports=("dist/", "SHA256SUMS")) as run:
        (run.ctx.reports / "SHA256SUMS").touch()
    assert read(root).artifacts == (
        "reports/lint/SHA256SUMS",
        "dist/lakekit-1.0-py3-none-any.whl",
    )


def test_a_second_run_in_the_same_environment_waits_and_says_so(
    make: Make, printed: list[str]
) -> None:
    waiting = threading.Event()
    order: list[str] = []

    def hear(text: str) -> None:
        printed.append(text)
        waiting.set()

    def second() -> None:
        with make(out=hear):
            order.append("second")

    with make():
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(LIMIT)
        order.append("first")
    thread.join(LIMIT)
    assert order == ["first", "second"]
    assert "waiting for another run of lint" in printed


@pytest.mark.parametrize(
    ("env", "run", "attempt"),
    [
        ({"LAKE_CI_RUN": "a", "GITHUB_RUN_ID": "b", "GITHUB_RUN_ATTEMPT": "2"}, "a", 2),
        ({"GITHUB_RUN_ID": "b"}, "b", 1),
    ],
)
def test_the_run_is_named_as_the_pipeline_or_github_names_it(
    root: Path, env: dict[str, str], run: str, attempt: int
) -> None:
    values = facts(root, env)
    assert (values["run"], values["attempt"]) == (run, attempt)


def test_facts_are_those_of_the_checkout(root: Path, git: Callable[..., str]) -> None:
    values = facts(root, {"LAKE_CI_EVENT": "schedule"})
    assert (values["event"], values["commit"], values["dirty"]) == (
        "schedule",
        git(root, "rev-parse", "HEAD"),
        False,
    )
    assert len(values["run"]) == 12
    assert facts(root, {})["run"] != values["run"]
    (root / "new.py").touch()
    assert facts(root, {})["dirty"] is True


def test_a_server_of_a_run_is_there_for_as_long_as_the_block(make: Make) -> None:
    program = [
        sys.executable,
        "-c",
        "import sys; print('ready', flush=True); sys.stdin.read()",
    ]
    with make() as run, run.ctx.serve(program, env=os.environ) as line:
        assert line == "ready\n"


# Secrets

SECRET = 'dapi"0123456789<abcdef'
SECRETS = {"DATABRICKS_TOKEN": f"{SECRET}\n"}


@pytest.mark.parametrize(
    "tool",
    [
        Answer(
            "one",
            Outcome.of(
                [Finding("one", "error", f"Bearer {SECRET}", f"{SECRET}.py", 1)]
            ),
        ),
        Answer(
            "one",
            Outcome(Status.SUCCESS, repr(f"{SECRET}\n"), data={"output": [SECRET]}),
        ),
        Answer("one", Outcome(Status.SUCCESS, not_checked=f"https://me:{SECRET}@host")),
        Answer("one", ValueError(f"Invalid header value {SECRET.encode()!r}")),
        Answer("one", LakeCiError(SECRET, hint=SECRET)),
        Shell("one", "echo $DATABRICKS_TOKEN"),
        Shell("one", "echo $DATABRICKS_TOKEN >&2; exit 1"),
    ],
)
def test_a_secret_of_a_tool_is_neither_printed_nor_in_the_result(
    make: Make, root: Path, printed: list[str], tool: Check
) -> None:
    if isinstance(tool, Shell):
        tool.tool = "deploy"
    with make(env=SECRETS) as run:
        run.check(tool)
    written = (root / "reports" / "lint" / "result.json").read_text(encoding="utf-8")
    assert "[hidden]" in written and "[hidden]" in "".join(printed)
    assert "0123456789" not in written + "".join(printed)


@pytest.mark.parametrize("error", [LakeCiError(SECRET), RuntimeError(SECRET)])
def test_secret_in_an_error_or_a_note_is_redacted_everywhere(
    make: Make, root: Path, printed: list[str], error: Exception
) -> None:
    with (
        pytest.raises(RuntimeError)
        if isinstance(error, RuntimeError)
        else nullcontext()
    ):
        with make(env=SECRETS) as run:
            run.warn(f"with {SECRET}")
            raise error
    written = (root / "reports" / "lint" / "result.json").read_text(encoding="utf-8")
    assert read(root).warnings == ("with [hidden]",)
    assert "0123456789" not in written + "".join(printed)


@pytest.mark.parametrize(
    ("declared", "tool", "names"),
    [
        ((), None, []),
        (("SHOP_PASSWORD",), None, ["SHOP_PASSWORD"]),
        (("SHOP_PASSWORD",), "deploy", ["DATABRICKS_TOKEN", "SHOP_PASSWORD"]),
        ((), "kubernetes", ["KUBECONFIG"]),
    ],
)
def test_a_tool_gets_no_secret_but_those_it_needs_and_its_job_declares(
    make: Make,
    root: Path,
    declared: tuple[str, ...],
    tool: str | None,
    names: list[str],
) -> None:
    withheld = {"SHOP_PASSWORD": "x", "DATABRICKS_TOKEN": "x", "KUBECONFIG": "x"}
    dropped = {"PYTHONPATH": "/mine", "PYTEST_ADDOPTS": "-x"}
    shell = Shell("one", "env | cut -d= -f1")
    shell.tool = tool
    env = {**withheld, **dropped, "DATABRICKS_HOST": "x", "HTTPS_PROXY": "http://p"}
    with make(env=env, variables=declared) as run:
        run.check(shell)
    shown = read(root).checks[0].detail.split()
    assert sorted({*shown} & {*withheld, *dropped}) == names
    assert {"DATABRICKS_HOST", "HTTPS_PROXY"} <= {*shown}


def test_report_with_a_secret_is_redacted_and_other_reports_unchanged(
    make: Make, root: Path
) -> None:
    with make(env=SECRETS, reports=("junit.xml", "plan.bin")) as run:
        (run.ctx.reports / "junit.xml").write_text(f'<a b="{html.escape(SECRET)}"/>')
        (run.ctx.reports / "plan.bin").write_bytes(b"\xff\x00")
        run.check(Answer("one"))
    reports = root / "reports" / "lint"
    assert (reports / "junit.xml").read_text() == '<a b="[hidden]"/>'
    assert (reports / "plan.bin").read_bytes() == b"\xff\x00"
    note = "reports/lint/junit.xml contained a secret, replaced by [hidden]"
    assert read(root).warnings == (note,)


def test_values_too_short_for_a_secret_change_no_output(make: Make, root: Path) -> None:
    with make(
        env={
            "DATABRICKS_TOKEN": "a",
            "GH_TOKEN": "",
            "AWS_SECRET_ACCESS_KEY": "testing",
        }
    ) as run:
        run.check(Answer("one", Outcome(Status.SUCCESS, "a table in testing/data")))
    assert read(root).checks[0].detail == "a table in testing/data"
