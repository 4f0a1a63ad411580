"""Reads `[tool.lake_ci]` of pyproject.toml into typed settings.

Every setting has a default, except settings whose value only the repository can know.
An unknown setting, or a value of another type, is an error with file and line.
"""

from __future__ import annotations

import re
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union

from lake_ci.errors import UsageError, nearest
from lake_ci.system.pyproject import FILE, read_project, setting_line

try:
    import msgspec
    from msgspec import Meta
except ModuleNotFoundError:
    # The noxfile imports this module, so no session could report this error.
    sys.stderr.write(
        "msgspec is missing: it reads the settings (run `python -m pip install"
        " msgspec`)\n"
    )
    sys.exit(3)

TABLE = "tool.lake_ci"
Seconds = Annotated[float, Meta(ge=0, le=10**9)]
Strings = tuple[str, ...]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base class of all tables; an unknown name in a table is an error."""


class Lock(Table, frozen=True):
    """A lock, `requirements/NAME.txt`, which `nox -s lock` compiles.

    Attributes:
        python: the lowest Python version that the lock supports.
        project: whether the lock contains the project's own dependencies.
        extras: the project's extras in the lock.
        groups: the dependency groups in the lock.
    """

    python: str
    project: bool = False
    extras: Strings = ()
    groups: Strings = ()


class Jars(Table, frozen=True):
    """The Java libraries that Spark needs.

    Attributes:
        coordinates: `group:artifact:version` of each library.
    """

    coordinates: Strings = ()


class Cache(Table, frozen=True):
    """The result cache.

    Attributes:
        megabytes: the maximum size of the cache.
    """

    megabytes: Annotated[int, Meta(ge=0)] = 500


class Tests(Table, frozen=True):
    """The folders of a session's tests and of the code whose coverage it measures.

    All paths are relative to the repository.
    """

    unit: Strings
    integration: Strings
    cover: Strings


class Terraform(Table, frozen=True):
    """The checks of Terraform.

    Attributes:
        may_differ: patterns of `type.attribute` whose values may differ between staging
            and production.
        layers: the folders of the lake that need a lifecycle rule.
    """

    may_differ: Strings = ()
    layers: Strings = ()


class KubernetesProgram(Table, frozen=True):
    """A program that images run.

    Attributes:
        code: the folders of the program's code; the checks search it for the variables
            that it reads.
        settings: the class or dictionary that declares the program's variables, as
            `FILE:NAME`, by the prefix of these variables.
        grace: the variable that sets the program's shutdown time in seconds.
    """

    code: Strings
    settings: dict[str, str] = {}
    grace: Optional[str] = None


class KubernetesImage(Table, frozen=True):
    """An image of the manifests.

    Attributes:
        program: the program that the image runs.
        environment: the variables that the program needs, with their values.
    """

    program: str
    environment: dict[str, str] = {}


class Kubernetes(Table, frozen=True):
    """The checks of the Kubernetes manifests.

    Attributes:
        versions: the Kubernetes versions whose schemas validate the manifests.
        secrets: the names of Secrets that the manifests use and do not contain.
        may_differ: patterns of `Kind.name.path` whose values may differ between staging
            and production.
        accepted: the reason for each rule of checkov that is not applied.
        programs: the programs that images run, by name.
        images: the images, by name, without registry and tag.
    """

    versions: Annotated[Strings, Meta(min_length=1)] = ("1.34",)
    secrets: Strings = ()
    may_differ: Strings = ()
    accepted: dict[str, str] = {}
    programs: dict[str, KubernetesProgram] = {}
    images: dict[str, KubernetesImage] = {}


class Comparison(Table, frozen=True):
    """The run of the sample on this machine, to compare its gold tables.

    Attributes:
        arguments: Python's arguments, in which `{sample}` and `{lake}` are folders.
        path: the folders of the run's PYTHONPATH, relative to the repository.
        environment: the environment variables that are set for the run.
        unset: patterns of variables that the run does not inherit from this process.
    """

    arguments: Strings
    path: Strings = ()
    environment: dict[str, str] = {}
    unset: Strings = ()


class Limits(Table, frozen=True):
    """The time limits of a deploy, in seconds except for `attempts`.

    Attributes:
        request: the limit of one request, or of one command of the CLI.
        attempts: how often a request with a retryable error is sent.
        pause: the wait before the second attempt; it doubles for each further attempt.
        poll: the wait between two requests of a poll.
        start: the limit until a cluster runs.
        install: the limit until a wheel is installed.
        run: the limit until a one-time run has ended.
        busy: how long a restart waits for other runs on the cluster; with 0, the
            restart fails at once.
        whole: the limit of the whole deploy. The lock expires a little later.
    """

    request: Seconds = 60.0
    attempts: Annotated[int, Meta(ge=1)] = 5
    pause: Seconds = 1.0
    poll: Seconds = 2.0
    start: Seconds = 20 * 60.0
    install: Seconds = 15 * 60.0
    run: Seconds = 60 * 60.0
    busy: Seconds = 10 * 60.0
    whole: Seconds = 120 * 60.0


class Deploy(Table, frozen=True):
    """The settings of a deploy that are not in databricks.yml.

    Attributes:
        package: the distribution that is deployed.
        job: the job in databricks.yml that a deploy runs once and then schedules.
        inspect: the script that reports the state of the cluster and its tables.
        restore: the script that restores tables to an older version.
        protected: the environments to which only a commit of `main` is deployed.
        sample: the folder with the sample.
        sample_on: the environments to which the sample is uploaded as source data.
        compare: the run of the sample on this machine.
        limits: the time limits.
    """

    package: str
    job: str
    inspect: str
    restore: str
    protected: Strings = ("staging", "production")
    sample: Optional[str] = None
    sample_on: Strings = ()
    compare: Optional[Comparison] = None
    limits: Limits = Limits()


class Performance(Table, frozen=True):
    """The limits of `nox -s performance`; each ratio is this version / the baseline.

    Attributes:
        threshold: the largest accepted ratio of seconds.
        memory_threshold: the largest accepted ratio of peak memory.
        interval: half the width at which a confidence interval is narrow enough.
        seconds: the time limit per benchmark.
    """

    threshold: Annotated[float, Meta(gt=1)] = 1.15
    memory_threshold: Annotated[float, Meta(gt=1)] = 1.25
    interval: Annotated[float, Meta(gt=0, lt=1)] = 0.03
    seconds: Annotated[float, Meta(gt=0)] = 20.0


class Docker(Table, frozen=True):
    """The checks of the images.

    Attributes:
        prefix: the part of each image's name before the target.
        packages: the Python package that an image must contain, by target.
        context: the files and folders that the images are built from.
        planted: the files of the context that the reproducibility check fills with a
            secret.
        megabytes: the largest size of each image, by target, in 10^6 bytes.
        tests: the folder of the images' tests; the tests of an image are in
            `test_TARGET.py`.
    """

    prefix: Annotated[str, Meta(min_length=1)]
    packages: Annotated[dict[str, str], Meta(min_length=1)]
    context: Annotated[Strings, Meta(min_length=1)]
    planted: Annotated[Strings, Meta(min_length=1)]
    megabytes: dict[str, Annotated[float, Meta(gt=0)]]
    tests: Annotated[str, Meta(min_length=1)]

    def image(self, target: str) -> str:
        """Return the name of an image, without registry and tag."""
        return f"{self.prefix}{target}"

    def test_file(self, target: str) -> str:
        """Return the path of an image's tests, relative to the repository."""
        return f"{self.tests}/test_{target}.py"


