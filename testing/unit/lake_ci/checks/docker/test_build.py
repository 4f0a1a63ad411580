"""Tests `nox -s docker`: its options, the build of the images, and the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lake_ci.checks.docker import build
from lake_ci.checks.docker.build import BuildImages, Hadolint, Images
from lake_ci.checks.docker.engine import Engine
from lake_ci.checks.docker.settings import TARGETS
from lake_ci.errors import UsageError
from lake_ci.model.results import Status
from lake_ci.model.settings import Docker
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed

Answering = Callable[..., list[list[str]]]
BUILT = """\
#8 [wheel 1/7] RUN pip install
#8 CACHED
#9 [wheel 2/7] WORKDIR /src
#9 DONE 0.1s
#10 [prod-packages 1/1] RUN --mount=type=cache install-locked
#10 CACHED
#11 [prod 2/2] COPY --from=wheel /lakekit /opt/lake
#11 DONE 0.2s
#12 exporting to image
#12 DONE 1.0s
"""
FAILED = """\
#9 [prod 3/3] RUN echo before && ls /not-there
#9 0.141 before
#9 0.142 ls: cannot access '/not-there': No such file or directory
#9 ERROR: executor failed running \
[/bin/sh -c echo before && ls /not-there]: exit code: 2
------
 > [prod 3/3] RUN echo before && ls /not-there:
0.141 before
0.142 ls: cannot access '/not-there': No such file or directory
------
ERROR: target prod: failed to solve: executor failed running \
[/bin/sh -c echo before && ls /not-there]: exit code: 2
"""


@pytest.fixture
def made(ctx: CheckContext, settings: Docker) -> Images:
    return Images(
        Engine(ctx, "0123"),
        ("prod", "api"),
        settings,
    )


def dockerfile(ctx: CheckContext, text: str) -> None:
    path = ctx.root / build.DOCKERFILE
    path.parent.mkdir()
    path.write_text(text)


def test_all_targets_are_built_twice_unless_less_is_asked_for() -> None:
    assert (
        build.options([]) == build.DockerOptions(TARGETS)
        and not build.options([]).partial
    )
    some = build.options(["--target", "api", "--target", "dev"])
    assert some.targets == ("dev", "api") and some.partial
    assert build.options(["--once"]).partial


@pytest.mark.parametrize("typed", [["--target", "apo"], ["api"], ["--target"]])
def test_what_is_not_known_is_refused_with_what_is(typed: list[str]) -> None:
    with pytest.raises(UsageError, match="see `nox -s docker -- --help`"):
        build.options(typed)


def test_hadolint_names_rule_file_and_line(ctx: CheckContext) -> None:
    row = {
        "code": "DL3003",
        "message": "Use WORKDIR",
        "file": "docker/Dockerfile",
        "line": 7,
        "level": "warning",
    }
    outcome = Hadolint().outcome(Completed((), 1, json.dumps([row]), "", 0.1), ctx)
    [found] = outcome.findings
    assert (found.rule, found.file, found.line) == ("DL3003", "docker/Dockerfile", 7)


def test_only_steps_that_no_cache_held_are_told() -> None:
    assert build.steps(Completed((), 0, "", BUILT, 1.0)) == ["prod 2/2", "wheel 2/7"]


def test_steps_are_told_without_the_target_that_buildx_names_for_several() -> None:
    text = (
        "#9 [prod wheel 2/7] WORKDIR /src\n#9 DONE 0.1s\n"
        "#8 [api prod-packages  1/12] RUN a\n#8 CACHED\n"
    )
    assert build.steps(Completed((), 0, "", text, 1.0)) == ["wheel 2/7"]


def test_a_failed_step_is_named_with_its_line_and_what_it_said(
    ctx: CheckContext,
) -> None:
    dockerfile(ctx, "FROM base AS prod\n\nRUN echo before \\\n && ls /not-there\n")
    outcome = build.failed_step("build", Completed((), 1, "", FAILED, 1.0), ctx)
    [found] = outcome.findings
    assert (found.file, found.line) == ("docker/Dockerfile", 3)
    assert "No such file or directory" in found.message


def test_a_build_that_fails_without_a_step_says_what_it_said(ctx: CheckContext) -> None:
    outcome = build.failed_step(
        "build", Completed((), 1, "", "cannot connect", 1.0), ctx
    )
    assert (
        outcome.status is Status.FAILURE
        and "cannot connect" in outcome.findings[0].message
    )


def test_without_an_engine_nothing_is_built(ctx: CheckContext, made: Images) -> None:
    made.engine.missing = "there is none"
    assert BuildImages(made).run(ctx).status is Status.SKIPPED


def test_the_index_of_this_machine_reaches_pip_and_its_files_do_not() -> None:
    env = {
        "UV_DEFAULT_INDEX": "https://user:word@example.org/simple",
        "PIP_CERT": "/etc/ca.crt",
        "PIP_FIND_LINKS": "/opt",
    }
    assert (
        build.pip_conf(env)
        == "[global]\nindex-url = https://user:word@example.org/simple\n"
    )
    assert build.pip_conf({}) == "[global]\n"


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("https://me:word@example.org/lake.git", "https://example.org/lake.git"),
        ("git@example.org:lake.git", "git@example.org:lake.git"),
        (None, "unknown"),
    ],
)
def test_the_source_holds_no_password(
    ctx: CheckContext, git: Callable[..., str], remote: str | None, expected: str
) -> None:
    if remote:
        git(ctx.root, "remote", "add", "origin", remote)
    assert build.source(ctx) == expected


def test_settings_go_by_variables_and_never_by_the_command_line(
    ctx: CheckContext, made: Images
) -> None:
    calls = []

    def execute(argv: list[str], **options: object) -> Completed:
        calls.append((argv, options["env"]))
        return Completed((), 0, "", "", 0.1)

    ctx.execute = execute
    ctx.env["PIP_INDEX_URL"] = "https://user:word@example.org/simple"
    build.bake(made, ctx, ctx.root, "checked", "--no-cache", comment="# canary\n")
    [(argv, env)] = calls
    assert argv[-3:] == ["--no-cache", "prod", "api"] and not any(
        "word" in word for word in argv
    )
    assert (
        isinstance(env, dict)
        and env["PREFIX"] == "lake-ci-0123/"
        and env["TAG"] == "checked"
    )
    assert env["LAKE_CI_PIP_CONF"].endswith("/simple\n# canary\n")


def test_jars_are_copied_once_and_only_those_that_are_locked(
    ctx: CheckContext, tmp_path: Path
) -> None:
    lock = ctx.root / "requirements" / "jars.txt"
    lock.parent.mkdir()
    lock.write_text(f"io.delta:storage:1.0 --hash=sha256:{'0' * 64}\n")
    ctx.env["LAKE_CI_JARS"] = str(tmp_path)
    for name in ("storage-1.0.jar", "old-0.9.jar"):
        (tmp_path / name).write_text(name)
    build.gather_jars(ctx)
    [jar] = (ctx.root / build.WORK / "jars").iterdir()
    assert jar.name == "storage-1.0.jar"
    (tmp_path / "storage-1.0.jar").unlink()
    build.gather_jars(ctx)
    assert jar.exists()
