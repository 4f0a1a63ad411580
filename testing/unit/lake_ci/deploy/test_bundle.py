"""Tests that the environments are read from databricks.yml, and that the file is
validated with the schema of bundles.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lake_ci.deploy.bundle import load, read
from lake_ci.deploy.errors import RefusedError
from lake_ci.model.settings import Comparison
from testing.deploys.project import make

REPOSITORY = Path(__file__).resolve().parents[4]
SAMPLE = 'job = "nightly"\nsample = "scripts"\nsample_on = ["trial"]\n'
COMPARE = 'compare.arguments = ["-m", "shop", "{sample}", "{lake}"]\n'
NAMES = ("production", "staging", "dev", "trial")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make(tmp_path / "project", "1.0")


@pytest.mark.parametrize("name", NAMES)
def test_our_own_environments_are_whole(name: str) -> None:
    target = read(REPOSITORY, name, {})
    assert target.scripts == ("scripts/run_medallion.py", "scripts/check_quality.py")
    assert target.base.endswith(f"/lakekit/{name}")
    assert target.job["tags"]["environment"] == name
    assert (target.host is None) == (name == "trial")
    assert (target.sample is None) == (name != "trial")
    assert (target.compare is None) == (name != "trial")
    assert "${var.cluster_id}" in str(target.job) and str(target.job).count("${") == 2


def test_no_two_of_our_environments_share_a_workspace() -> None:
    hosts = [read(REPOSITORY, name, {}).host for name in NAMES]
    assert len(set(hosts)) == len(hosts)


def test_there_is_no_secret_in_our_bundle() -> None:
    text = (REPOSITORY / "databricks.yml").read_text(encoding="utf-8")
    assert "token" not in text.lower() and "dapi" not in text


def test_variable_of_the_environment_comes_before_the_file(project: Path) -> None:
    target = read(
        project,
        "trial",
        {"BUNDLE_VAR_cluster_id": "0101-x", "BUNDLE_VAR_lake": "main.other"},
    )
    assert (target.cluster, target.lookup, target.lake) == (
        "0101-x",
        False,
        "main.other",
    )
    assert read(project, "trial", {}).lookup


def change(project: Path, file: str, old: str, new: str) -> None:
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        (
            "databricks.yml",
            "bundle: {name: shop}",
            "bundle: {}",
            r"databricks.yml: bundle: 'name' is a required",
        ),
        ("databricks.yml", "tasks:", "taks:", "resources.jobs.nightly"),
        (
            "databricks.yml",
            "bundle: {name: shop}",
            "bundle: {name: shop",
            "databricks.yml: while parsing",
        ),
        ("databricks.yml", "${var.lake}", "${var.lak}", r"\$\{var.lak\} has no value"),
        (
            "databricks.yml",
            "scripts/fill.py",
            "scripts/fil.py",
            "the job runs scripts/fil.py, which does not exist",
        ),
        (
            "databricks.yml",
            "lookup: {cluster: shop}",
            "default: ''",
            "BUNDLE_VAR_cluster_id",
        ),
        (
            "pyproject.toml",
            'job = "nightly"',
            'job = "daily"',
            "no job 'daily'",
        ),
        (
            "pyproject.toml",
            'inspect = "scripts/inspect_shop.py"',
            "",
            r"deploy\] inspect is missing",
        ),
        ("pyproject.toml", "busy = ", "bsy = ", "bsy is unknown; did you mean 'busy'"),
        (
            "pyproject.toml",
            'job = "nightly"',
            'job = "nightly"\nsample = "incoming"\nsample_on = ["trial"]',
            "no folder 'incoming'",
        ),
        (
            "pyproject.toml",
            'job = "nightly"',
            'job = "nightly"\nsample = "scripts"\nsample_on = ["trail"]',
            "sample_on: no target 'trail'",
        ),
        (
            "pyproject.toml",
            'job = "nightly"',
            'job = "nightly"\nsample_on = ["trial"]',
            "names no sample",
        ),
        (
            "pyproject.toml",
            'job = "nightly"',
            'job = "nightly"\nsample = "scripts"',
            "names no sample_on",
        ),
        (
            "pyproject.toml",
            'job = "nightly"',
            'job = "nightly"\ncompare.arguments = ["{sample}", "{lake}"]',
            "names no sample",
        ),
        (
            "pyproject.toml",
            'job = "nightly"',
            SAMPLE + "compare = true",
            "compare is True: expected a table",
        ),
        (
            "pyproject.toml",
            'job = "nightly"',
            SAMPLE + 'compare.argument = ["-m", "shop"]',
            "argument is unknown; did you mean 'arguments'",
        ),
        (
            "pyproject.toml",
            'job = "nightly"',
            SAMPLE + 'compare.arguments = ["-m", "shop", "{sample}"]',
            "arguments lack {lake}",
        ),
        (
            "pyproject.toml",
            'job = "nightly"',
            SAMPLE + COMPARE + 'compare.path = ["gone"]',
            "path: no folder 'gone'",
        ),
    ],
)
def test_mistake_is_named_with_its_place(
    project: Path, file: str, old: str, new: str, words: str
) -> None:
    change(project, file, old, new)
    with pytest.raises(RefusedError, match=words):
        read(project, "trial", {})


@pytest.mark.parametrize(
    "value",
    [
        'main.x", "--allow-rebuild',
        "it's",
        "a\\nb",
        "a\\",
        "{sample}",
        "[1, 2]",
        "1.10",
        "\u202e",
        "line\nbreak",
    ],
)
def test_a_value_stays_one_parameter_whatever_it_contains(
    project: Path, value: str
) -> None:
    plain = read(project, "trial", {"BUNDLE_VAR_lake": "main.other"})
    target = read(project, "trial", {"BUNDLE_VAR_lake": value})
    assert target.lake == value
    assert target.job == replaced(plain.job, "main.other", value)


def replaced(value: Any, old: str, new: str) -> Any:
    """Replace a text in all strings of a job's settings."""
    if isinstance(value, dict):
        return {key: replaced(each, old, new) for key, each in value.items()}
    if isinstance(value, list):
        return [replaced(each, old, new) for each in value]
    return value.replace(old, new) if isinstance(value, str) else value


