"""Runs the pipeline: plans an event, runs the planned sessions, and writes the reports.

The sessions run in a second nox process, the inner nox.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

import nox

from lake_ci.cache import lookup
from lake_ci.cache.lookup import SWITCH, Answer, CacheDecision, Mode, ResultCache
from lake_ci.errors import BadResultError, MachineError, UsageError
from lake_ci.model import results
from lake_ci.model.events import Plan
from lake_ci.model.job import Variant
from lake_ci.model.results import (
    REPORTS,
    TIME_FORMAT,
    CheckResult,
    Finding,
    Outcome,
    Result,
    Status,
)
from lake_ci.pipeline import github_issue, summary
from lake_ci.pipeline.durations import Durations, durations
from lake_ci.pipeline.plan import (
    as_json,
    as_mermaid,
    as_text,
    estimate,
    estimate_text,
    forecast_text,
    parser,
    plan_of,
    why_text,
)
from lake_ci.report import efficiency, terminal
from lake_ci.report.overview import Overview, Workers
from lake_ci.runner import nox_adapter
from lake_ci.runner.options import Parser
from lake_ci.runner.run import facts
from lake_ci.runner.suite import PLAN, Suite, exit_on_error
from lake_ci.system import git, interpreters, provisioning
from lake_ci.system.atomic_write import write_whole
from lake_ci.system.file_lock import locked, sign
from lake_ci.system.processes import Processes

# After a signal, the inner nox waits 2 s, so that its workers can end their tools and
# write results.
INNER_GRACE_SECONDS = 2.8
LAST = ".history/last.json"


def arguments() -> Parser:
    """Return the parser of the pipeline's arguments: the arguments after `nox --`."""
    found = parser("")
    found.add_argument(
        "-j",
        metavar="N",
        dest="parallel",
        help="run N sessions at once (default: one per CPU)",
    )
    found.add_argument(
        "--plain", action="store_true", help="print lines instead of the live board"
    )
    found.add_argument(
        "--no-cache",
        action="store_true",
        help="ignore cached results",
    )
    return found


def run_pipeline(suite: Suite, session: nox.Session) -> None:
    """Run the session `pipeline`.

    The process exits with 0, 1, 2, 3 or 130; DESIGN.md explains these exit codes.
    """
    with exit_on_error(suite.redact):
        options = arguments().parse_args(session.posargs)
        plan = plan_of(suite.graph, suite.root, suite.env, options)
        another = "`nox -- --event E --branch B` simulates another event"
        print(f"Simulating {plan.event} ({another}): {_names(plan)}", flush=True)
        lock = suite.root / ".cache" / "pipeline.lock"
        with locked(
            lock,
            lambda holder: print(
                f"waiting for another pipeline in this checkout: {holder}", flush=True
            ),
        ):
            sign(lock, f"process {os.getpid()}, since {time.strftime('%H:%M:%S')}")
            code = Pipeline(
                suite,
                plan,
                nox_adapter.configuration(session),
                options,
                session.posargs,
            ).run()
    if code != 0:
        sys.exit(code)


def show_plan(suite: Suite, session: nox.Session) -> None:
    """Run the session `plan`: print the plan of an event without running it."""
    with exit_on_error(suite.redact):
        found = parser("-s plan ")
        found.add_argument("--json", action="store_true", help="print JSON")
        found.add_argument(
            "--mermaid", action="store_true", help="print a Mermaid flowchart"
        )
        found.add_argument(
            "--why",
            metavar="JOB",
            help="list every changed input of this job",
        )
        options = found.parse_args(session.posargs)
        plan = plan_of(suite.graph, suite.root, suite.env, options)
        if options.mermaid:
            print(as_mermaid(plan, suite.graph))
            return
        config = nox_adapter.configuration(session)
        # Print the cache's messages to standard error, because programs may parse
        # standard output.
        cache = forecasting(suite, config, lambda text: print(text, file=sys.stderr))
        decisions: list[CacheDecision] = []
        mode = cache_mode(suite, plan)
        if mode in (Mode.PIPELINE, Mode.SESSIONS):
            decisions = cache.forecast(plan.starts, cache.now())
        if options.why is not None:
            job = suite.graph.named(options.why)
            print(
                "\n".join(
                    why_text(
                        job, [each for each in decisions if each.variant.job is job]
                    )
                )
            )
        else:
            write = as_json if options.json else as_text
            times = expected(suite, plan.variants, cache, mode)
            print(
                write(plan, times, decisions, workers=nox_adapter.workers(config, None))
            )


