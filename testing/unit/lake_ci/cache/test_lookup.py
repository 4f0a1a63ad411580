"""A run of the real nox reuses an earlier result if, and only if, the result is still
valid. The plan shows in advance which results a run will reuse.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lake_ci.cache import lookup
from lake_ci.cache.lookup import Mode, mode, uncacheable_reason
from lake_ci.errors import UsageError
from lake_ci.model.results import CheckResult, Result, Status

if TYPE_CHECKING:
    from testing.unit.lake_ci.conftest import Nox

JOBS = '''
from lake_ci.runner.options import Parser


def parser():
    parser = Parser("nox -s first --")
    parser.add_argument("-x", action="store_true")
    return parser


@suite.job(python=None, inputs=["a/*"], reports=["left.txt"], parser=parser)
def first(run):
    """Read a folder."""
    run.check(
        Shell("echo first >> ran; cat a/* $OUTSIDE && cp a/one reports/first/left.txt")
    )


@suite.job(needs=[first], python=None, inputs=["b/*"], variables=["WORD"])
def second(run):
    """Read another folder, and a variable."""
    run.check(Shell("cat b/*; echo $WORD; echo second >> ran"))


@suite.job(
    needs=[first],
    artifacts_from=["first"],
    python=None,
    inputs=["c/*"],
    reports=["dist/"],
)
def third(run):
    """Take what the first has left."""
    run.check(
        Shell(
            "mkdir -p dist; cat reports/first/left.txt > dist/whole; echo third >> ran"
        )
    )


@suite.job(needs=[third], never_cached=True, python=None)
def fourth(run):
    """Do something that cannot be put back."""
    run.check(Shell("cat dist/whole; echo fourth >> ran"))
'''


class Reusing:
    """A repository whose jobs write their names to a file when they run."""

    def __init__(self, nox_run: Nox) -> None:
        self.nox = nox_run
        self.root = nox_run.root
        with (self.root / ".gitignore").open("a") as file:
            file.write("/ran*\n")
        nox_run.write(JOBS)
        for folder in "abc":
            self.write(f"{folder}/one", folder)

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(exist_ok=True)
        (self.root / path).write_text(text)

    def run(self, *arguments: str) -> list[str]:
        """Run the pipeline, or nox with the given arguments. Return the jobs that
        really ran, sorted by name.
        """
        (self.root / "ran").unlink(missing_ok=True)
        self.code = self.nox.here(*(arguments or ("--", "--plain", "-j", "1")))
        try:
            return sorted((self.root / "ran").read_text().split())
        except FileNotFoundError:
            return []

    def planned(
        self, capsys: pytest.CaptureFixture[str], *arguments: str
    ) -> dict[str, Any]:
        """Return the plan's decision for each session."""
        capsys.readouterr()
        assert self.nox.here("-s", "plan", "--", "--json", *arguments) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)["cache"]
        return found


@pytest.fixture
def jobs(nox_run: Nox, monkeypatch: pytest.MonkeyPatch) -> Reusing:
    monkeypatch.delenv("LAKE_CI_CACHE")
    return Reusing(nox_run)


def test_nothing_runs_twice_but_what_always_runs(
    jobs: Reusing, capsys: pytest.CaptureFixture[str]
) -> None:
    assert jobs.run() == ["first", "fourth", "second", "third"]
    found = jobs.nox.result("first")
    shutil.rmtree(jobs.root / "dist")
    shutil.rmtree(jobs.root / "reports" / "first")
    assert jobs.run() == ["fourth"]
    assert jobs.code == 0
    again = jobs.nox.result("first")
    assert again.reused == {"run": found.run, "since": lookup.ended(found)}
    assert (again.checks, again.started) == (found.checks, found.started)
    assert again.run == jobs.nox.result("fourth").run != found.run
    assert (jobs.root / "dist" / "whole").read_text() == "a"
    assert (jobs.root / "reports" / "first" / "left.txt").read_text() == "a"
    output = capsys.readouterr().out
    assert (
        f"as of {lookup.ended(found)[:16].replace('T', ' ')} UTC, run {found.run}"
        in output
    )
    summary = (jobs.root / "reports" / "summary.md").read_text()
    assert summary.count(f"run {found.run}") >= 3