def test_a_key_that_is_there_twice_is_refused_with_both_lines(project: Path) -> None:
    path = project / "databricks.yml"
    lines = path.read_text(encoding="utf-8").splitlines()
    line = next(n for n, text in enumerate(lines, 1) if text.startswith("variables:"))
    lines.append("variables: {}")
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(RefusedError) as raised:
        read(project, "trial", {})
    assert raised.value.message == (
        f"databricks.yml:{len(lines)}: the key 'variables' is also in line {line}"
    )


@pytest.mark.parametrize("value", ["1.10", "010", "yes", "0x1f", "2024-01-01"])
@pytest.mark.parametrize("is_override", [False, True])
def test_a_value_that_yaml_does_not_read_as_text_is_refused(
    project: Path, value: str, is_override: bool
) -> None:
    body = yaml.safe_load((project / "databricks.yml").read_text(encoding="utf-8"))
    place = "variables.lake.default"
    if is_override:
        body["targets"]["trial"] = {"variables": {"lake": "VALUE"}}
        place = "targets.trial.variables.lake"
    else:
        body["variables"]["lake"]["default"] = "VALUE"
    text = yaml.safe_dump(body).replace("VALUE", value)
    (project / "databricks.yml").write_text(text, encoding="utf-8")
    with pytest.raises(RefusedError, match="put the value in quotes") as raised:
        read(project, "trial", {})
    assert raised.value.message.startswith(f"databricks.yml: {place}: ")


def test_sample_is_compared_where_it_is_uploaded(project: Path) -> None:
    more = COMPARE + 'compare.path = ["scripts"]\ncompare.unset = ["SHOP_*"]'
    change(project, "pyproject.toml", 'job = "nightly"', SAMPLE + more)
    arguments = ("-m", "shop", "{sample}", "{lake}")
    target = read(project, "trial", {})
    assert target.sample == "scripts"
    assert target.compare == Comparison(arguments, ("scripts",), {}, ("SHOP_*",))
    other = read(project, "dev", {})
    assert (other.sample, other.compare) == (None, None)


def test_target_that_is_not_there_offers_those_that_are(project: Path) -> None:
    with pytest.raises(RefusedError, match="no target 'prod'.*production"):
        read(project, "prod", {})


def test_schema_refuses_what_the_deploy_would_pass_over(project: Path) -> None:
    change(
        project,
        "databricks.yml",
        "name: shop nightly",
        "name: shop nightly\n      run_as: {user_name: me}",
    )
    with pytest.raises(RefusedError, match="run_as"):
        load(project)
