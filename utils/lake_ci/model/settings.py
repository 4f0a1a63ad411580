"""Reads `[tool.lake_ci]` in pyproject.toml, and converts it to typed settings.

Each setting has a default, except settings whose value only the repository knows. If a
setting is unknown or its value has the wrong type, the error names file and line.
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
    # Exit here: the noxfile imports this module, so no session could report the error.
    sys.stderr.write(
        "msgspec is missing: it reads the settings (run `python -m pip install"
        " msgspec`)\n"
    )
    sys.exit(3)

TABLE = "tool.lake_ci"
Seconds = Annotated[float, Meta(ge=0, le=10**9)]
Strings = tuple[str, ...]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base class of all tables, which rejects unknown names in a table."""


class Lock(Table, frozen=True):
    """The lock file `requirements/NAME.txt`, which `nox -s lock` compiles.

    Attributes:
        python: the oldest Python version that the lock file supports.
        project: whether the lock file contains the project's own dependencies.
        extras: the extras of the project that the lock file contains.
        groups: the dependency groups that the lock file contains.
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
    """The folders with a session's tests, and the folders with the tested code.

    All paths are relative to the repository.
    """

    unit: Strings
    integration: Strings
    cover: Strings


class Terraform(Table, frozen=True):
    """The checks of Terraform.

    Attributes:
        may_differ: patterns of `type.attribute`, for attributes that may differ between
            staging and production.
        layers: the folders of the lake that must have a lifecycle rule.
    """

    may_differ: Strings = ()
    layers: Strings = ()


class KubernetesProgram(Table, frozen=True):
    """A program that images run.

    Attributes:
        code: the folders with the program's code. The checks search the code for the
            environment variables that the code reads.
        settings: for each prefix of variable names, the class or dictionary that
            declares the variables, as `FILE:NAME`.
        grace: the environment variable that sets how many seconds the program may take
            to shut down.
    """

    code: Strings
    settings: dict[str, str] = {}
    grace: Optional[str] = None


class KubernetesImage(Table, frozen=True):
    """An image that the manifests use.

    Attributes:
        program: the program that the image runs.
        environment: the environment variables that the image needs, with their values.
    """

    program: str
    environment: dict[str, str] = {}


class Kubernetes(Table, frozen=True):
    """The checks of the Kubernetes manifests.

    Attributes:
        versions: the Kubernetes versions whose schemas validate the manifests.
        secrets: the names of the Secrets that the manifests use but do not contain.
        may_differ: patterns of `Kind.name.path`, for values that may differ between
            staging and production.
        accepted: the rules of checkov whose findings are accepted, with the reasons.
        programs: the programs that the images run, by name.
        images: the images, by their names without registry and tag.
    """

    versions: Annotated[Strings, Meta(min_length=1)] = ("1.34",)
    secrets: Strings = ()
    may_differ: Strings = ()
    accepted: dict[str, str] = {}
    programs: dict[str, KubernetesProgram] = {}
    images: dict[str, KubernetesImage] = {}


class Comparison(Table, frozen=True):
    """A local run on the sample's data; its gold tables are the expected gold tables.

    Attributes:
        arguments: the arguments of Python; `{sample}` and `{lake}` are replaced by the
            paths of the sample's folder and the lake's folder.
        path: the folders that make up the run's PYTHONPATH, relative to the repository.
        environment: the environment variables that are set for the run.
        unset: patterns of the variables that the run must not inherit.
    """

    arguments: Strings
    path: Strings = ()
    environment: dict[str, str] = {}
    unset: Strings = ()


class Limits(Table, frozen=True):
    """The time limits of a deploy, in seconds except for `attempts`.

    Attributes:
        request: the limit for one request, or for one command of the CLI.
        attempts: the maximum number of times that a request with retryable errors is
            sent.
        pause: the wait before the second attempt. The wait doubles before each later
            attempt.
        poll: the wait between two requests for a state.
        start: the limit for starting a cluster.
        install: the limit for installing a wheel.
        run: the limit for a one-time run of the job.
        busy: how long a restart of the cluster waits until the cluster's runs have
            ended. With 0, the restart fails at once if a run is active.
        whole: the limit for the whole deploy. The deploy's lock expires a little later.
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
    """The settings of a deploy, except the settings in databricks.yml.

    Attributes:
        package: the distribution that is deployed.
        job: the job in databricks.yml that a deploy runs once and then schedules.
        inspect: the script that reports the state of the cluster and its tables.
        restore: the script that restores tables to an older version.
        protected: the environments to which only commits on `main` may be deployed.
        sample: the folder with the sample's source data.
        sample_on: the environments to which a deploy uploads the sample as source data.
        compare: the local run on the sample's data, whose gold tables are the expected
            gold tables.
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
    """The limits of `nox -s performance`; a ratio is this version / the baseline.

    Attributes:
        threshold: the largest accepted ratio of seconds.
        memory_threshold: the largest accepted ratio of peak memory.
        interval: a confidence interval is narrow enough if half its width is at most
            this value.
        seconds: the time limit per benchmark.
    """

    threshold: Annotated[float, Meta(gt=1)] = 1.15
    memory_threshold: Annotated[float, Meta(gt=1)] = 1.25
    interval: Annotated[float, Meta(gt=0, lt=1)] = 0.03
    seconds: Annotated[float, Meta(gt=0)] = 20.0


class Docker(Table, frozen=True):
    """The checks of the images.

    Attributes:
        prefix: the start of each image's name; the name ends with the image's target.
        packages: for each target, the Python package that the image must contain.
        context: the files and folders that the images are built from.
        planted: files of the context. The reproducibility check writes a secret into
            each of these files.
        megabytes: for each target, the maximum size of the image, in 10^6 bytes.
        tests: the folder with the images' tests; the tests of each target are in the
            file `test_TARGET.py`.
    """

    prefix: Annotated[str, Meta(min_length=1)]
    packages: Annotated[dict[str, str], Meta(min_length=1)]
    context: Annotated[Strings, Meta(min_length=1)]
    planted: Annotated[Strings, Meta(min_length=1)]
    megabytes: dict[str, Annotated[float, Meta(gt=0)]]
    tests: Annotated[str, Meta(min_length=1)]

    def image(self, target: str) -> str:
        """Return a target's image name, which has neither registry nor tag."""
        return f"{self.prefix}{target}"

    def test_file(self, target: str) -> str:
        """Return the path of the tests for a target, relative to the repository."""
        return f"{self.tests}/test_{target}.py"


