"""Tests which changes to the machine and the network count as changed inputs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from urllib.parse import unquote

import pytest
import python_discovery

from lake_ci.cache import external_inputs as module
from lake_ci.cache.external_inputs import Machine, UnknownInputError
from lake_ci.cache.file_hashes import Digests
from lake_ci.model.job import EXTERNAL_INPUTS

Make = Callable[..., Machine]


@pytest.fixture
def make(root: Path) -> Make:
    def machine(**env: str) -> Machine:
        found = {"PATH": os.environ["PATH"], "HOME": str(root.parent / "home"), **env}
        return Machine(
            root, found, Digests(root, root / ".cache" / "digests"), date(2026, 1, 31)
        )

    return machine


def test_every_fact_that_a_job_may_name_can_be_asked() -> None:
    assert set(module.EXTERNAL_INPUTS) == set(EXTERNAL_INPUTS)


def test_only_variables_that_tools_heed_count_and_no_value_is_shown(make: Make) -> None:
    respected = {
        "LANG": "C",
        "AWS_REGION": "eu",
        "https_proxy": "x",
        "LAKE_CI_STRICT": "1",
        "PYTHONPATH": "secret",
    }
    ignored = {
        "TERM": "xterm",
        "LAKE_CI_RUN": "1",
        "LAKE_CI_CACHE": "off",
        "SSH_TTY": "x",
        "OLDPWD": "/",
    }
    found = make(**respected, **ignored).variables(("TERM",))
    assert set(found) == {*respected, "PATH", "HOME", "TERM"}
    assert all(len(text) == 64 for text in found.values())
    assert make(LANG="C").variables()["LANG"] != make(LANG="D").variables()["LANG"]


def test_a_setting_in_the_home_folder_counts(make: Make, root: Path) -> None:
    before = make().common
    assert "suite's Python" in before and "git" in before and "lake_ci" in before
    (root.parent / "home").mkdir()
    (root.parent / "home" / ".gitconfig").write_text("[user]\n")
    now = make().common
    assert set(now) - set(before) == {"~/.gitconfig"}
    (root.parent / "home" / ".gitconfig").write_text("[core]\n")
    assert make().common != now


def test_a_jdk_that_is_named_counts_by_its_release(make: Make, tmp_path: Path) -> None:
    (tmp_path / "jdk").mkdir()
    (tmp_path / "jdk" / "release").write_text("17.0.9")
    before = make(LAKE_CI_JAVA17=str(tmp_path / "jdk")).common["LAKE_CI_JAVA17/release"]
    (tmp_path / "jdk" / "release").write_text("17.0.10")
    assert (
        make(LAKE_CI_JAVA17=str(tmp_path / "jdk")).common["LAKE_CI_JAVA17/release"]
        != before
    )


def test_interpreter_of_an_environment_and_its_base_have_one_name(
    make: Make, tmp_path: Path, venv: Path
) -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    found = make().interpreter(version, tmp_path / "no environment")
    assert found == make().interpreter(version, venv)
    assert found.startswith(f"CPython {version}.")
    assert (
        make().interpreter("3.99", venv) == found
    )  # nox does not change an existing environment


def test_the_interpreter_is_the_one_that_nox_makes_environments_of(
    make: Make, tmp_path: Path
) -> None:
    """Of several Pythons of one version, the Python that runs nox is used, not the
    first on PATH.
    """
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for name, script in (
        (version, "exit 1"),
        ("3.99", "exit 1"),
        ("3.98", "echo CPython 3.10.1 /bin"),
    ):
        (tmp_path / f"python{name}").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / f"python{name}").chmod(0o755)
    machine = make(PATH=f"{tmp_path}:{os.defpath}")
    assert machine.interpreter(version, None) == make().interpreter(version, None)
    for other in ("3.97", "3.98", "3.99"):
        with pytest.raises(UnknownInputError, match=f"Python {other} is not installed"):
            machine.interpreter(other, None)


def test_a_python_is_looked_for_once_for_all_sessions(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing_process: list[str] = []
    find = python_discovery.get_interpreter

    def asking(
        version: str, env: Mapping[str, str]
    ) -> python_discovery.PythonInfo | None:
        listing_process.append(version)
        return find(version, env=env)

    monkeypatch.setattr(python_discovery, "get_interpreter", asking)
    machine = make()
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert machine.interpreter(version, None) == machine.interpreter(version, None)
    for _ in range(2):
        with pytest.raises(UnknownInputError, match="3.97"):
            machine.interpreter("3.97", None)
    assert listing_process == [version, "3.97"]


def test_terraform_state_has_its_settings_and_is_unknown_with_credentials(
    make: Make, tmp_path: Path
) -> None:
    settings = tmp_path / "terraform.tfrc"
    settings.write_text("")
    before = make(TF_CLI_CONFIG_FILE=str(settings)).external("terraform")
    settings.write_text("disable_checkpoint = true")
    assert make(TF_CLI_CONFIG_FILE=str(settings)).external("terraform") != before
    with pytest.raises(
        UnknownInputError,
        match="AWS_PROFILE is set: Terraform plans against a real account",
    ):
        make(AWS_PROFILE="me").external("terraform")


def test_an_api_server_of_ones_own_counts_by_content(
    make: Make, tmp_path: Path
) -> None:
    assert make().external("api-server") == "none"
    for name in ("etcd", "kube-apiserver"):
        (tmp_path / name).write_text(name)
    before = make(KUBEBUILDER_ASSETS=str(tmp_path)).external("api-server")
    (tmp_path / "kube-apiserver").write_text("newer")
    assert make(KUBEBUILDER_ASSETS=str(tmp_path)).external("api-server") != before


def test_the_browser_counts_by_its_program_and_version(
    make: Make, tmp_path: Path
) -> None:
    program, version = tmp_path / "chromium", tmp_path / "version"
    program.write_text(f"#!/bin/sh\nread -r version <'{version}' && echo $version\n")
    program.chmod(0o755)
    version.write_text("Chromium 155\n")
    before = make(PATH=str(tmp_path)).external("browser")
    assert before.endswith(" Chromium 155")
    assert make(LAKE_CI_CHROMIUM=str(program)).external("browser") == before
    # The program is a script that starts the browser. An upgrade of the browser does
    # not change the script.
    version.write_text("Chromium 156\n")
    assert make(PATH=str(tmp_path)).external("browser").endswith(" Chromium 156")
    version.unlink()
    with pytest.raises(UnknownInputError, match="chromium does not print its version"):
        make(PATH=str(tmp_path)).external("browser")
    assert make(PATH=str(tmp_path / "none")).external("browser") == ""


def test_an_engine_that_is_prepared_has_one_state_before_and_after(
    make: Make, root: Path, tmp_path: Path, engine: Engine
) -> None:
    folder = tmp_path / "provisioning"
    folder.mkdir()
    (folder / "engine.resource").write_text(
        "one of a kind\nDOCKER_HOST=unix://engine\n"
    )
    machine = make(
        BASE="own/python",
        DOCKER_HOST="unix://engine",
        LAKE_CI_PROVISIONING=str(folder),
    )
    assert "LAKE_CI_PROVISIONING" not in machine.variables()
    engine.images, there = {}, engine.images
    assert machine.external("engine") == "one of a kind"
    engine.images = there
    (folder / "engine.ready").touch()
    assert machine.external("engine") == "one of a kind"
    engine.images = {"own/python": "sha256:2"}
    assert machine.external("engine").endswith(" sha256:2")
    with pytest.raises(UnknownInputError, match="not on this machine"):
        make(DOCKER_HOST="tcp://other:2375", LAKE_CI_PROVISIONING=str(folder)).external(
            "engine"
        )


class Engine:
    """A fake container engine: a fake client prints the engine's version and images."""

    def __init__(self, folder: Path) -> None:
        self._images = folder / "images"
        self._images.mkdir()
        self.images = {"own/python": "sha256:1"}
        client = folder / "docker"
        client.write_text(CLIENT.format(images=self._images))
        client.chmod(0o755)

    @property
    def images(self) -> dict[str, str]:
        """Return the ids of the engine's images by name."""
        return {unquote(file.name): file.read_text() for file in self._images.iterdir()}

    @images.setter
    def images(self, ids: dict[str, str]) -> None:
        for file in self._images.iterdir():
            file.unlink()
        for name, number in ids.items():
            (self._images / name.replace("/", "%2F")).write_text(number)


