"""Each tool gets only the secrets that it needs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lake_ci.system import git, secret_variables

PASSWORD = "https://me:password@host"
SECRETS = {
    "HTTPS_PROXY": PASSWORD,
    "https_proxy": PASSWORD,
    "PIP_INDEX_URL": PASSWORD,
    "PIP_EXTRA_INDEX_URL": PASSWORD,
    "UV_DEFAULT_INDEX": PASSWORD,
    "UV_INDEX_MINE_PASSWORD": "x",
    "UV_PUBLISH_TOKEN": "x",
    "TWINE_PASSWORD": "x",
    "DOCKER_AUTH_CONFIG": "{}",
    "DATABRICKS_TOKEN": "x",
    "DATABRICKS_CLIENT_SECRET": "x",
    "ARM_CLIENT_SECRET": "x",
    "AZURE_CLIENT_SECRET": "x",
    "GOOGLE_CREDENTIALS": "{}",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_SESSION_TOKEN": "x",
    "GH_TOKEN": "x",
    "GITHUB_TOKEN": "x",
    "KUBECONFIG": "/home/me/.kube/config",
    "SLACK_WEBHOOK_URL": "x",
    "PGPASSWORD": "x",
    "SHOP_API_KEY": "x",
}
PROXIES = {"HTTPS_PROXY", "https_proxy"}
INDEXES = {
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_INDEX_MINE_PASSWORD",
}
CLOUDS = {
    "ARM_CLIENT_SECRET",
    "AZURE_CLIENT_SECRET",
    "GOOGLE_CREDENTIALS",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
}
TOOLS = {
    "download": PROXIES,
    "packages": PROXIES | INDEXES,
    "docker": PROXIES | INDEXES | {"DOCKER_AUTH_CONFIG"},
    "deploy": PROXIES | CLOUDS | {"DATABRICKS_TOKEN", "DATABRICKS_CLIENT_SECRET"},
    "terraform": PROXIES | CLOUDS,
    "kubernetes": PROXIES | CLOUDS | {"KUBECONFIG"},
    "git": PROXIES | {"GH_TOKEN", "GITHUB_TOKEN"},
    "suite": {*SECRETS},
}
HARMLESS = {
    "PATH": "/bin",
    "HTTPS_PROXY": "http://proxy:3128",
    "NO_PROXY": "localhost",
    "PIP_INDEX_URL": "https://index.example.org/simple",
    "SSL_CERT_FILE": "/etc/ssl/cert.pem",
    "AWS_ACCESS_KEY_ID": "AKIA",
    "AWS_PROFILE": "me",
    "DATABRICKS_HOST": "https://dbc.example.org",
    "DOCKER_HOST": "unix:///run/docker.sock",
}


@pytest.mark.parametrize("tool", secret_variables.TOOLS)
def test_each_tool_gets_the_secrets_of_its_row(tool: str) -> None:
    shown, withheld = secret_variables.split(SECRETS)
    assert not shown
    assert {*secret_variables.of(tool, withheld)} == TOOLS[tool]


def test_all_tools_get_the_variables_without_secrets() -> None:
    assert secret_variables.split(HARMLESS) == (HARMLESS, {})


def test_a_tool_without_a_row_is_an_error() -> None:
    with pytest.raises(KeyError):
        secret_variables.of("flake8", SECRETS)


def test_git_gets_only_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    assert {*git.variables()} & {*SECRETS} == TOOLS["git"]
    assert git.variables()["PATH"] == os.environ["PATH"]
    assert git.ask(Path("/"), "--version") is not None