def expected(
    suite: Suite, variants: Collection[Variant], cache: ResultCache, mode: Mode
) -> Durations:
    """Return the expected durations of the sessions, for runs and for `nox -s plan`."""
    cached = cache.seconds if mode is not Mode.OFF else None
    return durations(suite.root, suite.graph, variants, cached)


def cache_mode(suite: Suite, plan: Plan, *, no_cache: bool = False) -> Mode:
    """Return the cache mode that GitHub would use for a run of this plan."""
    variables = {
        "tag": {"GITHUB_REF_TYPE": "tag"},
        "schedule": {"GITHUB_EVENT_NAME": "schedule"},
    }
    mode = lookup.mode({**suite.env, **variables.get(plan.event.name, {})})
    return Mode.REFRESH if no_cache and mode is not Mode.OFF else mode


def forecasting(
    suite: Suite, config: Any, out: Callable[[str], None] = print
) -> ResultCache:
    """Return the result cache for the environments that this nox uses."""

    def environment(variant: Variant) -> Path | None:
        if variant.job.python is None and not variant.job.pythons:
            return None
        return nox_adapter.environment_folder(suite.root, config, variant.session)

    return suite.reuse(environment, out)


def summarize(suite: Suite, session: nox.Session) -> None:
    """Run the session `summary`: collect a run's results, and write the reports.

    On GitHub, the run is the workflow run. On any other machine, the run is the last
    pipeline run in this checkout. If the run failed, the process exits with an error
    code.
    """
    with exit_on_error(suite.redact):
        env = suite.env
        run, arguments = env.get("GITHUB_RUN_ID"), list(session.posargs)
        shared: Workers | None = None
        if run is None:
            run, arguments, shared = _last_run(suite.root)
        plan = plan_of(
            suite.graph, suite.root, env, parser("-s summary ").parse_args(arguments)
        )
        github_results = {
            job: str(entry["result"])
            for job, entry in json.loads(env.get("NEEDS") or "{}").items()
        }
        code = summary.write(
            _overview(suite, plan, run, github_results, shared), suite.root, env
        )
        text = (suite.root / REPORTS / "summary.md").read_text(encoding="utf-8")
        # On GitHub, `write` has already logged the report, and has ensured that the
        # runner does not execute any part of the report as a command.
        if env.get("GITHUB_ACTIONS") != "true":
            print(text)
        if code != 0 and plan.event.name == "schedule" and env.get("GITHUB_TOKEN"):
            print(f"reported in {github_issue.tell(text, env)}")
    if code != 0:
        sys.exit(code)


def _overview(
    suite: Suite,
    plan: Plan,
    run: str,
    github_results: Mapping[str, str] | None = None,
    shared: Workers | None = None,
) -> Overview:
    overview = summary.collect(
        suite.root,
        suite.graph,
        plan,
        run=run,
        attempt=int(suite.env.get("GITHUB_RUN_ATTEMPT", "1")),
        commit=git.commit(suite.root),
        dirty=git.is_dirty(suite.root),
        github_results=github_results,
        workers=shared,
    )
    return suite.redact.tree(overview)


def _last_run(root: Path) -> tuple[str, list[str], Workers | None]:
    """Return the id, the arguments and the workers of the last pipeline run.

    Raises:
        UsageError: no pipeline has run in this checkout.
    """
    try:
        last = json.loads((root / REPORTS / LAST).read_text(encoding="utf-8"))
        run, arguments = str(last["run"]), [str(each) for each in last["arguments"]]
        # If an older version of the suite wrote the file, it does not contain the
        # workers.
        return run, arguments, Workers(**last["workers"]) if "workers" in last else None
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError("no pipeline has run in this checkout", "run `nox`") from None


