"""Images of other projects must be pinned by digest; BASE names another base image."""

from __future__ import annotations

import pytest

from lake_ci.checks.docker.base_image import BaseImage, Dockerfile
from lake_ci.model.results import Status
from lake_ci.runner.check import CheckContext

PYTHON = f"python:3.11-slim@sha256:{'0' * 64}"
GOOD = f"""\
# FROM ignored:latest
ARG BASE=pinned
FROM {PYTHON} AS pinned
FROM --platform=linux/amd64 ${{BASE}} AS base
RUN --mount=type=bind,from=base,target=/a true
FROM scratch
COPY --from=Base /a /a
COPY --from=0 /a /a
"""


def write(ctx: CheckContext, text: str, file: str = "docker/Dockerfile") -> None:
    path = ctx.root / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def test_pinned_images_and_stages_pass(ctx: CheckContext) -> None:
    write(ctx, GOOD)
    outcome = BaseImage().run(ctx)
    assert (outcome.status, outcome.detail) == (Status.SUCCESS, PYTHON)


def test_base_of_the_environment_is_shown_in_the_row(ctx: CheckContext) -> None:
    write(ctx, GOOD)
    ctx.env["BASE"] = "mirror/python"
    outcome = BaseImage().run(ctx)
    assert outcome.status is Status.SUCCESS
    assert outcome.detail == f"BASE=mirror/python replaces {PYTHON}"
    ctx.env["BASE"] = "pinned"
    assert BaseImage().run(ctx).detail == PYTHON


@pytest.mark.parametrize(
    ("text", "name", "line"),
    [
        ("FROM python:3.11\n", "python:3.11", 1),
        ("# a\n\nfrom python as python\n", "python", 3),
        ("FROM python@sha256:0123\n", "python@sha256:0123", 1),
        ("\nARG TAG=3\nFROM a:${TAG} AS b\n", "a:3", 3),
        ("\nARG BASE=a\nFROM $BASE AS b\nFROM ${BASE}\n", "a", 2),
        ("ARG BASE\nFROM ${BASE}\n", "${BASE}", 2),
        ("ARG BASE\nFROM ${BASE:-a}\n", "a", 2),
        ("FROM scratch\nCOPY --from=a/b:1 /x /y\n", "a/b:1", 2),
        ("FROM scratch\nRUN a \\\n --mount=type=bind,from=c,target=d\n", "c", 3),
    ],
)
def test_image_without_digest_is_named(
    ctx: CheckContext, text: str, name: str, line: int
) -> None:
    write(ctx, text)
    outcome = BaseImage().run(ctx)
    [found] = outcome.findings
    assert outcome.status is Status.FAILURE
    assert (found.rule, found.file, found.line) == (
        "unpinned",
        "docker/Dockerfile",
        line,
    )
    assert found.message.startswith(f"{name} has no digest")


def test_all_dockerfiles_of_the_repository_are_checked(ctx: CheckContext) -> None:
    write(ctx, GOOD)
    for file in ("Dockerfile", ".devcontainer/Dockerfile", "docker/api.Dockerfile"):
        write(ctx, "FROM a:1\n", file)
    write(ctx, "FROM a:1\n", "docker/notes.txt")
    found = BaseImage().run(ctx).findings
    assert [each.file for each in found] == [
        ".devcontainer/Dockerfile",
        "Dockerfile",
        "docker/api.Dockerfile",
    ]


def test_base_image_is_the_image_of_the_first_stage_in_the_chain() -> None:
    text = f"ARG BASE=b\nFROM {PYTHON} AS a\nFROM a AS b\nFROM ${{BASE}} AS c\n"
    dockerfile = Dockerfile(text)
    assert dockerfile.base_image({}) == PYTHON
    assert dockerfile.base_image({"BASE": ""}) == PYTHON
    assert dockerfile.base_image({"BASE": "own"}) == "own"
