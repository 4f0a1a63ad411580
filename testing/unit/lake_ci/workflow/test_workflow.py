"""The workflow file is generated from the declared jobs. If the committed file differs
from the generated file, a message shows the difference.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from lake_ci.checks.packaging import provenance
from lake_ci.errors import UsageError
from lake_ci.model.job import EVENTS, Graph, Job
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import CheckContext
from lake_ci.runner.run import Run
from lake_ci.workflow import workflow


def session(run: Run) -> None:
    """Do it."""


@pytest.fixture
def graph() -> Graph:
    graph = Graph()
    graph.add(Job("lint", session, events=EVENTS, minutes=10))
    graph.add(
        Job(
            "tests",
            session,
            needs=("lint",),
            pythons=("3.9", "3.10"),
            javas=("11",),
            reports=("coverage.xml",),
        )
    )
    graph.add(
        Job(
            "build",
            session,
            needs=("tests",),
            reports=("dist/", "SHA256SUMS"),
            history=True,
        )
    )
    return graph


def job(text: str, name: str) -> str:
    """Return the part of the file for one job."""
    match = re.search(rf"^  {name}:\n((?:    .*\n|\n)*)", text, re.MULTILINE)
    assert match is not None
    return match[1]


def test_the_file_says_that_it_is_generated_and_runs_strictly(graph: Graph) -> None:
    text = workflow.render(graph)
    assert text.startswith("# ") and "`nox -s workflow`" in text.splitlines()[0]
    assert '  LAKE_CI_STRICT: "1"\n' in text
    assert "permissions: {}\n" in text


def test_a_job_calls_its_session_after_its_needs_within_its_time(graph: Graph) -> None:
    text = job(workflow.render(graph), "tests")
    assert "    needs: [lint]\n" in text
    assert 'nox -s "$SESSION"' in text
    assert "timeout-minutes: 45" in text
    assert "if: github.event_name != 'schedule'" in text
    for line in (
        "- session: tests-3.9(java11)",
        "- session: tests-3.10(java11)",
        "id: tests-3.10-java11",
    ):
        assert line in text


def test_every_action_of_others_is_pinned_with_its_tag_behind_it(graph: Graph) -> None:
    found = re.findall(r"uses: (?!\./)(.*)", workflow.render(graph))
    assert found
    assert all(
        re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", line) for line in found
    ), found


def test_rights_are_those_that_the_reports_need(graph: Graph) -> None:
    text = workflow.render(graph)
    assert "id-token" not in job(text, "lint")
    assert "id-token: write # Codecov" in job(text, "tests")
    assert "attestations: write" in job(text, "build")


def test_history_is_fetched_only_where_it_is_needed(graph: Graph) -> None:
    text = workflow.render(graph)
    assert "fetch-depth: 0" in job(text, "build")
    assert "fetch-depth" not in job(text, "lint")


def test_the_summary_always_comes_last_and_a_release_after_it(graph: Graph) -> None:
    text = workflow.render(graph)
    assert "needs: [lint, tests, build]" in job(text, "summary")
    assert "if: always()" in job(text, "summary")
    assert "needs: [build, summary]" in job(text, "publish")


def test_release_waits_for_the_jobs_that_read_its_files(graph: Graph) -> None:
    for name, events in (("verify", ("tag",)), ("deploy", ("push:main",))):
        reader = Job(name, session, ("build",), events, artifacts_from=("build",))
        graph.add(reader)
    text = workflow.render(graph)
    assert "needs: [build, verify, summary]" in job(text, "publish")
    assert "needs.verify.result == 'success'" in job(text, "publish")
    verify = job(text, "verify")
    assert 'packages: "false"' in verify and "results:" not in verify
    assert verify.count("write") == 0


def test_signature_of_the_build_is_where_verify_reads_it() -> None:
    actions = Path(__file__).parents[4] / ".github" / "actions"
    out, into = (
        yaml.safe_load((actions / name / "action.yml").read_text(encoding="utf-8"))
        for name in ("artifacts-out", "artifacts-in")
    )
    signed = "${{ steps.attest.outputs.bundle-path }}"
    [upload] = [
        step["with"]
        for step in out["runs"]["steps"]
        if step["with"].get("path") == signed
    ]
    [download] = [
        step["with"]
        for step in into["runs"]["steps"]
        if step["with"].get("pattern") == upload["name"]
    ]
    # actions/attest gives the file this name.
    assert f"{download['path']}/attestation.json" == provenance.BUNDLE


def test_nothing_is_published_where_nothing_is_built() -> None:
    graph = Graph()
    graph.add(Job("lint", session))
    assert "publish" not in workflow.render(graph)


def test_a_deploy_asks_for_its_environment_and_never_runs_twice_at_once(
    graph: Graph,
) -> None:
    assert "inputs:" not in workflow.render(graph)
    graph.add(
        Job(
            "deploy",
            session,
            needs=("build",),
            environment=True,
            artifacts_from=("build",),
            setup=("engine",),
            python=None,
        )
    )
    text = workflow.render(graph)
    assert "options: [trial, dev, staging, production]" in text
    deploy = job(text, "deploy")
    assert (
        "environment: ${{ inputs.environment || vars.DEPLOY_ENVIRONMENT || 'trial' }}"
        in deploy
    )
    assert "cancel-in-progress: false" in deploy
    assert "jobs: build" in deploy
    assert 'engine: "true"' in deploy


def test_findings_in_sarif_may_be_uploaded() -> None:
    graph = Graph()
    graph.add(Job("security", session, reports=("findings.sarif",)))
    text = job(workflow.render(graph), "security")
    assert "security-events: write" in text
    assert 'sarif: "true"' in text


def test_an_unknown_set_up_is_refused() -> None:
    graph = Graph()
    graph.add(Job("docker", session, setup=("enginee",)))
    with pytest.raises(UsageError, match="job 'docker': unknown set-up 'enginee'"):
        workflow.render(graph)


@pytest.mark.parametrize("name", ["summary", "publish"])
def test_a_job_with_a_reserved_name_is_refused(graph: Graph, name: str) -> None:
    graph.add(Job(name, session))
    with pytest.raises(UsageError, match=f"'{name}': the workflow has a job"):
        workflow.render(graph)


def test_nothing_is_published_where_no_tag_starts_the_build() -> None:
    graph = Graph()
    graph.add(Job("build", session, events=("push:main",), reports=("dist/",)))
    assert "publish" not in workflow.render(graph)


@pytest.fixture
def written(ctx: CheckContext, graph: Graph) -> Path:
    assert workflow.Write(graph).run(ctx) == Outcome(
        Status.SUCCESS, "wrote .github/workflows/ci.yml"
    )
    return ctx.root / ".github" / "workflows" / "ci.yml"


def test_what_was_written_is_in_sync_and_not_written_again(
    ctx: CheckContext, graph: Graph, written: Path
) -> None:
    assert written.read_text() == workflow.render(graph)
    assert workflow.InSync(graph).run(ctx).status is Status.SUCCESS
    assert workflow.Write(graph).run(ctx).detail == "unchanged"


def test_a_workflow_of_somebody_else_stays_and_is_no_diff(
    ctx: CheckContext, graph: Graph, written: Path
) -> None:
    own = "name: ci\non: push\njobs: {}\n"
    written.write_text(own)
    for tool in (workflow.Write(graph), workflow.InSync(graph)):
        outcome = tool.run(ctx)
        [finding] = outcome.findings
        assert (outcome.status, finding.rule) == (Status.FAILURE, "not-generated")
        assert finding.place == ".github/workflows/ci.yml:1"
        assert "nox -s workflow -- --force" in finding.message
        assert written.read_text() == own
    ctx.posargs = ("--force",)
    assert workflow.Write(graph).run(ctx).status is Status.SUCCESS
    assert written.read_text() == workflow.render(graph)


def test_arguments_choose_between_writing_and_comparing(graph: Graph) -> None:
    assert isinstance(workflow.tool(graph, []), workflow.Write)
    assert isinstance(workflow.tool(graph, ["--force"]), workflow.Write)
    assert isinstance(workflow.tool(graph, ["--check"]), workflow.InSync)
    with pytest.raises(UsageError, match="'--check'"):
        workflow.tool(graph, ["--chek"])


def test_manual_edit_is_shown_as_a_diff_with_line_and_fix_command(
    ctx: CheckContext, graph: Graph, written: Path
) -> None:
    written.write_text(written.read_text().replace("ubuntu-24.04", "ubuntu-latest", 1))
    outcome = workflow.InSync(graph).run(ctx)
    [finding] = outcome.findings
    at = written.read_text().splitlines().index("    runs-on: ubuntu-latest") + 1
    assert (outcome.status, finding.place) == (
        Status.FAILURE,
        f".github/workflows/ci.yml:{at}",
    )
    assert "run `nox -s workflow`" in finding.message
    assert "-    runs-on: ubuntu-latest\n+    runs-on: ubuntu-24.04" in finding.message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, 1),
        ("", 1),
        ("# Generated by `nox -s workflow` from noxfile.py; do not edit.\n", 2),
    ],
)
def test_a_missing_or_truncated_file_is_out_of_step(
    ctx: CheckContext, graph: Graph, written: Path, text: str | None, line: int
) -> None:
    written.unlink()
    if text is not None:
        written.write_text(text)
    [finding] = workflow.InSync(graph).run(ctx).findings
    assert finding.line == line


def test_each_session_has_its_own_cache_unless_it_always_runs(
    graph: Graph,
) -> None:
    graph.add(Job("deploy", session, never_cached=True))
    text = workflow.render(graph)
    assert "  LAKE_CI_CACHE: ${{ vars.LAKE_CI_CACHE }}\n" in text
    assert "          results: lint\n" in job(text, "lint")
    assert "          results: ${{ matrix.id }}\n" in job(text, "tests")
    assert "results:" not in job(text, "deploy")


def test_kept_results_are_never_read_for_a_tag_nor_written_for_a_fork() -> None:
    action = Path(__file__).parents[4] / ".github" / "actions" / "setup" / "action.yml"
    steps = [
        step
        for step in action.read_text(encoding="utf-8").split("\n    - ")
        if ".cache/results" in step
    ]
    assert ["uses: actions/cache@" in step for step in steps] == [True, False]
    writes, reads = (step.split("\n")[0] for step in steps)
    assert "uses: actions/cache/restore@" in steps[1]
    for condition in (writes, reads):
        assert (
            "inputs.results != ''" in condition
            and "env.LAKE_CI_CACHE != 'off'" in condition
        )
    assert "github.ref_type != 'tag'" in writes
    assert "github.event.pull_request.head.repo.fork != true" in writes
    assert "github.event.pull_request.head.repo.fork == true" in reads