class Security(Table, frozen=True):
    """The scanners of `nox -s security`.

    Attributes:
        fail_on: the lowest severity with which a finding fails the scan.
        bandit: the files and folders that bandit scans.
    """

    fail_on: Literal["low", "medium", "high"] = "low"
    bandit: Annotated[Strings, Meta(min_length=1)] = (".",)


class Build(Table, frozen=True):
    """The checks of the wheel and the sdist.

    Attributes:
        files: patterns of the files that a package may contain. A pattern with `/` is
            compared with the path of a file, and a pattern without `/` with the name of
            a file.
    """

    files: Strings = ("*.py", "*.pyi", "py.typed")


class Settings(Table, frozen=True):
    """All settings of the suite.

    Attributes:
        locks: the lock files, by their names without suffix.
        paths: patterns of files, by the names that jobs use in `inputs` for the
            patterns.
        tests: the tests, by the names with which sessions select them.
        seconds: the estimated duration of each session, by the session's id or by the
            job's name.
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
    """Return a repository's settings; without a pyproject.toml, return the defaults.

    Raises:
        UsageError: pyproject.toml is not valid TOML, or a setting is missing, is
            unknown, or has the wrong type.
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
    """Return the line of a setting, or else of the innermost table that has a line."""
    while place:
        line = setting_line(root, place, name)
        if line is not None:
            return line
        place, _, name = place.rpartition(".")
    return None


def _problems(kind: Any, value: object, path: str) -> Iterator[tuple[str, str, str]]:
    """Yield the table, name and problem of each wrong setting, also in inner tables.

    Each value is converted separately, because msgspec's messages lack the keys of
    dictionaries.
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
    """Yield the name, type and value of each setting in a table."""
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
    """Return a setting's table, name, and the problem stated in msgspec's message."""
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