def test_cached_sessions_are_counted_and_take_no_time(
    jobs: Reusing, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.run()
    # The reports are deleted, so the plan uses the duration of the newest cached
    # result.
    shutil.rmtree(jobs.root / "reports")
    jobs.write("b/one", "other")
    capsys.readouterr()
    jobs.run()
    output = capsys.readouterr().out.splitlines()
    # The numbers in the line are: all sessions, cached sessions, sessions to run,
    # seconds, workers.
    numbers = re.findall(r"\d+", output[1])
    assert (numbers[:3], numbers[-1]) == (["4", "2", "2"], "1")
    # Only the duration of `fourth` is unknown, because this job is never cached.
    assert re.findall(r"\d+", output[2]) == ["1"]
    shutil.rmtree(jobs.root / "reports")
    jobs.nox.here("-s", "plan")
    planned = capsys.readouterr().out.splitlines()[1]
    assert re.findall(r"\d+", planned)[:3] == ["4", "3", "1"]


def test_a_change_runs_what_reads_it_and_the_plan_says_why_before(
    jobs: Reusing, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.run()
    jobs.write("b/one", "other")
    jobs.write("b/two", "new")
    planned = jobs.planned(capsys)
    assert {name: row["answer"] for name, row in planned.items()} == {
        "first": "reuse",
        "second": "run",
        "third": "reuse",
        "fourth": "run",
    }
    reasons = planned["second"]["reasons"]
    assert [reason.split()[0] for reason in reasons] == ["b/one", "b/two"]
    assert jobs.nox.here("-s", "plan", "--", "--why", "second") == 0
    listed = "".join(f"  {reason}\n" for reason in reasons)
    assert f"second: run\n{listed}" in capsys.readouterr().out
    assert jobs.run() == ["fourth", "second"]
    # If the inputs get back their earlier content, their earlier result is valid again.
    jobs.write("b/one", "b")
    (jobs.root / "b" / "two").unlink()
    assert jobs.run() == ["fourth"]


def test_who_takes_from_a_job_runs_only_where_that_leaves_something_else(
    jobs: Reusing, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.run()
    jobs.write("a/two", "more")  # `first` reads this file; its output stays the same
    assert {name: row["answer"] for name, row in jobs.planned(capsys).items()} == {
        "first": "run",
        "second": "later",
        "third": "later",
        "fourth": "run",
    }
    assert jobs.run() == ["first", "fourth"]
    assert jobs.nox.result("second").reused is not None
    jobs.write("a/one", "else")
    assert jobs.run() == ["first", "fourth", "third"]
    assert (jobs.root / "dist" / "whole").read_text() == "else"


def test_what_holds_is_skipped_like_the_rest_where_a_need_fails(jobs: Reusing) -> None:
    jobs.run()
    (jobs.root / "a" / "one").unlink()
    assert (jobs.run(), jobs.code) == (["first"], 1)
    assert jobs.nox.statuses()["second"] == ("skipped", "need-failed")


@pytest.mark.parametrize("name", ["WORD", "TZ", "LAKEKIT_ENGINE"])
def test_a_variable_counts_by_its_value_which_is_never_shown(
    jobs: Reusing,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    jobs.run()
    monkeypatch.setenv(name, "UTC7-secret")
    planned = jobs.planned(capsys)
    assert planned["second"]["answer"] == (
        "run" if name == "WORD" else planned["second"]["answer"]
    )
    reasons = [reason for each in planned.values() for reason in each["reasons"]]
    assert any(name in reason.split() for reason in reasons)
    assert "secret" not in json.dumps(planned)
    cached_files = jobs.root.glob(".cache/**/*")
    assert not any(
        b"UTC7-secret" in path.read_bytes() for path in cached_files if path.is_file()
    )


def test_a_session_that_is_named_runs_and_what_it_finds_is_kept(jobs: Reusing) -> None:
    assert jobs.run("-s", "first") == ["first"]
    assert jobs.run("-s", "first") == ["first"]
    assert jobs.run() == ["fourth", "second", "third"]


def test_a_session_that_is_named_is_reused_where_that_is_asked_for(
    jobs: Reusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKE_CI_CACHE", "sessions")
    assert jobs.run("-s", "first") == ["first"]
    assert jobs.run("-s", "first") == []
    assert jobs.nox.result("first").reused is not None
    # With arguments, a session always runs, because arguments may change what it does.
    assert jobs.run("-s", "first", "--", "-x") == ["first"]
    assert jobs.nox.result("first").reused is None


def test_without_the_cache_all_runs_and_what_passes_is_kept_for_the_next(
    jobs: Reusing,
) -> None:
    jobs.run()
    everything = ["first", "fourth", "second", "third"]
    assert jobs.run("--", "--plain", "-j", "1", "--no-cache") == everything
    newer = jobs.nox.result("first").run
    assert jobs.run() == ["fourth"]
    assert jobs.nox.result("first").reused is not None
    assert (jobs.nox.result("first").reused or {})["run"] == newer
    for event in ("tag", "schedule"):
        ran = jobs.run("--", "--plain", "-j", "1", "--event", event)
        assert ran == (everything if event == "tag" else [])


def test_a_result_that_inputs_contradict_is_forgotten(
    jobs: Reusing,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("not declared")
    monkeypatch.setenv("OUTSIDE", str(outside))
    jobs.run()
    outside.unlink()
    assert (jobs.run("-s", "first"), jobs.code) == (["first"], 1)
    assert "passed with the same inputs" in capsys.readouterr().out
    assert jobs.planned(capsys)["first"]["answer"] == "run"


def test_input_written_during_the_run_prevents_caching(
    jobs: Reusing, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (jobs.root / "noxfile.py").read_text()
    (jobs.root / "noxfile.py").write_text(
        text.replace(
            "echo first >> ran", "echo first >> ran; cp a/one ran2; cp ran2 a/one"
        )
    )
    jobs.run()
    assert "not cached: " in capsys.readouterr().out
    assert "first" in jobs.run()


@pytest.mark.parametrize("damaged", ["0", "manifest.json"])
def test_a_damaged_entry_is_said_and_the_job_runs(
    jobs: Reusing, capsys: pytest.CaptureFixture[str], damaged: str
) -> None:
    jobs.run()
    for path in jobs.root.glob(f".cache/results/v2/*/{damaged}"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    shutil.rmtree(jobs.root / "reports")
    shutil.rmtree(jobs.root / "dist")
    ran = jobs.run()
    assert {"first", "third"} <= set(ran)
    assert ".cache/results/v2/" in capsys.readouterr().out
    assert (jobs.code, (jobs.root / "dist" / "whole").read_text()) == (0, "a")
    assert jobs.run() == ["fourth"]


def test_a_store_that_cannot_be_written_to_is_read_all_the_same(
    jobs: Reusing, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.run()

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr("lake_ci.cache.store.tempfile", SimpleNamespace(mkdtemp=refuse))
    monkeypatch.setattr("lake_ci.cache.store.os.utime", refuse)
    assert jobs.run() == ["fourth"]
    capsys.readouterr()
    assert jobs.run("-s", "first") == ["first"]
    assert os.strerror(13) in capsys.readouterr().out


def test_worktrees_of_a_clone_share_what_was_found(
    jobs: Reusing,
    git: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    jobs.run()
    git(jobs.root, "add", ".")
    git(jobs.root, "commit", "-q", "-m", "jobs")
    git(jobs.root, "worktree", "add", "-q", str(tmp_path / "other"))
    other = type(jobs.nox)(tmp_path / "other")
    monkeypatch.chdir(other.root)
    assert other.here("--", "--plain", "-j", "1") == 0
    assert (other.root / "ran").read_text() == "fourth\n"
    assert (other.root / "dist" / "whole").read_text() == "a"


def test_where_there_is_no_git_every_job_runs(
    jobs: Reusing, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(jobs.root / ".git")
    jobs.run()
    first = jobs.planned(capsys)["first"]
    assert (first["answer"], first["run"], first["since"]) == ("run", None, None)
    assert len(first["reasons"]) == 1


def test_what_is_declared_or_set_wrongly_is_one_line(
    jobs: Reusing, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (jobs.root / "pyproject.toml").write_text("[tool.lake_ci.cache]\nmegabytes = -1\n")
    message = (
        "pyproject.toml:2: [tool.lake_ci.cache] megabytes is -1: expected int >= 0"
    )
    for arguments in ((), ("-s", "first")):
        assert (jobs.run(*arguments), jobs.code) == ([], 2)
        assert capsys.readouterr().err.count(message) == 1
    (jobs.root / "pyproject.toml").write_text("")
    monkeypatch.setenv("LAKE_CI_CACHE", "on")
    assert (jobs.run("-s", "first"), jobs.code) == ([], 2)
    assert "LAKE_CI_CACHE='on'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, Mode.PIPELINE),
        ({"LAKE_CI_CACHE": "off", "GITHUB_ACTIONS": "true"}, Mode.OFF),
        ({"GITHUB_ACTIONS": "true"}, Mode.SESSIONS),
        ({"GITHUB_ACTIONS": "true", "LAKE_CI_CACHE": ""}, Mode.SESSIONS),
        ({"GITHUB_ACTIONS": "true", "GITHUB_REF_TYPE": "tag"}, Mode.OFF),
        ({"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "schedule"}, Mode.REFRESH),
        ({"LAKE_CI_CACHE": "sessions"}, Mode.SESSIONS),
    ],
)
def test_what_may_be_done_with_kept_results(
    env: dict[str, str], expected: Mode
) -> None:
    assert mode(env) is expected


def test_a_word_that_is_none_is_refused() -> None:
    with pytest.raises(
        UsageError,
        match="LAKE_CI_CACHE='session' is not a cache mode; did you mean 'sessions'",
    ):
        mode({"LAKE_CI_CACHE": "session"})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, None),
        ({"checks": (CheckResult("one", Status.WARNING),)}, None),
        ({"partial": True}, "the run was partial"),
        ({"cause": "interrupted"}, "the run was stopped: interrupted"),
        ({"checks": (CheckResult("one", Status.FAILURE),)}, "the status is failure"),
        ({"checks": ()}, "the status is skipped"),
        (
            {"checks": (CheckResult("one", Status.WARNING, not_checked="x"),)},
            "one did not check everything",
        ),
        (
            {
                "checks": (
                    CheckResult("two", Status.SUCCESS),
                    CheckResult("one", Status.SKIPPED),
                )
            },
            "one was skipped",
        ),
    ],
)
def test_only_what_was_done_in_full_is_kept(
    change: dict[str, Any], why: str | None
) -> None:
    fields: dict[str, Any] = {
        "run": "1",
        "attempt": 1,
        "event": "push",
        "commit": None,
        "dirty": False,
        "job": "lint",
        "session": "lint",
        "started": "2026-01-31T02:00:00Z",
        "seconds": 1.0,
        "reproduce": "nox -s lint",
        "checks": (CheckResult("one", Status.SUCCESS),),
    }
    assert uncacheable_reason(Result(**{**fields, **change})) == why