def _exit_code(found: Sequence[Result], nox_code: int) -> int:
    """Compute the pipeline's exit code from the results and from nox's exit code."""
    causes = {result.cause for result in found if result.status is Status.FAILURE}
    if causes:
        return MachineError.exit_code if causes == {provisioning.CAUSE} else 1
    # If nox failed although no session failed, there is a problem that no result shows.
    return nox_code


class Pipeline:
    """One run of the jobs of a plan."""

    def __init__(
        self,
        suite: Suite,
        plan: Plan,
        config: Any,
        options: argparse.Namespace,
        arguments: Sequence[str] = (),
    ) -> None:
        self.suite = suite
        self.plan = plan
        self.config = config
        self.options = options
        self.arguments = list(arguments)
        self.run_id = suite.env.get("GITHUB_RUN_ID") or uuid.uuid4().hex[:12]
        self.variants = plan.variants
        self.mode = cache_mode(suite, plan, no_cache=options.no_cache)
        number = nox_adapter.workers(config, options.parallel)
        self.workers = Workers(number, os.cpu_count() or 1, time.time())

    def run(self) -> int:
        """Run the planned sessions in the inner nox, and print the results as a table.

        Returns the exit code.
        """
        if not self.variants:
            print(terminal.table([], self.plan.skipped))
            return 0
        interrupted = False
        with tempfile.TemporaryDirectory() as scratch:
            report = Path(scratch) / "report.json"
            code = 0
            try:
                running = self._running()
                if running:
                    code = self._inner(report, running)
            except KeyboardInterrupt:
                interrupted = True
            if self.config.install_only:
                return 130 if interrupted else code
            found = self._results(
                nox_adapter.read_report(report), interrupted=interrupted
            )
        print(f"\n{terminal.table(found, self.plan.skipped)}", flush=True)
        self._report()
        if interrupted:
            raise KeyboardInterrupt
        return _exit_code(found, code)

    def _running(self) -> list[Variant]:
        """Restore cached results; print which sessions run, and the expected duration.

        Returns the sessions that run, in the order in which they start.
        """
        cache = forecasting(self.suite, self.config)
        decisions = self._restore(cache)
        reused = [each.variant for each in decisions if each.answer is Answer.REUSE]
        running = {each.session: each for each in self.variants if each not in reused}
        # Durations are needed only if a session runs.
        times = expected(self.suite, self.variants if running else (), cache, self.mode)
        planned = estimate(self.plan, times, decisions, workers=self.workers.number)
        if not self.config.install_only:
            lines = [*estimate_text(planned), *forecast_text(decisions)]
            print("\n".join(lines), flush=True)
        return [running[session] for session in planned.order if session in running]

    def _restore(self, cache: ResultCache) -> list[CacheDecision]:
        """Restore cached results; return the cache's decision for each session.

        The returned list is empty if cached results may not be reused.
        """
        if self.mode not in (Mode.PIPELINE, Mode.SESSIONS) or self.config.install_only:
            return []
        return cache.forecast(
            self.plan.starts,
            cache.now(),
            lambda decision: cache.restore(decision, self._facts) is not None,
        )

    def _inner(self, report: Path, running: Sequence[Variant]) -> int:
        # nox starts the sessions in this order, but each session only after the
        # sessions that it needs.
        starting = [variant.session for variant in running]
        env = {
            **self.suite.env,
            PLAN: json.dumps(starting),
            SWITCH: self.mode.value,
            "LAKE_CI_RUN": self.run_id,
            "LAKE_CI_EVENT": self.plan.event.name,
        }
        if self.options.environment is not None:
            env["DEPLOY_ENVIRONMENT"] = self.options.environment
        plain = self.options.plain
        done = Processes(redact=self.suite.redact).run(
            nox_adapter.command(self.config, starting, report, self.workers.number),
            cwd=self.suite.root,
            env=env,
            attached=not plain,
            echo=(lambda line: print(line, end="", flush=True)) if plain else None,
            grace=INNER_GRACE_SECONDS,
        )
        return done.code

    def _results(
        self, nox_report: Mapping[str, Mapping[str, Any]], *, interrupted: bool
    ) -> list[Result]:
        """Return the result of each planned session.

        If a session wrote no result, create a result that contains nox's reason.
        """
        found = []
        for variant in self.variants:
            folder = self.suite.root / REPORTS / variant.id
            with contextlib.suppress(BadResultError):
                result = results.read(folder)
                if result.run == self.run_id:
                    found.append(result)
                    continue
            entry = nox_report.get(variant.session)
            made = self._stand_in(variant, entry, interrupted=interrupted)
            result = self.suite.redact.tree(made)
            results.write(folder, result)
            found.append(result)
        return found

    def _report(self) -> None:
        """Write the run's reports; print the run's efficiency and the reports' path."""
        overview = _overview(self.suite, self.plan, self.run_id, shared=self.workers)
        summary.write(overview, self.suite.root, self.suite.env)
        last = {
            "run": self.run_id,
            "arguments": _planning(self.arguments),
            "workers": asdict(self.workers),
        }
        write_whole(self.suite.root / REPORTS / LAST, json.dumps(last) + "\n")
        lines = efficiency.text(efficiency.of(overview))
        print("\n".join([*lines, f"full report: {REPORTS}/index.html"]), flush=True)

    @cached_property
    def _facts(self) -> dict[str, Any]:
        """Return the fields that have the same values in all results of this run.

        git is called only once, because an interrupted run has little time.
        """
        variables = {"LAKE_CI_RUN": self.run_id, "LAKE_CI_EVENT": self.plan.event.name}
        return facts(self.suite.root, {**self.suite.env, **variables})

    def _stand_in(
        self, variant: Variant, entry: Mapping[str, Any] | None, *, interrupted: bool
    ) -> Result:
        check, cause = self._why_absent(entry, interrupted=interrupted)
        seconds = round(float((entry or {}).get("duration", 0.0)), 3)
        # nox reports how long a session took, but not when the session started. So
        # assume that the session has ended now.
        started = datetime.now(timezone.utc) - timedelta(seconds=seconds)
        return Result(
            **self._facts,
            job=variant.id,
            session=variant.session,
            started=started.strftime(TIME_FORMAT),
            seconds=seconds,
            reproduce=variant.reproduce,
            checks=(check,),
            cause=cause,
        )

    def _why_absent(
        self, entry: Mapping[str, Any] | None, *, interrupted: bool
    ) -> tuple[CheckResult, str | None]:
        """Return the row and the cause for a session that wrote no result.

        The row and the cause depend on nox's report about the session.
        """
        if entry is None:
            why, cause = (
                ("interrupted before it started", "interrupted")
                if interrupted
                else ("not started: a session failed (-x)", None)
            )
            return CheckResult("session", Status.SKIPPED, detail=why), cause
        missing = nox_adapter.missing_interpreter(entry)
        if missing is not None:
            message = interpreters.missing(missing, self.suite.env)
            finding = Finding("nox", "interpreter", message)
            outcome = Outcome(
                Status.WARNING, f"no Python {missing}", (finding,), not_checked=message
            )
            strict = self.suite.strict
            return (
                CheckResult.from_outcome("interpreter", outcome, 0.0, strict=strict),
                None,
            )
        need = nox_adapter.failed_need(entry)
        if need is not None:
            why = f"needs {need}, which did not pass"
            return CheckResult("session", Status.SKIPPED, detail=why), "need-failed"
        message = (
            str(entry.get("reason") or "")
            or "nox could not create the environment; see its output above"
        )
        findings = (Finding("nox", "no-result", message),)
        check = CheckResult(
            "environment", Status.FAILURE, detail=message, findings=findings
        )
        return check, "no-environment"


def _planning(arguments: Sequence[str]) -> list[str]:
    """Return only the arguments that define the plan."""
    known, _ = parser("").parse_known_args(list(arguments))
    pairs = [
        (f"--{name.replace('_', '-')}", value) for name, value in vars(known).items()
    ]
    flat = [
        (option, one)
        for option, value in pairs
        for one in (value if isinstance(value, list) else [value])
    ]
    return [
        word
        for option, value in flat
        if value is not None
        for word in (option, str(value))
    ]


def _names(plan: Plan) -> str:
    return ", ".join(job.name for job in plan.starts) or "no job"
