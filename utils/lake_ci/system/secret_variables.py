"""Decides which tools get the environment variables that contain secrets.

A tool gets the secrets in its row of `TOOLS`, and those that its job declares as
`variables`. All other tools get none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lake_ci.system.redaction import holds_secret

PROXIES = r"(?i:(https?|all|ftp)_proxy)"
INDEXES = r"(PIP|UV)_.*(INDEX|FIND_LINKS|PROXY).*"
CLOUDS = r"(AWS|ARM|AZURE|GOOGLE|ACTIONS_ID_TOKEN)_.*"
# The developer's clusters are withheld like a secret.
KUBECONFIG = "KUBECONFIG"
TOOLS: Mapping[str, re.Pattern[str]] = {
    name: re.compile("|".join(patterns))
    for name, patterns in {
        # Programs that read files from public servers.
        "download": [PROXIES],
        # uv and pip.
        "packages": [PROXIES, INDEXES],
        "docker": [PROXIES, INDEXES, "DOCKER_AUTH_CONFIG"],
        "deploy": [PROXIES, CLOUDS, "DATABRICKS_.*"],
        # Terraform in a real account.
        "terraform": [PROXIES, CLOUDS],
        # kubectl with the developer's context.
        "kubernetes": [PROXIES, CLOUDS, KUBECONFIG],
        # git may call gh for a password, and fetches what a partial clone lacks.
        "git": [PROXIES, "(GH|GITHUB)_TOKEN"],
        # nox, when a session runs the suite itself.
        "suite": [".*"],
    }.items()
}


def split(env: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the variables that all tools get, and those that are withheld."""
    shown: dict[str, str] = {}
    withheld: dict[str, str] = {}
    for name, value in env.items():
        hide = name == KUBECONFIG or holds_secret(name, value)
        (withheld if hide else shown)[name] = value
    return shown, withheld


def of(tool: str, withheld: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with secrets that a tool gets. Other tools do not get them.

    Raises:
        KeyError: the tool is not in `TOOLS`.
    """
    needed = TOOLS[tool]
    return {name: value for name, value in withheld.items() if needed.fullmatch(name)}
