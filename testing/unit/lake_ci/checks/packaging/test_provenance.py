"""`verify` and `deploy` refuse files that were changed, and files that GitHub did not
build from this commit.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lake_ci.checks import deploy
from lake_ci.checks.packaging import provenance
from lake_ci.model.results import CheckResult, Outcome, Status
from lake_ci.runner.check import Check, CheckContext
from lake_ci.system import git
from lake_ci.system.processes import Completed
from testing.deploys.attestation import Authority, Origin, install
from testing.deploys.project import make, seal
from testing.deploys.tampering import KINDS, SDIST, WHEEL

REPOSITORY = "shops/shop"
GITHUB = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push"}
Rows = dict[str, Outcome]
Bundle = dict[str, Any]
PLACES = ("trial", "dev")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a built sample project, which the fixture `project` copies."""
    return make(tmp_path_factory.mktemp("built") / "project", "1.0")


def execute(argv: list[str], **options: Any) -> Completed:
    """Run `gh`. Do not run a deploy: only report the events of a deploy that has
    ended.
    """
    if "lake_ci.deploy" in argv:
        event = {"event": "result", "outcome": "deployed", "code": 0}
        options["echo"](json.dumps(event))
        return Completed(tuple(argv), 0, "", "", 1.0)
    assert Path(argv[0]).name == "gh", argv
    done = subprocess.run(argv, cwd=options["cwd"], capture_output=True, text=True)
    return Completed(tuple(argv), done.returncode, done.stdout, done.stderr, 1.0)


@pytest.fixture
def project(ctx: CheckContext, built: Path, tmp_path: Path) -> CheckContext:
    """Return a context of the project. The environment variables are those of a GitHub
    runner without `gh`.
    """
    ctx.root = Path(shutil.copytree(built, tmp_path / "project"))
    ctx.env = {
        "PATH": str(tmp_path / "bin"),
        "GITHUB_REPOSITORY": REPOSITORY,
        **GITHUB,
    }
    ctx.execute = lambda argv, **options: execute(argv, **{"cwd": ctx.root, **options})
    return ctx


def rows(ctx: CheckContext, stages: Generator[Sequence[Check], None, object]) -> Rows:
    """Run the stages, and return the outcome of each row."""
    return {check.name: check.run(ctx) for stage in stages for check in stage}


def verify(ctx: CheckContext) -> Rows:
    return rows(ctx, provenance.stages())


def deploy_to(ctx: CheckContext, environment: str) -> Rows:
    chosen = deploy.options(["--environment", environment], {})
    return rows(ctx, deploy.stages(ctx, chosen))


@pytest.mark.parametrize("change", KINDS, ids=lambda change: change.__name__)
def test_changed_files_are_refused_before_anything_else(
    project: CheckContext, change: Callable[[Path], None]
) -> None:
    change(project.root)
    for found in (verify(project), *(deploy_to(project, each) for each in PLACES)):
        assert list(found) == ["artifacts"]
        [finding] = found["artifacts"].findings
        assert (found["artifacts"].status, finding.rule) == (Status.FAILURE, "refused")
        assert KINDS[change] in finding.message
        assert "`nox -s build`" in finding.message
        file = re.match(r"dist/[\w.+-]+\w", finding.message)
        assert finding.place == (f"{file[0]}:1" if file else "")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def origin(project: CheckContext) -> Origin:
    return Origin(REPOSITORY, git.commit(project.root) or "")


@pytest.fixture
def attest(
    project: CheckContext, authority: Authority, tmp_path: Path
) -> Callable[..., Bundle]:
    """Return a function that signs the files in dist/, and writes the bundle that `gh`
    reads.
    """
    install(tmp_path / "bin", authority)

    def sign(origin: Origin, by: Authority = authority) -> Bundle:
        files = sorted((project.root / "dist").iterdir())
        bundle = by.attest(files, origin)
        write(project, bundle)
        return bundle

    return sign


def write(project: CheckContext, bundle: Bundle) -> None:
    (project.root / provenance.BUNDLE).write_text(json.dumps(bundle) + "\n")


def assert_unproven(found: Rows, file: str, words: str) -> None:
    assert list(found) == ["artifacts", "attestation"]
    outcome = found["attestation"]
    [finding] = outcome.findings
    assert (outcome.status, finding.rule) == (Status.FAILURE, "unproven")
    assert finding.place == f"dist/{file}:1"
    assert words in finding.message
    assert "rerun the job `build`" in finding.message


def test_files_that_github_built_from_this_commit_are_proven(
    project: CheckContext, attest: Callable[..., Bundle], origin: Origin
) -> None:
    attest(origin)
    found = verify(project)
    assert [each.status for each in found.values()] == [Status.SUCCESS] * 2
    assert found["attestation"].detail.startswith("GitHub built 2 files of ")
    assert list(deploy_to(project, "dev")) == ["artifacts", "attestation", "deploy"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"commit": "0" * 40}, f"got {'0' * 40}"),
        ({"repository": "other/shop"}, "got https://github.com/other/shop"),
        (
            {"workflow": ".github/workflows/other.yml"},
            f"expected {REPOSITORY}/.github/workflows/ci.yml, got",
        ),
        ({"runner": "self-hosted"}, "expected github-hosted, got self-hosted"),
    ],
)
def test_other_origin_is_refused_by_name(
    project: CheckContext,
    attest: Callable[..., Bundle],
    origin: Origin,
    change: dict[str, str],
    words: str,
) -> None:
    attest(replace(origin, **change))
    assert_unproven(verify(project), WHEEL, words)
    assert_unproven(deploy_to(project, "dev"), WHEEL, words)


