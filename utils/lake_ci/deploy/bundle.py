"""Reads the environments and the scheduled job.

Both are defined in databricks.yml and in `[tool.lake_ci.deploy]` of pyproject.toml.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from lake_ci.deploy.errors import RefusedError
from lake_ci.errors import UsageError
from lake_ci.model.settings import Comparison, Deploy, Limits, read_settings

FILE = "databricks.yml"
TABLE = "[tool.lake_ci.deploy]"
SCHEMA = Path(__file__).with_name("bundle.schema.json")
REFERENCE = re.compile(r"\$\{([\w.]+)\}")
# The variable for the cluster's id. A release contains this variable instead of the id,
# so that the same files are the same release on every cluster.
CLUSTER = "cluster_id"


# The placeholders for two folders. The comparison run reads the sample from the first
# folder and writes the lake to the second, so its arguments must contain both.
FOLDERS = ("{sample}", "{lake}")


@dataclass(frozen=True)
class Target:
    """One environment.

    Attributes:
        name: `trial`, `dev`, `staging` or `production`.
        host: the URL of the workspace; None for the emulator, whose URL is not in the
            bundle.
        profile: the profile in ~/.databrickscfg that contains the credentials; None if
            the bundle sets no profile.
        package: the name of the distribution to deploy.
        base: the folder on the volume for the releases, the ledger and the lock.
        source: the folder on the volume for the source files.
        lake: the schema of the tables, as `catalog.schema`.
        cluster: the id of the cluster, or the cluster's name if `lookup` is true.
        job: the declared settings of the scheduled job. The paths of the job's scripts
            are relative to the repository.
        inspect: the script that reports the state of the cluster and its tables.
        restore: the script that restores tables to an older version.
        sample: the folder of the sample that is uploaded as source data; None if the
            environment has its own data.
        compare: how to process the sample on this machine; None if the gold tables are
            not compared. The deployed gold tables must equal the gold tables of the run
            on this machine.
        limits: the time limits.
    """

    name: str
    host: str | None
    profile: str | None
    package: str
    base: str
    source: str
    lake: str
    cluster: str
    lookup: bool
    job: Mapping[str, Any]
    inspect: str
    restore: str
    sample: str | None
    compare: Comparison | None
    limits: Limits

    @property
    def scripts(self) -> tuple[str, ...]:
        """The scripts that the job runs, in the order of its tasks.

        Paths are relative to the repository.
        """
        return tuple(
            task["spark_python_task"]["python_file"] for task in self.job["tasks"]
        )


def read(root: Path, name: str, env: Mapping[str, str]) -> Target:
    """Return the environment with this name.

    Raises RefusedError if a setting is missing or wrong; the message names the file and
    the setting.
    """
    body = load(root)
    settings = _settings(root)
    if name not in body["targets"]:
        raise RefusedError(
            f"{FILE}: no target {name!r}",
            f"there are {', '.join(body['targets'])}",
        )
    chosen = body["targets"][name] or {}
    variables = _variables(body, chosen)
    cluster, lookup = _cluster(variables[CLUSTER], env)
    if not cluster:
        raise RefusedError(
            f"{FILE}: target {name!r} names no cluster", f"set BUNDLE_VAR_{CLUSTER}"
        )
    values = {"bundle.target": name, "bundle.name": body["bundle"]["name"]}
    for variable, declared in variables.items():
        given = _given(variable, declared, env)
        if variable != CLUSTER and given is not None:
            values[f"var.{variable}"] = str(given)
    job = _job(root, body["resources"]["jobs"], settings.job, values)
    workspace = chosen.get("workspace", {})
    sample = _sample(root, settings, name, body["targets"])
    if settings.compare is not None:
        _check_comparison(root, settings.compare, used=sample is not None)
    place = {
        each: _resolved(f"${{var.{each}}}", values)
        for each in ("volume", "source", "lake")
    }
    return Target(
        name=name,
        host=workspace.get("host"),
        profile=workspace.get("profile"),
        package=settings.package,
        base=f"{place['volume']}/{settings.package}/{name}",
        source=place["source"],
        lake=place["lake"],
        cluster=cluster,
        lookup=lookup,
        job=job,
        inspect=settings.inspect,
        restore=settings.restore,
        sample=sample,
        compare=settings.compare if sample is not None else None,
        limits=settings.limits,
    )


def _variables(
    body: Mapping[str, Any], chosen: Mapping[str, Any]
) -> dict[str, Mapping[str, Any]]:
    """Return each variable's declaration from the target, or else from the bundle."""
    own = chosen.get("variables", {})
    declared = {
        name: own.get(name, declared) for name, declared in body["variables"].items()
    }
    return {
        name: each if isinstance(each, Mapping) else {"default": each}
        for name, each in declared.items()
    }


def _given(variable: str, declared: Mapping[str, Any], env: Mapping[str, str]) -> Any:
    return env.get(f"BUNDLE_VAR_{variable}", declared.get("default"))


def _cluster(declared: Mapping[str, Any], env: Mapping[str, str]) -> tuple[str, bool]:
    """Return the cluster's id or name, and whether the name must be looked up."""
    given = _given(CLUSTER, declared, env)
    if given is None:
        return str(declared.get("lookup", {}).get("cluster", "")), True
    return str(given), False


