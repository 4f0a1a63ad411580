"""Computes digests of a job's inputs outside the repository.

Such inputs are environment variables, interpreters, tools and external state.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import nox

from lake_ci.cache.file_hashes import Digests
from lake_ci.system import provisioning

# Variables that tools of any job read, without variables that the suite's processes
# pass to each other, and without variables that locate cached results.
VARIABLES = re.compile(
    r"PATH|HOME|TMPDIR|TZ|LANG|LANGUAGE|LC_.*|LD_.*|COLUMNS|NO_COLOR|FORCE_COLOR|CI"
    r"|GITHUB_ACTIONS|SOURCE_DATE_EPOCH"
    r"|LAKE_CI_(?!(PLAN|RUN|EVENT|CACHE|STORE|PROVISIONING)$).*|LAKEKIT_.*"
    r"|DEPLOY_ENVIRONMENT|XDG_CONFIG_HOME"
    r"|(PYTHON|PIP_|UV_|PYTEST_|HYPOTHESIS_|COVERAGE_"
    r"|MYPY|BLACK_|FLAKE8|ISORT_|MOTO_).*"
    r"|NOX_DOWNLOAD_PYTHON|(JAVA_|JDK_|_JAVA_|SPARK_|HADOOP_|IVY_).*"
    r"|(SEMGREP_|SAFETY_|BANDIT_|ZIZMOR_|HADOLINT_|CODECOV_).*|GH_TOKEN"
    r"|(AWS_|AZURE_|GOOGLE_|DATABRICKS_|TF_|CHECKOV_"
    r"|DOCKER_|BUILDX_|BUILDKIT_|CONTAINER_|KUBE|GIT_).*"
    r"|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(?i:(https?|all|no)_proxy)"
)
# Configuration files of the tools below the user's home folder.
HOME_FILES = (
    ".aws/config",
    ".aws/credentials",
    ".config/black",
    ".config/git/config",
    ".config/hadolint.yaml",
    ".config/mypy/config",
    ".config/pip/pip.conf",
    ".config/uv/uv.toml",
    ".databrickscfg",
    ".docker/config.json",
    ".gitconfig",
    ".isort.cfg",
    ".mypy.ini",
    ".pip/pip.conf",
    ".pydistutils.cfg",
    ".terraformrc",
)
# The packages that create the environments.
PACKAGES = ("nox", "uv", "virtualenv")
# With these credentials, AWS reports the current state of an account.
CREDENTIALS = re.compile(
    r"AWS_(ACCESS_KEY_ID|PROFILE|WEB_IDENTITY_TOKEN_FILE|CONTAINER_CREDENTIALS_.*)"
)
ENGINE_SECONDS = 10
BROWSER_SECONDS = 60
# Where docker looks for its plugins, after the user's own plugin folder.
PLUGINS = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)


class UnknownInputError(Exception):
    """An input cannot be determined, so the job runs. The message is the reason."""


@dataclass(frozen=True)
class Machine:
    """The environment and the files of this machine during one run.

    Attributes:
        root: the repository.
        env: the environment variables.
        digests: the digests of the repository's files.
        today: the date of this run; it decides whether the advisories are from today,
            and whether accepted risks have expired.
    """

    root: Path
    env: Mapping[str, str]
    digests: Digests
    today: date

    @cached_property
    def outside(self) -> Digests:
        """Digests of the few files outside the repository, and of the output of jobs.

        A separate cache file stores them.
        """
        return Digests(self.root, self.root / ".cache" / "digests-outside")

    def variables(self, declared: Sequence[str] = ()) -> dict[str, str]:
        """Return a digest of each variable that is set and that tools read.

        The digests hide the values.
        """
        return {
            name: (
                hashlib.sha256(
                    f"{name}={value}".encode("utf-8", "surrogateescape")
                ).hexdigest()
            )
            for name, value in self.env.items()
            if VARIABLES.fullmatch(name) or name in declared
        }

    @cached_property
    def common(self) -> dict[str, str]:
        """Return the inputs that all jobs have.

        All jobs depend on the suite's Python and tools, the platform, Java, and the
        user's settings.
        """
        found = {
            "suite's Python": f"{sys.version} {sys.base_prefix}",
            "platform": f"{platform.platform()} {platform.machine()}",
            "umask": f"{_umask():o}",
        }
        for package in PACKAGES:
            found[package] = _version(package)
        for name in sorted(self.env):
            if re.fullmatch(r"LAKE_CI_JAVA\d+", name):
                found[f"{name}/release"] = self.file(Path(self.env[name], "release"))
        home = self.env.get("HOME")
        for name in HOME_FILES if home else ():
            found[f"~/{name}"] = self.file(Path(home or "", name))
        found["git"] = self.program("git")
        code = Path(__file__).resolve().parents[1]
        if not code.is_relative_to(self.root.resolve()):
            found["lake_ci"] = self.folder(code, "*.py")
        return {name: text for name, text in found.items() if text}

    def interpreter(self, version: str, environment: Path | None) -> str:
        """Return the identity of the Python that a session gets.

        This is the Python of its existing environment, or else the Python that nox
        finds.

        Raises:
            UnknownInputError: no interpreter was found.
        """
        noted = _noted(environment) if environment is not None else None
        if noted is not None:
            return noted
        if version not in self._found:
            self._found[version] = self._find(version)
        found = self._found[version]
        if found is None:
            raise UnknownInputError(f"Python {version} is not installed")
        return found

    @cached_property
    def _found(self) -> dict[str, str | None]:
        """The Pythons that an earlier search found, by version.

        Sessions share each result, because a search takes a third of a second.
        """
        return {}

    def _find(self, version: str) -> str | None:
        """Find a Python as nox does.

        The Python that runs nox comes before those on PATH.
        """
        # Imported here, because no code needs this import if all environments exist.
        from python_discovery import get_interpreter

        found = get_interpreter(version, env=self.env)
        if found is None or found.system_executable is None:
            return None
        release = ".".join(str(number) for number in found.version_info[:3])
        return _interpreter(
            found.implementation, release, Path(found.system_executable).parent
        )

    def file(self, path: Path) -> str:
        """Return the digest of a file outside the repository; links are followed.

        Return an empty text if the file does not exist.

        Raises:
            UnknownInputError: the file cannot be read.
        """
        try:
            real = os.path.realpath(path)
            digest = self.outside.of([real]).get(real, "")
        except OSError as error:
            raise UnknownInputError(f"{path}: {error.strerror}") from None
        return digest

    def folder(self, path: Path, pattern: str = "*") -> str:
        """Return a digest of the names and contents of the files in a folder."""
        names = sorted(each for each in path.rglob(pattern) if each.is_file())
        found = [(each.relative_to(path).as_posix(), self.file(each)) for each in names]
        return hashlib.sha256(repr(found).encode()).hexdigest()

    def program(self, name: str) -> str:
        """Return the digest of a program on PATH; empty if it does not exist."""
        found = shutil.which(name, path=self.env.get("PATH"))
        return self.file(Path(found)) if found else ""

    def save(self) -> None:
        """Store the new digests of files."""
        self.digests.save()
        self.outside.save()

    def external(self, name: str) -> str:
        """Return the state of an external input, by its name in `EXTERNAL_INPUTS`.

        The state of a tool is the same while the machine prepares the tool and
        afterwards.

        Raises:
            UnknownInputError: the state cannot be determined.
        """
        resource = provisioning.find(self.env, name)
        if resource is None:
            return EXTERNAL_INPUTS[name](self)
        return resource.state(lambda: EXTERNAL_INPUTS[name](self))


def advisories(machine: Machine) -> str:
    """Return the state of the advisory database.

    The state of the live database changes once a day. The state of a folder that the
    user sets is a digest of its files.
    """
    folder = machine.env.get("LAKE_CI_ADVISORIES")
    if not folder:
        return f"live, {machine.today}"
    return f"{machine.folder(Path(machine.root, folder))}, {machine.today}"


def terraform(machine: Machine) -> str:
    """Return the state of Terraform and of the source of its providers.

    The repository's lock contains the providers' versions. With credentials, the plans
    show the current state of an account, and the suite cannot detect when an account
    changes.

    Raises:
        UnknownInputError: AWS credentials are set.
    """
    named = sorted(
        name
        for name in machine.env
        if CREDENTIALS.fullmatch(name) and machine.env[name]
    )
    if named:
        raise UnknownInputError(
            f"{named[0]} is set: Terraform plans against a real account"
        )
    settings = machine.env.get("TF_CLI_CONFIG_FILE")
    return (
        f"{machine.program('terraform')}"
        f" {machine.file(Path(settings)) if settings else ''}"
    )


def api_server(machine: Machine) -> str:
    """Return the digest of the session's own API server.

    Raises UnknownInputError if the user sets another cluster, which can change at any
    time.
    """
    if machine.env.get("KUBE_CONTEXT"):
        raise UnknownInputError(
            "KUBE_CONTEXT is set, and the state of its cluster is unknown"
        )
    assets = machine.env.get("KUBEBUILDER_ASSETS")
    if not assets:
        return "none"
    return " ".join(
        machine.file(Path(assets, name)) for name in ("etcd", "kube-apiserver")
    )


def browser(machine: Machine) -> str:
    """Return the program and the version of the browser that opens pages.

    The version is part of the state, because the program on PATH is a script that is
    the same for every version.
    """
    path = machine.env.get("PATH")
    program = machine.env.get("LAKE_CI_CHROMIUM") or shutil.which("chromium", path=path)
    program = program or shutil.which("google-chrome", path=path)
    if program is None:
        return ""
    try:
        version = _printed(machine, program, "--version", seconds=BROWSER_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise UnknownInputError(
            f"{program} does not print its version: {error}"
        ) from None
    return f"{machine.file(Path(program))} {version}"


def engine(machine: Machine) -> str:
    """Return the engine's version, buildx's digest, and the id of the base image.

    The id is of the image that the variable BASE names. Without BASE, the Dockerfile
    names the base image by its digest.
    """
    words = [machine.program("docker"), buildx(machine)]
    host = _docker(machine, "context", "inspect", "--format={{.Endpoints.docker.Host}}")
    if not host.startswith("unix://"):
        raise UnknownInputError(
            f"the container engine is at {host}, not on this machine"
        )
    versions = "{{.Server.Version}} {{.Server.APIVersion}}"
    words.append(_docker(machine, "version", f"--format={versions}"))
    if base := machine.env.get("BASE"):
        words.append(_docker(machine, "image", "inspect", "--format={{.Id}}", base))
    return " ".join(words)


def _docker(machine: Machine, *words: str) -> str:
    """Return the output of the engine's client; raise UnknownInputError if it fails."""
    try:
        return _printed(machine, "docker", *words, seconds=ENGINE_SECONDS)
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"exit code {error.returncode}"]
        why = lines[-1]
    except (OSError, subprocess.SubprocessError) as error:
        why = str(error)
    raise UnknownInputError(
        f"the version of the container engine or its base image cannot be read: {why}"
    )


