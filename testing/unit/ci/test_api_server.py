"""`.ci/api-server` builds the versions that the script `build-kube-apiserver` (the
builder) pins. The pins identify the server, even before it is built.
"""

from __future__ import annotations

import pytest

from testing.unit.ci.conftest import Machine

BUILDER = """\
#!/usr/bin/env bash
set -eu
for tool in etcd kubectl; do ln -sf "$(command -v $tool)" "$1/$tool"; done
echo "$0" >"$1/kube-apiserver"
chmod +x "$1/kube-apiserver"
"""


@pytest.fixture
def builder(machine: Machine) -> Machine:
    """Return a machine with Go, etcd and kubectl, and with the builder outside the
    checkout.
    """
    for name in ("etcd", "go", "kubectl"):
        machine.program(name, f"echo {name} 1")
    write(machine, BUILDER)
    return machine


def write(machine: Machine, text: str) -> None:
    """Write the builder."""
    path = machine.checkout.parent / "shared" / "tools" / "build-kube-apiserver"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def describe(machine: Machine) -> str:
    return machine.succeed(".ci/api-server", "describe").stdout


def test_it_is_built_once_per_builder(builder: Machine) -> None:
    assert builder.run(".ci/api-server", "check").returncode == 1
    builder.succeed(".ci/api-server", "make")
    assert builder.run(".ci/api-server", "check").returncode == 0
    assets = builder.cache / "kubebuilder"
    assert {path.name for path in assets.iterdir()} == {
        "builder",
        "etcd",
        "kube-apiserver",
        "kubectl",
    }
    write(builder, BUILDER + "# another version\n")
    assert builder.run(".ci/api-server", "check").returncode == 1
    builder.succeed(".ci/api-server", "make")
    assert builder.run(".ci/api-server", "check").returncode == 0
    assert [path.name for path in builder.cache.iterdir()] == ["kubebuilder"]


def test_its_identity_is_all_that_it_is_built_of(builder: Machine) -> None:
    before = describe(builder)
    assert describe(builder) == before
    builder.succeed(".ci/api-server", "make")
    assert describe(builder) == before
    write(builder, BUILDER + "# another version\n")
    other = describe(builder)
    builder.program("go", "echo go 2")
    newer = describe(builder)
    builder.program("etcd", "echo etcd 2")
    assert len({before, other, newer, describe(builder)}) == 4
    assets = builder.cache / "kubebuilder"
    assert before.splitlines()[1:] == ["KUBE_CONTEXT=", f"KUBEBUILDER_ASSETS={assets}"]


def test_an_etcd_that_is_not_installed_yet_may_be_any(builder: Machine) -> None:
    (builder.bin / "etcd").unlink()
    assert describe(builder) != describe(builder)


def test_a_failed_build_leaves_the_server_that_was_there(builder: Machine) -> None:
    builder.succeed(".ci/api-server", "make")
    write(
        builder,
        "#!/usr/bin/env bash\necho half >$1/kube-apiserver\necho no network"
        " >&2\nexit 5\n",
    )
    made = builder.run(".ci/api-server", "make")
    assert made.returncode == 5 and "no network" in made.stderr
    assert [path.name for path in builder.cache.iterdir()] == ["kubebuilder"]
    assert (builder.cache / "kubebuilder" / "builder").exists()


def test_missing_packages_are_installed(builder: Machine) -> None:
    (builder.bin / "etcd").rename(builder.state / "etcd")
    package = 'mv "$STATE/etcd" "${0%/*}/etcd"'
    builder.program("apt-get", f'case "$*" in *etcd-server*) {package} ;; esac')
    builder.program("dpkg", "exit 0")
    builder.program("sudo", 'exec "$@"')
    builder.succeed(".ci/api-server", "make")
    assert builder.run(".ci/api-server", "check").returncode == 0