class Security(Table, frozen=True):
    """The scanners of `nox -s security`.

    Attributes:
        fail_on: the lowest severity of a finding that fails the scan.
        bandit: the files and folders that bandit scans.
    """

    fail_on: Literal["low", "medium", "high"] = "low"
    bandit: Annotated[Strings, Meta(min_length=1)] = (".",)


class Build(Table, frozen=True):
    """The checks of wheel and sdist.

    Attributes:
        files: patterns of the files that a package may contain; a pattern without `/`
            is compared with the file's name, any other with its path.
    """

    files: Strings = ("*.py", "*.pyi", "py.typed")


class Settings(Table, frozen=True):
    """All settings of the suite.

    Attributes:
        locks: the locks, by purpose, which is the name of the lock's file.
        paths: patterns of files, by the name that jobs use in their inputs.
        tests: the tests, by the name that sessions use.
        seconds: the estimated duration of a session, by the session's id or its job's
            name.
    """

    locks: dict[str, Lock] = {}
    jars: Jars = Jars()
    cache: Cache = Cache()
    paths: dict[str, Strings] = {}
    tests: dict[str, Tests] = {}
    seconds: dict[str, Seconds] = {}
    build: Build = Build()
    terraform: Terraform = Terraform()
    k8s: Kubernetes = Kubernetes()
    deploy: Optional[Deploy] = None
    performance: Performance = Performance()
    docker: Optional[Docker] = None
    security: Security = Security()


