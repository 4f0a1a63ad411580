"""Computes digests of those inputs of a job that are outside the repository.

Inputs outside the repository are environment variables, interpreters, tools and
external state.
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

# The variables that the tools of any job may read. Excluded are the variables that the
# suite's processes pass to each other, and the variables that locate cached results.
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
# The configuration files of the tools, relative to the user's home folder.
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
# The packages that create the environments of sessions.
PACKAGES = ("nox", "uv", "virtualenv")
# Variables with AWS credentials. With credentials, a plan depends on the current state
# of an AWS account.
CREDENTIALS = re.compile(
    r"AWS_(ACCESS_KEY_ID|PROFILE|WEB_IDENTITY_TOKEN_FILE|CONTAINER_CREDENTIALS_.*)"
)
ENGINE_SECONDS = 10
BROWSER_SECONDS = 60
# The folders where docker looks for plugins, after the user's own plugin folder.
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
        today: the date of this run. The state of the advisories contains this date, and
            accepted risks expire on a date.
    """

    root: Path
    env: Mapping[str, str]
    digests: Digests
    today: date

    @cached_property
    def outside(self) -> Digests:
        """The digests of files outside the repository, and of the output of jobs.

        These digests are cached in a separate file.
        """
        return Digests(self.root, self.root / ".cache" / "digests-outside")

    def variables(self, declared: Sequence[str] = ()) -> dict[str, str]:
        """Return a digest of each variable that tools may read or that a job declares.

        A digest does not reveal the value of its variable.
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
        """Return the inputs that all jobs share.

        The shared inputs are the suite's Python and tools, the platform, Java, and the
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
        """Return the name, version and folder of the Python that a session gets.

        If the session's environment exists, this is the Python of the environment.
        If the environment does not exist, this is the Python that nox would find.

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
        """The Python that a search found for each version; None if none was found.

        All sessions share these results, because a search takes a third of a second.
        """
        return {}

    def _find(self, version: str) -> str | None:
        """Find a Python in the same way as nox.

        If the Python that runs nox has this version, this Python is chosen. Otherwise
        PATH is searched.
        """
        # Imported late, because this package is not needed if all environments exist.
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

        Returns an empty text if the file does not exist.

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
        """Return the digest of a program; empty if the program is not on PATH."""
        found = shutil.which(name, path=self.env.get("PATH"))
        return self.file(Path(found)) if found else ""

    def save(self) -> None:
        """Write to the cache files the digests that this run has computed."""
        self.digests.save()
        self.outside.save()

    def external(self, name: str) -> str:
        """Return the state of the external input with this name in `EXTERNAL_INPUTS`.

        If the machine prepares a tool in the background, the state of the tool does not
        change when the tool becomes ready; see `provisioning.Resource.state`.

        Raises:
            UnknownInputError: the state cannot be determined.
        """
        resource = provisioning.find(self.env, name)
        if resource is None:
            return EXTERNAL_INPUTS[name](self)
        return resource.state(lambda: EXTERNAL_INPUTS[name](self))


def advisories(machine: Machine) -> str:
    """Return the state of the advisory database.

    The state contains the date, so it changes once a day. If LAKE_CI_ADVISORIES names
    a folder, the state also contains a digest of the files in the folder.
    """
    folder = machine.env.get("LAKE_CI_ADVISORIES")
    if not folder:
        return f"live, {machine.today}"
    return f"{machine.folder(Path(machine.root, folder))}, {machine.today}"


def terraform(machine: Machine) -> str:
    """Return the state of Terraform and of its configuration file.

    The versions of the providers are not included, because a lock file in the
    repository contains these versions. With AWS credentials, a plan depends on the
    current state of an AWS account. The suite cannot detect when an account changes.

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
    """The session starts an API server; return the digests of the server's programs.

    Raises UnknownInputError if KUBE_CONTEXT is set: then the session uses the user's
    cluster, and this cluster can change at any time.
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
    """Return the digest and the version of the program that starts the browser.

    The digest alone is not enough: the program on PATH can be a script that is the same
    for every version of the browser.
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
    """Return the state of the container engine, its client, buildx and the base image.

    The id of the base image is included only if the variable BASE names an image.
    If BASE names no image, the Dockerfile contains the digest of the base image.
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
    """Return the output of a docker command; raise UnknownInputError if it fails."""
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
    """Return the digest of docker's plugin buildx; empty if it is not installed."""
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
    """Return the interpreter that pyvenv.cfg of an environment names, or None."""
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
    """Return a text that contains an interpreter's name, version and folder."""
    return f"{implementation} {version} {folder.resolve()}"


def _version(package: str) -> str:
    """Return the version of an installed package; empty if it is not installed.

    The version is read from the name of the metadata folder. Reading the metadata with
    importlib.metadata would take 5 ms for each package.
    """
    site = Path(nox.__file__).parent.parent
    found = sorted(
        path.name.removesuffix(".dist-info")
        for path in site.glob(f"{package}-*.dist-info")
    )
    return " ".join(found)


def _umask() -> int:
    """Return the umask: the mode bits that new files do not get.

    The umask is an input because some jobs pack files with the file modes of the
    checkout. A process can only read its umask by setting it.
    """
    now = os.umask(0o022)
    os.umask(now)
    return now