def _printed(machine: Machine, program: str, *arguments: str, seconds: float) -> str:
    """Return the output of a program.

    Raises OSError or SubprocessError if the program cannot be started, fails, or
    exceeds the time limit.
    """
    done = subprocess.run(
        [program, *arguments],
        env=dict(machine.env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds,
    )
    return done.stdout.strip()


def buildx(machine: Machine) -> str:
    """Return the digest of the buildx that docker uses; empty without buildx."""
    own = machine.env.get("DOCKER_CONFIG") or Path(
        machine.env.get("HOME", ""), ".docker"
    )
    for folder in (Path(own, "cli-plugins"), *PLUGINS):
        digest = machine.file(Path(folder, "docker-buildx"))
        if digest:
            return digest
    return ""


EXTERNAL_INPUTS: Mapping[str, Callable[[Machine], str]] = {
    "advisories": advisories,
    "api-server": api_server,
    "browser": browser,
    "engine": engine,
    "terraform": terraform,
}


def _noted(environment: Path) -> str | None:
    """Return the interpreter from an environment's configuration file, or None."""
    try:
        text = (environment / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return None
    noted = dict(re.findall(r"^([\w-]+) = (.*)$", text, re.MULTILINE))
    version = noted.get("version_info") or noted.get("version")
    if version is None or "home" not in noted:
        return None
    return _interpreter(
        noted.get("implementation", "CPython"), version, Path(noted["home"])
    )


def _interpreter(implementation: str, version: str, folder: Path) -> str:
    """Return the name of an interpreter, in the same form for all sources."""
    return f"{implementation} {version} {folder.resolve()}"


def _version(package: str) -> str:
    """Return the version of an installed package; empty if it is not installed.

    The name of the metadata folder contains the version. importlib.metadata would read
    the metadata, which takes 5 ms per package.
    """
    site = Path(nox.__file__).parent.parent
    found = sorted(
        path.name.removesuffix(".dist-info")
        for path in site.glob(f"{package}-*.dist-info")
    )
    return " ".join(found)


def _umask() -> int:
    """Return the umask: the mode bits that new files do not get.

    The umask is an input because some jobs pack files with the modes of the checkout. A
    process can only read its umask by setting it.
    """
    now = os.umask(0o022)
    os.umask(now)
    return now
