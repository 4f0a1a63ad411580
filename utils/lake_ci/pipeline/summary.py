"""Collects the results of a run in an overview, and writes the reports."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from lake_ci.errors import BadResultError
from lake_ci.model import results
from lake_ci.model.events import Plan
from lake_ci.model.job import Graph, Job, Variant
from lake_ci.model.results import REPORTS, TIME_FORMAT, Result
from lake_ci.report import history, html, junit, markdown
from lake_ci.report.annotations import log
from lake_ci.report.overview import (
    Node,
    Overview,
    Past,
    Refused,
    Session,
    State,
    TestCase,
    Workers,
)
from lake_ci.report.result_validation import rejection_reason
from lake_ci.system import git
from lake_ci.system.atomic_write import write_whole

# GitHub does not show a step summary that is larger than 1 MiB.
STEP_SUMMARY_LIMIT = 1024 * 1024
GITHUB_REMOTE = re.compile(
    r"(?:https://(?:[^@/]*@)?|ssh://git@|git@)github\.com[/:]"
    r"([\w.-]+/[\w.-]+?)(?:\.git)?/?"
)


def collect(
    root: Path,
    graph: Graph,
    plan: Plan,
    *,
    run: str,
    attempt: int,
    commit: str | None,
    dirty: bool = False,
    running: bool = False,
    github_results: Mapping[str, str] | None = None,
    itself: str = "summary",
    workers: Workers | None = None,
    clock: Callable[[], float] = time.time,
) -> Overview:
    """Read each `reports/*/result.json`; return an overview of this run's results.

    Args:
        run: the id of this run. Results of other runs are ignored, but listed.
        attempt: the number of this attempt of the run. For each session, the newest
            result of this attempt and all earlier attempts is used.
        commit: the commit that this run checks. Results of other commits are ignored,
            but listed.
        running: whether the run is still active. In an active run, a session without a
            result is still running. In a finished run, a session without a result has
            failed.
        github_results: the result of each job according to GitHub
            (`needs.<job>.result`). If GitHub reports that a job failed, the job is a
            failure, even if its result.json is a success. If GitHub reports that a job
            was skipped, and there is no result.json, the job is skipped.
        itself: the job that writes the report. The overview does not contain this job,
            because the job has no result yet.
        workers: the machine that ran all sessions; None if each session had its own
            machine.
        clock: a function that returns the time of the report, in seconds since 1970.
    """
    reports = root / REPORTS
    planned = {variant.id for job in plan.starts for variant in job.variants}
    found, refused = _choose(reports, planned, run, attempt, commit)
    gathering = _Gathering(reports, found, refused, running, github_results or {})
    past, notes = _past(reports / history.FILE)
    return Overview(
        run=run,
        attempt=attempt,
        event=plan.event.name,
        branch=plan.event.branch,
        commit=commit,
        dirty=dirty,
        made=datetime.fromtimestamp(clock(), timezone.utc).strftime(TIME_FORMAT),
        nodes=tuple(gathering.nodes(graph, plan, itself)),
        refused=tuple(refused),
        past=tuple(each for each in past if each.run != run),
        notes=notes,
        workers=workers,
    )


def write(
    overview: Overview,
    root: Path,
    env: Mapping[str, str],
    *,
    out: Callable[[str], None] = print,
) -> int:
    """Write `reports/summary.md` and `reports/index.html`; on GitHub, print the log.

    Returns the exit code of the whole run. If the run has finished, the run is added to
    the history.
    """
    reports = root / REPORTS
    source = source_url(root, env, overview)
    text = markdown.report(overview, source=source)
    write_whole(reports / "summary.md", text)
    write_whole(reports / "index.html", html.page(overview, source_url=source))
    if overview.state is not State.RUNNING:
        runs = [*overview.past, history.past_of(overview)]
        write_whole(reports / history.FILE, history.to_text(runs))
    if env.get("GITHUB_STEP_SUMMARY"):
        step = Path(env["GITHUB_STEP_SUMMARY"])
        used = step.stat().st_size if step.exists() else 0
        with step.open("a", encoding="utf-8") as file:
            file.write(
                markdown.cut(text, STEP_SUMMARY_LIMIT - used, "reports/summary.md")
            )
    if env.get("GITHUB_ACTIONS") == "true":
        out(log(overview, secrets.token_hex(16)))
    return overview.exit_code


def source_url(root: Path, env: Mapping[str, str], overview: Overview) -> str | None:
    """Return the base URL of this commit's files on GitHub, or None.

    On a machine outside of GitHub, the result is None if `origin` is not on github.com,
    or if the commit has not been pushed. Uncommitted changes also make the result None.
    """
    if overview.commit is None:
        return None
    server, repository = env.get("GITHUB_SERVER_URL", ""), env.get("GITHUB_REPOSITORY")
    if server.startswith("https://") and repository:
        return f"{server}/{repository}/blob/{overview.commit}/"
    remote = GITHUB_REMOTE.fullmatch(git.ask(root, "remote", "get-url", "origin") or "")
    if (
        remote is None
        or overview.dirty
        or not git.ask(root, "branch", "-r", "--contains", overview.commit)
    ):
        return None
    return f"https://github.com/{remote[1]}/blob/{overview.commit}/"


@dataclass(frozen=True)
class _Gathering:
    """Creates the sessions of the overview from the plan and the results."""

    reports: Path
    found: Mapping[str, tuple[Path, Result]]
    refused: Sequence[Refused]
    running: bool
    github_results: Mapping[str, str]

    def nodes(self, graph: Graph, plan: Plan, itself: str) -> Iterator[Node]:
        """Yield each job of the graph, except the job `itself`.

        A job contains its sessions, or the reason why none of its sessions is planned.
        """
        started = {job.name for job in plan.starts}
        states: dict[str, State] = {}
        for job in graph:
            if job.name == itself:
                continue
            sessions: tuple[Session, ...] = ()
            skipped = None
            if job.name in started:
                sessions = self.sessions(job, states)
                states[job.name] = State.worst(session.state for session in sessions)
            else:
                skipped = plan.skipped.get(job.name, "not planned")
            yield Node(job.name, job.summary, job.needs, sessions, skipped)

    def sessions(self, job: Job, states: Mapping[str, State]) -> tuple[Session, ...]:
        """Return the sessions of a planned job, with the sessions' states.

        `states` contains the states of all jobs that come before this job.
        """
        sessions = tuple(
            self._session(job, variant, states) for variant in job.variants
        )
        github_result = self.github_results.get(job.name)
        if github_result in ("failure", "cancelled") and all(
            each.state is not State.FAILURE for each in sessions
        ):
            # GitHub reports a single result for the whole matrix of a job. If this
            # result is a failure, any session may have failed.
            return tuple(
                replace(
                    each,
                    state=State.FAILURE,
                    why=(
                        f"its result is {each.state.word}, but GitHub reports"
                        f" {github_result}"
                    ),
                )
                for each in sessions
            )
        return sessions

    def _session(
        self, job: Job, variant: Variant, states: Mapping[str, State]
    ) -> Session:
        empty = Session(
            variant.id, variant.session, job.name, variant.reproduce, State.FAILURE
        )
        github_result = self.github_results.get(job.name)
        if variant.id not in self.found:
            state, why = self._absent(job, variant, states, github_result)
            return replace(empty, state=state, why=why)
        folder, result = self.found[variant.id]
        tests, note = _tests(folder / "junit.xml")
        return replace(
            empty,
            state=State(result.status.value),
            result=result,
            tests=tests,
            note=note,
        )

    def _absent(
        self,
        job: Job,
        variant: Variant,
        states: Mapping[str, State],
        github_result: str | None,
    ) -> tuple[State, str]:
        if self.running:
            return State.RUNNING, "still running"
        stopped = [
            need
            for need in job.needs
            if states.get(need) in (State.FAILURE, State.SKIPPED)
        ]
        if stopped and github_result in (None, "skipped"):
            return State.SKIPPED, f"needs {stopped[0]}, which did not pass"
        if github_result == "skipped":
            return State.SKIPPED, "skipped by GitHub"
        file = f"{REPORTS}/{variant.id}/{results.FILE_NAME}"
        for refused in self.refused:
            if refused.file == file:
                return State.FAILURE, f"its result was ignored: {refused.reason}"
        return State.FAILURE, "no result was written"


def _choose(
    reports: Path, planned: set[str], run: str, attempt: int, commit: str | None
) -> tuple[dict[str, tuple[Path, Result]], list[Refused]]:
    """Return the newest result of each planned session, with the result's folder.

    In addition, return each unused result, with the reason why the result is not used.
    """
    candidates: dict[str, list[tuple[Path, Result]]] = {}
    refused = []
    for path in sorted(reports.glob(f"*/{results.FILE_NAME}")):
        name = f"{REPORTS}/{path.parent.name}/{path.name}"
        try:
            result = results.read(path.parent)
        except (BadResultError, RecursionError) as error:
            refused.append(Refused(name, str(error).removeprefix(f"{path}: ")))
            continue
        reason = rejection_reason(
            result, planned, run=run, attempt=attempt, commit=commit
        )
        if reason is None:
            candidates.setdefault(result.job, []).append((path.parent, result))
        else:
            refused.append(Refused(name, reason))
    found = {}
    for job, entries in candidates.items():
        found[job] = max(
            entries, key=lambda entry: (entry[1].attempt, entry[1].started)
        )
        for folder, result in entries:
            if folder != found[job][0]:
                reason = (
                    f"is of attempt {result.attempt}; attempt {found[job][1].attempt}"
                    " is used"
                )
                refused.append(
                    Refused(f"{REPORTS}/{folder.name}/{results.FILE_NAME}", reason)
                )
    return found, sorted(refused, key=lambda entry: entry.file)


def _tests(path: Path) -> tuple[tuple[TestCase, ...], str]:
    """Return the tests in a junit.xml, and an error if the file is unreadable.

    If the file does not exist, return no tests and no error.
    """
    try:
        return junit.tests(path.read_text(encoding="utf-8")), ""
    except FileNotFoundError:
        return (), ""
    except (OSError, ValueError) as error:
        return (), f"its junit.xml cannot be read: {error}"


def _past(path: Path) -> tuple[list[Past], tuple[str, ...]]:
    try:
        return history.from_text(path.read_text(encoding="utf-8")), ()
    except FileNotFoundError:
        return [], ()
    except (OSError, ValueError) as error:
        return [], (
            f"reports/{history.FILE} cannot be read, so no runs are compared: {error}",
        )