CLIENT = """\
#!/bin/sh
case "$1 $2" in
"context inspect") echo "${{DOCKER_HOST:-unix:///var/run/docker.sock}}" ;;
"version "*)
    [ "$DOCKER_HOST" != unix://nobody ] || {{ echo "no daemon" >&2; exit 1; }}
    echo "27.0 1.46" ;;
"image inspect")
    name=$(echo "$4" | sed s,/,%2F,g)
    [ -f "{images}/$name" ] || {{ echo "Error: No such image: $4" >&2; exit 1; }}
    cat "{images}/$name" ;;
esac
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Return a fake engine, and put its client first on PATH."""
    folder = tmp_path / "client"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return Engine(folder)


def test_the_engine_counts_with_the_image_that_ours_start_from(
    make: Make, root: Path, engine: Engine
) -> None:
    here = make(DOCKER_HOST="unix://engine", BASE="own/python")
    before = here.external("engine")
    assert before.endswith("27.0 1.46 sha256:1")
    engine.images = {"own/python": "sha256:2"}
    assert here.external("engine") != before
    plugins = root.parent / "home" / ".docker" / "cli-plugins"
    plugins.mkdir(parents=True)
    changed = here.external("engine")
    (plugins / "docker-buildx").write_text("another buildx")
    assert here.external("engine") != changed
    engine.images = {}
    with pytest.raises(
        UnknownInputError,
        match="base image cannot be read: Error: No such image",
    ):
        here.external("engine")
    # Here, the Dockerfile pins its base image by digest, so the image on this machine
    # is not an input.
    pinned = make(DOCKER_HOST="unix://engine")
    assert pinned.external("engine").endswith("27.0 1.46")
    with pytest.raises(UnknownInputError, match="cannot be read"):
        make(DOCKER_HOST="unix://nobody").external("engine")
    with pytest.raises(UnknownInputError, match="not on this machine"):
        make(DOCKER_HOST="tcp://other:2375").external("engine")
