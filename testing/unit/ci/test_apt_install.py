"""`.ci/apt-install` installs packages, even if the package lists are outdated or a
second installation is running.
"""

from __future__ import annotations

import pytest

from testing.unit.ci.conftest import Machine

APT = """
echo "$*" >>"$STATE/apt"
case "$*" in
  update*) touch "$STATE/updated" ;;
  *) [ -e "$STATE/updated" ] || { echo "404 Not Found" >&2; exit 100; } ;;
esac
"""


@pytest.fixture
def debian(machine: Machine) -> Machine:
    """Return a machine with outdated package lists: the package versions in them no
    longer exist.
    """
    machine.program("apt-get", APT)
    machine.program("dpkg", 'echo "dpkg $*" >>"$STATE/apt"')
    machine.program("sudo", 'exec "$@"')
    machine.program("find", "echo main_Packages")
    return machine


def test_old_lists_are_updated_and_the_packages_installed_then(debian: Machine) -> None:
    done = debian.run(".ci/apt-install", "chromium", "etcd-server")
    assert done.returncode == 0, done.stderr
    calls = (debian.state / "apt").read_text().splitlines()
    install = calls[1]
    assert install.startswith("install ") and install.endswith(" chromium etcd-server")
    assert "DPkg::Lock::Timeout=" in install
    # Before it installs packages, apt-install repairs an interrupted installation.
    repair = "dpkg --configure -a"
    assert calls == [repair, install, "update -qq", repair, install]


def test_a_package_that_cannot_be_installed_is_an_error(debian: Machine) -> None:
    debian.program("apt-get", "echo no route to host >&2; exit 100")
    done = debian.run(".ci/apt-install", "chromium")
    assert done.returncode == 100
    assert "no route to host" in done.stderr


def test_what_a_package_starts_does_not_hold_the_lock(debian: Machine) -> None:
    script = "ls -l /proc/self/fd >&2"
    debian.program("apt-get", f'exec bash -c "{script}"')
    done = debian.run(".ci/apt-install", "docker.io")
    assert "apt.lock" not in done.stderr