def read_settings(root: Path) -> Settings:
    """Return the settings of a repository; without pyproject.toml, the defaults.

    Raises:
        UsageError: pyproject.toml is not TOML, or a setting is missing, unknown or of
            another type.
    """
    if not (root / FILE).exists():
        return Settings()
    table = read_project(root).get("tool", {}).get("lake_ci", {})
    try:
        return msgspec.convert(table, Settings)
    except msgspec.ValidationError:
        place, name, problem = next(_problems(Settings, table, TABLE))
        line = _line(root, place, name)
        where = f"{FILE}:{line}" if line else FILE
        raise UsageError(f"{where}: [{place}] {name} {problem}") from None


def _line(root: Path, place: str, name: str) -> int | None:
    """Return the line of a setting; without one, the line of the innermost table."""
    while place:
        line = setting_line(root, place, name)
        if line is not None:
            return line
        place, _, name = place.rpartition(".")
    return None


def _problems(kind: Any, value: object, path: str) -> Iterator[tuple[str, str, str]]:
    """Yield the innermost settings that are wrong: table, name and problem of each.

    Each value is converted alone, because msgspec's message does not contain the keys
    of a dictionary.
    """
    try:
        msgspec.convert(value, kind)
        return
    except msgspec.ValidationError as error:
        message = str(error).partition(" - at ")[0]
    inner = [
        problem
        for name, child_kind, child in _children(kind, value)
        for problem in _problems(child_kind, child, f"{path}.{name}")
    ]
    yield from inner or [_problem(kind, value, path, message)]


def _children(kind: Any, value: object) -> Iterator[tuple[str, Any, object]]:
    """Yield name, type and value of each setting in a table."""
    if not isinstance(value, dict):
        return
    for each in _unwrapped(kind):
        if _is_table(each):
            hints = typing.get_type_hints(each, include_extras=True)
            yield from (
                (name, hints[name], child)
                for name, child in value.items()
                if name in hints
            )
        elif typing.get_origin(each) is dict:
            child_kind = typing.get_args(each)[1]
            yield from ((str(name), child_kind, child) for name, child in value.items())


def _unwrapped(kind: Any) -> Iterator[Any]:
    """Yield the types inside `Annotated` and `Optional`."""
    if typing.get_origin(kind) in (Annotated, Union):
        for each in typing.get_args(kind):
            yield from _unwrapped(each)
    else:
        yield kind


def _is_table(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Table)


def _problem(kind: Any, value: object, path: str, message: str) -> tuple[str, str, str]:
    """Return table, name and problem of a setting, from msgspec's message."""
    place, _, name = path.rpartition(".")
    quoted = message.partition("`")[2].partition("`")[0]
    if message.startswith("Object contains unknown field"):
        table = next(filter(_is_table, _unwrapped(kind)))
        return path, quoted, f"is unknown{nearest(quoted, table.__struct_fields__)}"
    if message.startswith("Object missing required field"):
        return path, quoted, "is missing"
    choices = [each for each in _unwrapped(kind) if typing.get_origin(each) is Literal]
    if choices:
        return place, name, f"is {value!r}{nearest(str(value), choices[0].__args__)}"
    words = message[0].lower() + message[1:].replace("`", "")
    for theirs, toml in (("object", "a table"), ("array", "a list"), ("str", "text")):
        words = re.sub(rf"\b{theirs}\b", toml, words)
    return place, name, f"is {value!r}: {words}"
