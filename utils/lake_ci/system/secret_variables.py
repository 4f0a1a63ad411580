"""Decides which tools get the environment variables that contain secrets.

A tool gets the secrets that its row of `TOOLS` matches, and the secrets that its job
declares as `variables`. A tool gets no other secrets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lake_ci.system.redaction import holds_secret

PROXIES = r"(?i:(https?|all|ftp)_proxy)"
INDEXES = r"(PIP|UV)_.*(INDEX|FIND_LINKS|PROXY).*"
CLOUDS = r"(AWS|ARM|AZURE|GOOGLE|ACTIONS_ID_TOKEN)_.*"
# This variable gives access to the developer's clusters, so it counts as a secret.
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
        # git may call gh for a password. A partial clone fetches missing objects.
        "git": [PROXIES, "(GH|GITHUB)_TOKEN"],
        # nox, when a session runs the suite itself.
        "suite": [".*"],
    }.items()
}


def split(env: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Split variables into variables for all tools and variables with secrets."""
    shown: dict[str, str] = {}
    withheld: dict[str, str] = {}
    for name, value in env.items():
        hide = name == KUBECONFIG or holds_secret(name, value)
        (withheld if hide else shown)[name] = value
    return shown, withheld


def of(tool: str, withheld: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with secrets that this tool needs.

    Raises:
        KeyError: the tool is not in `TOOLS`.
    """
    needed = TOOLS[tool]
    return {name: value for name, value in withheld.items() if needed.fullmatch(name)}