def test_other_files_than_the_attested_ones_are_refused(
    project: CheckContext, attest: Callable[..., Bundle], origin: Origin
) -> None:
    """An attacker who changes a file can also rewrite the checksums and the result."""
    attest(origin)
    with (project.root / "dist" / SDIST).open("ab") as file:
        file.write(b"\0")
    seal(project.root)
    words = f"no attestation names the sha256 of dist/{SDIST}"
    assert_unproven(verify(project), SDIST, words)


def test_signature_of_another_authority_is_refused(
    project: CheckContext, attest: Callable[..., Bundle], origin: Origin
) -> None:
    attest(origin, by=Authority())
    assert_unproven(verify(project), WHEEL, "the signature is not valid")


def test_changed_statement_is_refused(
    project: CheckContext, attest: Callable[..., Bundle], origin: Origin
) -> None:
    bundle = attest(origin)
    statement = base64.b64decode(bundle["dsseEnvelope"]["payload"])
    changed = base64.b64encode(statement + b" ").decode()
    bundle["dsseEnvelope"]["payload"] = changed
    write(project, bundle)
    assert_unproven(verify(project), WHEEL, "the signature is not valid")


@pytest.mark.parametrize("text", ["", "[]", "{}", '[{"verificationResult": {}}]'])
def test_gh_that_verified_nothing_is_refused(
    project: CheckContext,
    attest: Callable[..., Bundle],
    origin: Origin,
    text: str,
) -> None:
    attest(origin)
    project.execute = lambda argv, **_: Completed(tuple(argv), 0, text, "", 1.0)
    assert_unproven(verify(project), WHEEL, "gh found no attestation of this file")


def test_interrupted_gh_proves_nothing(
    project: CheckContext, attest: Callable[..., Bundle], origin: Origin
) -> None:
    attest(origin)
    project.execute = lambda argv, **_: Completed(
        tuple(argv), -15, "", "", 1.0, stopped="timeout"
    )
    found = verify(project)["attestation"]
    assert [each.rule for each in found.findings] == ["timeout"]


def without_bundle(project: CheckContext) -> None:
    (project.root / provenance.BUNDLE).unlink()


def without_gh(project: CheckContext) -> None:
    project.env["PATH"] = ""


def without_repository(project: CheckContext) -> None:
    del project.env["GITHUB_REPOSITORY"]


MISSING: dict[Callable[[CheckContext], None], str] = {
    without_bundle: "reports/build/attestation.json is missing: rerun the job `build`",
    without_gh: "gh is missing: install the GitHub CLI",
    without_repository: "the repository is unknown: set GITHUB_REPOSITORY",
}


@pytest.mark.parametrize("remove", MISSING, ids=lambda remove: remove.__name__)
def test_missing_proof_fails_on_github_and_is_skipped_elsewhere(
    project: CheckContext,
    attest: Callable[..., Bundle],
    origin: Origin,
    remove: Callable[[CheckContext], None],
) -> None:
    attest(origin)
    remove(project)
    for found in (verify(project), deploy_to(project, "dev")):
        [finding] = found["attestation"].findings
        assert (list(found), finding.rule) == (["artifacts", "attestation"], "missing")
        assert MISSING[remove] in finding.message

    del project.env["GITHUB_ACTIONS"]
    outcome = verify(project)["attestation"]
    row = CheckResult.from_outcome("attestation", outcome, 1.0, strict=True)
    assert row.status is Status.SKIPPED
    assert row.detail.startswith("only GitHub can prove who built the files; ")
    assert MISSING[remove] in row.detail
    assert list(deploy_to(project, "dev")) == ["artifacts", "attestation", "deploy"]


def test_pull_request_is_not_attested(project: CheckContext) -> None:
    project.env["GITHUB_EVENT_NAME"] = "pull_request"
    assert verify(project)["attestation"].status is Status.SKIPPED


@pytest.mark.parametrize(
    "url",
    [
        f"https://github.com/{REPOSITORY}",
        f"https://github.com/{REPOSITORY}.git",
        f"git@github.com:{REPOSITORY}.git",
    ],
)
def test_repository_is_that_of_origin(
    project: CheckContext, attest: Callable[..., Bundle], origin: Origin, url: str
) -> None:
    attest(origin)
    del project.env["GITHUB_REPOSITORY"]
    assert git.ask(project.root, "remote", "add", "origin", url) is not None
    assert verify(project)["attestation"].status is Status.SUCCESS


def test_deploy_to_a_trial_needs_no_attestation(project: CheckContext) -> None:
    chosen = deploy.options([], {})
    stages = deploy.stages(project, chosen)
    [files] = next(stages)
    assert files.run(project).status is Status.SUCCESS
    assert [check.name for check in next(stages)] == ["java", "jars"]
    stages.close()