def _job(
    root: Path, jobs: Mapping[str, Any], name: str, values: Mapping[str, str]
) -> dict[str, Any]:
    """Replace each `${...}` in the settings of the job, and return the settings.

    Raises RefusedError if one of the job's scripts does not exist.
    """
    if name not in jobs:
        raise RefusedError(f"{FILE}: no job {name!r}, which {TABLE} names")
    resolved: dict[str, Any] = _resolved_everywhere(jobs[name], values)
    for task in resolved["tasks"]:
        script = task["spark_python_task"]["python_file"]
        if not (root / script).is_file():
            raise RefusedError(f"{FILE}: the job runs {script}, which does not exist")
    return resolved


class _UniqueKeys(yaml.SafeLoader):
    """Loads YAML, and refuses duplicate keys; PyYAML would accept duplicate keys."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            first = lines.setdefault(key.value, line)
            if first != line:
                message = f"{FILE}:{line}: the key {key.value!r} is also in line"
                raise RefusedError(f"{message} {first}")
        return super().construct_mapping(node, deep)


def load(root: Path) -> dict[str, Any]:
    """Return the content of databricks.yml, validated by the schema.

    Raises RefusedError if the file cannot be read or does not match the schema.
    """
    try:
        text = (root / FILE).read_text(encoding="utf-8")
        body = _UniqueKeys(text).get_single_data()
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RefusedError(f"{FILE}: {error}") from None
    validator = jsonschema.Draft202012Validator(
        json.loads(SCHEMA.read_text(encoding="utf-8"))
    )
    for wrong in sorted(
        validator.iter_errors(body),
        key=lambda error: list(map(str, error.absolute_path)),
    ):
        place = ".".join(str(part) for part in wrong.absolute_path) or "the file"
        # YAML reads `1.10` as 1.1, `010` as 8 and `yes` as true.
        is_scalar = not isinstance(wrong.instance, (str, dict, list, type(None)))
        takes_text = wrong.validator_value == "string" or wrong.validator == "anyOf"
        hint = "put the value in quotes" if is_scalar and takes_text else None
        raise RefusedError(f"{FILE}: {place}: {wrong.message}", hint)
    assert isinstance(body, dict)
    return body


def _settings(root: Path) -> Deploy:
    """Return the settings in `[tool.lake_ci.deploy]` of pyproject.toml.

    Raises RefusedError if this table is missing or wrong.
    """
    try:
        settings = read_settings(root).deploy
    except UsageError as error:
        raise RefusedError(error.message) from None
    if settings is None:
        raise RefusedError(f"pyproject.toml: {TABLE} is missing")
    return settings


def _sample(
    root: Path, settings: Deploy, name: str, targets: Mapping[str, Any]
) -> str | None:
    """Return the folder of the sample; None if this target does not use the sample."""
    where = f"pyproject.toml: {TABLE}"
    for each in settings.sample_on:
        if each not in targets:
            raise RefusedError(f"{where}: sample_on: no target {each!r}")
    if settings.sample is None:
        if settings.sample_on or settings.compare is not None:
            raise RefusedError(f"{where} names no sample")
        return None
    if not settings.sample_on:
        raise RefusedError(f"{where} names no sample_on")
    if name not in settings.sample_on:
        return None
    if not (root / settings.sample).is_dir():
        raise RefusedError(f"{where}: no folder {settings.sample!r}")
    return settings.sample


def _check_comparison(root: Path, comparison: Comparison, *, used: bool) -> None:
    """Raise RefusedError if the comparison run lacks an argument or a folder.

    If the environment's gold tables are not compared, the folders may be missing.
    """
    where = f"pyproject.toml: {TABLE[:-1]}.compare]"
    unnamed = [folder for folder in FOLDERS if folder not in comparison.arguments]
    if unnamed:
        raise RefusedError(f"{where}: arguments lack {unnamed[0]}")
    for folder in comparison.path if used else ():
        if not (root / folder).is_dir():
            raise RefusedError(f"{where}: path: no folder {folder!r}")


def _resolved_everywhere(value: Any, values: Mapping[str, str]) -> Any:
    """Replace each `${...}` in the strings of a value, and return the new value.

    A replacement is never parsed as YAML, so each string remains a string.
    """
    if isinstance(value, dict):
        return {key: _resolved_everywhere(each, values) for key, each in value.items()}
    if isinstance(value, list):
        return [_resolved_everywhere(each, values) for each in value]
    return _resolved(value, values) if isinstance(value, str) else value


def _resolved(text: str, values: Mapping[str, str]) -> str:
    """Replace each `${...}` in a text, and return the new text.

    If a replacement contains `${...}`, this is replaced, too. The variable for the
    cluster's id is not replaced.
    """
    for _ in range(10):
        before = text
        for name in REFERENCE.findall(text):
            if name == f"var.{CLUSTER}":
                continue
            if name not in values:
                raise RefusedError(f"{FILE}: ${{{name}}} has no value")
            text = text.replace(f"${{{name}}}", values[name])
        if text == before:
            return text
    raise RefusedError(f"{FILE}: the variables refer to each other in a circle")
