"""`.ci/engine` starts a container engine with buildx and a base image, or fails."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from testing.unit.ci.conftest import Machine

DOCKER = """
case "$*" in
  version*Server*) [ -e "$STATE/running" ] ;;
  "buildx version") [ -x "$HOME/.docker/cli-plugins/docker-buildx" ] ;;
  "image inspect lake-ci/base:bookworm")
    [ -e "$STATE/running" ] && [ -e "$STATE/base" ] ;;
  import*" lake-ci/base:bookworm") cp "$2" "$STATE/base" ;;
  *) echo "docker $*: no" >&2; exit 1 ;;
esac
"""
# The fake engine runs until the test ends.
DOCKERD = ('touch "$STATE/running"', 'exec cat "$STATE/dockerd"')
GO = """
[ "$1" = install ] || exit 2
printf '#!/bin/sh\\nexit 0\\n' >"$GOBIN/buildx"
chmod +x "$GOBIN/buildx"
"""
MMDEBSTRAP = 'echo "a base of ${@: -2:1}" >"${@: -1}"'


@pytest.fixture
def debian(machine: Machine) -> Iterator[Machine]:
    """Yield a machine with a stopped engine, and with all programs that the script
    needs.
    """
    os.mkfifo(machine.state / "dockerd")
    machine.program("docker", DOCKER)
    machine.program("dockerd", *DOCKERD)
    machine.program("go", GO)
    machine.program("mmdebstrap", MMDEBSTRAP)
    (machine.bin / "cp").symlink_to("/bin/cp")
    service = os.open(machine.state / "dockerd", os.O_RDWR)
    yield machine
    os.close(service)


def test_the_engine_is_started_and_gets_buildx_and_a_base(debian: Machine) -> None:
    assert debian.run(".ci/engine", "check").returncode == 1
    made = debian.run(".ci/engine", "make")
    assert made.returncode == 0, made.stderr
    assert debian.run(".ci/engine", "check").returncode == 0
    assert (debian.state / "base").read_text() == "a base of bookworm\n"
    assert sorted(path.name for path in debian.cache.iterdir()) == [
        "buildx-v0.32.1",
        "dockerd.log",
    ]


def test_an_engine_that_is_installed_is_started_by_the_check(debian: Machine) -> None:
    debian.succeed(".ci/engine", "make")
    (debian.state / "running").unlink()
    assert debian.run(".ci/engine", "check").returncode == 0
    assert (debian.state / "running").exists()


def test_another_base_image_is_not_built(debian: Machine) -> None:
    debian.env["BASE"] = "mirror/python:3.11"
    debian.succeed(".ci/engine", "make")
    assert not (debian.state / "base").exists()
    (debian.state / "running").unlink()
    assert debian.run(".ci/engine", "check").returncode == 0
    assert (debian.state / "running").exists()


def test_without_an_engine_the_check_fails_and_debians_is_installed(
    debian: Machine,
) -> None:
    (debian.bin / "docker").unlink()
    (debian.bin / "dockerd").rename(debian.state / "dockerd.package")
    assert debian.run(".ci/engine", "check").returncode == 1
    debian.program("docker", DOCKER)
    install = 'cp "$STATE/dockerd.package" "${0%/*}/dockerd"'
    debian.program(
        "apt-get",
        'echo "$*" >>"$STATE/apt"',
        f'case "$*" in *docker.io*) {install} ;; esac',
    )
    debian.program("dpkg", "exit 0")
    debian.program("sudo", 'exec "$@"')
    made = debian.run(".ci/engine", "make")
    assert made.returncode == 0, made.stderr
    assert (
        (debian.state / "apt")
        .read_text()
        .splitlines()[-1]
        .endswith(" docker.io iptables")
    )


def test_a_failed_build_leaves_nothing_half_made(debian: Machine) -> None:
    debian.program("go", 'echo half >"$GOBIN/buildx"', "echo no network >&2", "exit 1")
    made = debian.run(".ci/engine", "make")
    assert made.returncode == 1 and "no network" in made.stderr
    assert [path.name for path in debian.cache.iterdir()] == ["dockerd.log"]
    # Leave the files of an interrupted run. The next run must succeed nevertheless.
    (debian.cache / "buildx-v0.32.1").mkdir()
    (debian.cache / "buildx-v0.32.1" / "buildx").write_text("half")
    (debian.cache / "engine.killed").mkdir()
    debian.program("go", GO)
    debian.succeed(".ci/engine", "make")
    assert debian.run(".ci/engine", "check").returncode == 0
    assert not (debian.cache / "engine.killed").exists()


def test_an_engine_that_does_not_start_is_an_error_with_its_own_words(
    debian: Machine,
) -> None:
    debian.program("dockerd", "echo failed to mount overlay", "exit 1")
    made = debian.run(".ci/engine", "make")
    assert made.returncode == 1
    assert "failed to mount overlay" in made.stderr
    assert (
        f"dockerd did not start; its output is in {debian.cache}/dockerd.log"
        in made.stderr
    )


def test_without_go_the_error_says_where_to_get_it(debian: Machine) -> None:
    (debian.bin / "go").unlink()
    made = debian.run(".ci/engine", "make")
    assert made.returncode == 1 and "get it from go.dev/dl" in made.stderr


def test_two_engines_never_share_an_identity(debian: Machine) -> None:
    debian.env["DOCKER_HOST"] = "unix:///run/podman.sock"
    described = [debian.succeed(".ci/engine", "describe").stdout for _ in range(2)]
    assert described[0] != described[1]
    assert described[0].splitlines()[1:] == [
        "DOCKER_HOST=unix:///run/podman.sock",
        "BASE=",
    ]
