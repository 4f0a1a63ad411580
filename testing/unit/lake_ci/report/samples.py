"""Creates a pipeline and the results of a run, for the tests of all reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from lake_ci.model import results
from lake_ci.model.events import Event, Plan, select
from lake_ci.model.job import ALWAYS, Graph, Job, Variant
from lake_ci.model.results import CheckResult, Finding, Result, Status
from lake_ci.pipeline import summary
from lake_ci.report.overview import Overview
from lake_ci.runner.run import Run

RUN, COMMIT = "7f3a91c2d4e8", "781e3285471555e1975aa485f50b41bd684bbcb2"
# Texts of a tool that could break a report: markup, script, closing tags, quotes,
# commands of GitHub, hidden characters.
HOSTILE = (
    "<script>document.title='owned'</script><img src=x"
    " onerror=\"document.title='owned'\"> ]]> </script> --> \"'`` |"
    " [x](javascript:alert(1)) **b** &lt;"
    " %0A\n::error::owned\n::stop-commands::x\u202eevil\u2066 \x1b[31mred\x1b[0m \u2028"
    " \ud800 ${{ secrets.X }}"
)

# A run with failures: the session whose tests fail, its errors, and the jobs that are
# skipped.
BROKEN = "tests-3.10-java17"
LATE = Finding(
    "pytest",
    "AssertionError",
    "test_silver::test_late_rows_are_merged: assert 336775 == 336776",
    "testing/integration/test_sample_run.py",
    141,
)
TYPES = Finding(
    "mypy",
    "arg-type",
    'Argument 1 to "frozenset" has incompatible type "set[type[Condition]]";'
    ' expected "Iterable[type[Expression]]"',
    "utils/lakekit/declarations/transpile.py",
    23,
)
NOT_REACHED = ("docker", "k8s", "build", "performance", "deploy")


def session(run: Run) -> None:
    """Do the job."""


def design() -> Graph:
    """Return the jobs of the pipeline, including `summary`."""
    graph = Graph()
    pythons, javas = ("3.9", "3.10", "3.11"), ("11", "17")
    for job in (
        Job("lint", session),
        Job("security", session, events=(*ALWAYS, "schedule")),
        Job("terraform", session),
        Job("tests", session, needs=("lint",), pythons=pythons, javas=javas),
        Job("docker", session, needs=("tests",)),
        Job("k8s", session, needs=("docker",)),
        Job("build", session, needs=("k8s", "security", "terraform")),
        Job("performance", session, needs=("build",), events=("push:main",)),
        Job(
            "deploy",
            session,
            needs=("build",),
            events=("push:main", "workflow_dispatch"),
        ),
        Job("acceptance", session, events=("schedule", "workflow_dispatch")),
    ):
        graph.add(job)
    graph.add(
        Job("summary", session, needs=tuple(graph.jobs), events=(*ALWAYS, "schedule"))
    )
    return graph


def plan_of(graph: Graph, *, event: str = "push", branch: str = "main") -> Plan:
    """Return the plan of an event."""
    return select(graph, Event(event, branch))


def passed(
    name: str, detail: str = "", seconds: float = 1.0, **data: Any
) -> CheckResult:
    """Return a check that passed."""
    return CheckResult(name, Status.SUCCESS, seconds, detail, data=data)


def failed(
    name: str, *findings: Finding, detail: str = "", seconds: float = 1.0
) -> CheckResult:
    """Return a check that failed with these findings."""
    return CheckResult(
        name,
        Status.FAILURE,
        seconds,
        detail or results.count(len(findings), "finding"),
        findings,
    )


def result_of(
    variant: Variant,
    *checks: CheckResult,
    minute: float = 0,
    seconds: float = 10,
    **fields: Any,
) -> Result:
    """Return the result of a session that started `minute` minutes after 02:00."""
    whole, rest = divmod(minute * 60, 60)
    base = Result(
        run=RUN,
        attempt=1,
        event="push",
        commit=COMMIT,
        dirty=False,
        job=variant.id,
        session=variant.session,
        started=f"2026-01-31T02:{int(whole):02d}:{int(rest):02d}Z",
        seconds=seconds,
        reproduce=variant.reproduce,
        checks=checks or (passed("check"),),
        python="3.11.7",
    )
    return replace(base, **fields)


def leave(root: Path, result: Result, folder: str | None = None) -> Path:
    """Write a result as its session would, and return the folder of the result."""
    path = root / "reports" / (folder or result.job)
    results.write(path, result)
    return path


def leave_all(
    root: Path, plan: Plan, changed: Mapping[str, Result] | None = None
) -> None:
    """Write a result for each planned session: the result in `changed`, or else a good
    result.
    """
    for job in plan.starts:
        for variant in job.variants:
            if job.name != "summary":
                leave(root, (changed or {}).get(variant.id) or result_of(variant))


def collect(root: Path, plan: Plan | None = None, **options: Any) -> Overview:
    """Return the overview of the sample run."""
    graph = design()
    fixed: dict[str, Any] = {
        "run": RUN,
        "attempt": 1,
        "commit": COMMIT,
        "clock": lambda: 1769825400.0,
    }
    return summary.collect(root, graph, plan or plan_of(graph), **{**fixed, **options})


def overview_of(tmp_path: Path, **changed: Sequence[CheckResult]) -> Overview:
    """Return the overview of a push to main. The sessions in `changed` have the given
    checks; all other sessions passed.
    """
    graph = design()
    plan = plan_of(graph)
    variants = {variant.id: variant for job in graph for variant in job.variants}
    given = {name.replace("_", "-"): checks for name, checks in changed.items()}
    leave_all(
        tmp_path,
        plan,
        {name: result_of(variants[name], *checks) for name, checks in given.items()},
    )
    return collect(tmp_path, plan)


def junit_xml(*cases: tuple[str, float, str]) -> str:
    """Return the junit.xml of these tests. Each test has a name, its seconds and, if it
    failed, its output.
    """
    rows = []
    for number, (name, seconds, output) in enumerate(cases):
        place = (
            f'classname="testing.unit.test_x" name={quoteattr(name)} time="{seconds}"'
            ' file="testing/unit/test_x.py"'
        )
        failure = (
            f'<failure message="failed">{escape(output)}</failure>' if output else ""
        )
        rows.append(f'<testcase {place} line="{number}">{failure}</testcase>')
    return (
        '<testsuites name="pytest"><testsuite'
        f' name="pytest">{"".join(rows)}</testsuite></testsuites>'
    )


def leave_realistic(root: Path) -> Plan:
    """Write the results of a push to main. The results include failures, incomplete
    checks, tests, coverage and a benchmark.
    """
    graph = design()
    plan = plan_of(graph)
    tests = graph.jobs["tests"].variants
    made = [
        bad_lint(graph.jobs["lint"].variants[0]),
        bad_security(graph.jobs["security"].variants[0]),
        bad_terraform(graph.jobs["terraform"].variants[0]),
        *(bad_tests(variant, number) for number, variant in enumerate(tests)),
        *map(not_reached, (graph.jobs[name] for name in NOT_REACHED)),
    ]
    leave_all(root, plan, {result.job: result for result in made})
    for variant in tests:
        (root / "reports" / variant.id / "junit.xml").write_text(
            bad_junit_xml(variant), encoding="utf-8"
        )
    leave(root, result_of(graph.jobs["acceptance"].variants[0], run="0123456789ab"))
    return plan


def bad_lint(variant: Variant) -> Result:
    """Return a result of lint with three warnings."""
    remarks = tuple(
        Finding(
            "flake8",
            "B950",
            "line too long (126 > 110 characters)",
            "testing/unit/lakekit/commands/test_run.py",
            line,
            "warning",
        )
        for line in (88, 93, 140)
    )
    return result_of(
        variant,
        passed("black", "124 files", 0.9),
        CheckResult("flake8", Status.WARNING, 1.2, "3 remarks", remarks),
        passed("mypy", "", 4.4),
        seconds=9.4,
    )


def bad_security(variant: Variant) -> Result:
    """Return a result of security with outdated advisories."""
    return result_of(
        variant,
        passed("bandit", "", 2.0),
        passed("semgrep", "61 rules", 21.0),
        CheckResult("safety", Status.WARNING, 1.0, "the advisories are 9 days old"),
        seconds=24.5,
    )


def bad_terraform(variant: Variant) -> Result:
    """Return a result of terraform in which most environments were not planned."""
    not_checked = (
        "the provider registry is out of reach: plans of staging and production were"
        " not made"
    )
    return result_of(
        variant,
        passed("fmt", "", 0.2),
        passed("validate", "", 3.0),
        CheckResult(
            "plan", Status.WARNING, 6.0, "1 of 4 environments", not_checked=not_checked
        ),
        seconds=11.2,
    )


def not_reached(job: Job) -> Result:
    """Return the result of a skipped session: the first of the jobs that it needs has
    failed.
    """
    detail = f"needs {job.needs[0]}, which did not pass"
    row = CheckResult("session", Status.SKIPPED, detail=detail)
    return result_of(job.variants[0], row, cause="need-failed", seconds=0)


def bad_tests(variant: Variant, number: int) -> Result:
    """Return the result of a session of `tests`. The session BROKEN has a failed test.
    The higher the number of a session, the lower its coverage.
    """
    bad = variant.id == BROKEN
    percent = 95.1 - number / 2
    java = "17.0.9" if variant.java == "17" else "11.0.13"
    suite = failed("integration", LATE, detail="1 failed, 61 passed", seconds=64.0)
    without_suite = "lake_ci needs Python 3.10: its tests are not collected here"
    return result_of(
        variant,
        passed("java", java, 0.3),
        passed("unit", "412 passed", 18.0),
        suite if bad else passed("integration", "62 passed", 61.0 + number),
        passed(
            "coverage",
            f"{percent:.1f} % of branches and lines",
            2.2,
            percent=percent,
            files={
                "utils/lakekit/declarations/tables.py": 97.4 - number,
                "utils/lakekit/commands/run.py": 91.2,
                "utils/lakekit/cli/main.py": 99.0,
            },
        ),
        *([failed("types", TYPES)] if bad else []),
        minute=0.2 + (number // 2) * 1.4,
        seconds=81.0 + 3 * number,
        artifacts=(
            f"reports/{variant.id}/coverage.xml",
            f"reports/{variant.id}/junit.xml",
        ),
        warnings=(without_suite,) if variant.python == "3.9" else (),
        java=java,
    )


def bad_junit_xml(variant: Variant) -> str:
    """Return the junit.xml of a session with many quick tests. The session BROKEN also
    has a failed test.
    """
    output = (
        "def test_late_rows_are_merged(lake):\n>       assert"
        " lake.count('silver.flights') == 336776\nE       assert 336775 =="
        " 336776\n\ntesting/integration/test_sample_run.py:141: AssertionError"
    )
    quick = [
        (f"test_{kind}[{number}]", 0.004 * number, "")
        for kind in ("merge", "upsert", "cast")
        for number in range(90)
    ]
    late = ("test_late_rows_are_merged", 3.8, output if variant.id == BROKEN else "")
    return junit_xml(*quick, late)
