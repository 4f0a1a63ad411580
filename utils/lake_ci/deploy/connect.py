"""Connects to the workspace of an environment.

The credentials come from Databricks' environment variables, profiles or OIDC.
Credentials for another workspace are refused.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from configparser import ConfigParser, Error as ConfigParserError
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from databricks.sdk import WorkspaceClient, errors as sdk_errors
from databricks.sdk.config import Config
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service.catalog import VolumeType

from lake_ci.deploy.bundle import FILE, Target
from lake_ci.deploy.cli import DatabricksCli
from lake_ci.deploy.client import Workspace
from lake_ci.deploy.errors import NoWorkspaceError, RefusedError
from lake_ci.deploy.events import Events
from lake_ci.deploy.retries import Clock
from lake_ci.deploy.sdk import SdkClock, client
from lake_ci.deploy.workspace import Databricks
from lake_ci.system.redaction import SHORTEST

RUNTIME = "15.4.x-scala2.12"
NODE = "m5d.large"
WAYS = (
    "set DATABRICKS_HOST with DATABRICKS_TOKEN, or with DATABRICKS_CLIENT_ID and"
    " DATABRICKS_CLIENT_SECRET; or DATABRICKS_CONFIG_PROFILE; or use GitHub OIDC with"
    " DATABRICKS_AUTH_TYPE=github-oidc"
)
# The characters that an HTTP header can contain. A token with fewer characters than
# SHORTEST would not be redacted.
TOKEN = re.compile(rf"[!-~]{{{SHORTEST},}}")


@dataclass(frozen=True)
class Connection:
    """The environment's cluster, and a workspace that accepted the credentials.

    `summary` describes the workspace and the cluster for the user.
    """

    workspace: Workspace
    target: Target
    cluster: str
    runtime: str
    summary: str


def connect(
    target: Target,
    env: Mapping[str, str],
    events: Events,
    clock: Clock,
    *,
    emulator: bool = False,
) -> Connection:
    """Find the workspace and the cluster of an environment.

    Raises:
        NoWorkspaceError: there are no credentials, or the credentials are for another
            workspace.
        RefusedError: the cluster does not exist.
        WorkspaceError: the workspace does not answer or rejects the credentials.
    """
    # Check the configured host first, because the SDK contacts this host while reading
    # the configuration. Then check the host that the SDK has chosen.
    configured = _configured_host(target, env)
    if configured is not None:
        _check_host(configured, target)
    config = _config(target, env, clock)
    events.hide(*_secrets(config))
    host = str(config.host)
    _check_host(host, target)
    token = _token(config, target)
    events.hide(token)
    sdk = client(config)
    program = Path(sys.executable).with_name("databricks")
    cli = DatabricksCli(program, host, token, env, seconds=target.limits.request)
    workspace = Databricks(sdk, cli, target.limits, clock)
    user = workspace.user()
    if emulator:
        workspace.ask(lambda: provision(sdk, target))
    cluster = _cluster(workspace, target)
    runtime = workspace.cluster(cluster).runtime
    return Connection(
        workspace,
        target,
        cluster,
        runtime,
        f"{user} at {host}, cluster {cluster} ({runtime})",
    )


def _configured_host(target: Target, env: Mapping[str, str]) -> str | None:
    """Return the host in DATABRICKS_HOST, or else in the profile that the SDK uses."""
    if env.get("DATABRICKS_HOST"):
        return env["DATABRICKS_HOST"].strip()
    profile = target.profile or env.get("DATABRICKS_CONFIG_PROFILE") or "DEFAULT"
    file = env.get("DATABRICKS_CONFIG_FILE") or "~/.databrickscfg"
    profiles = ConfigParser(interpolation=None)
    try:
        profiles.read(Path(file).expanduser(), encoding="utf-8")
    except (ConfigParserError, OSError, UnicodeError):
        return None  # the SDK reports what is wrong with the file
    if profile == profiles.default_section:
        return profiles.defaults().get("host")
    return profiles.get(profile, "host", fallback=None)


def _check_host(host: str, target: Target) -> None:
    """Raise NoWorkspaceError if the host is not the environment's workspace."""
    if target.host is not None and not same_host(host, target.host):
        raise NoWorkspaceError(
            f"the credentials are for {host}, but {target.name} is in {target.host}",
            f"use those of {target.host}, or correct {FILE}",
        )


def same_host(one: str, two: str) -> bool:
    """Return whether two addresses belong to the same workspace.

    A missing scheme means `https`. Default ports, paths and the case of letters do not
    matter. `?o=` contains the id of a workspace; the ids are compared only if both
    addresses contain an id.
    """
    first, second = (_address(text) for text in (one, two))
    if first is None or second is None:
        return False
    ids = {first[1], second[1]} - {None}
    return first[0] == second[0] and len(ids) <= 1


def _address(text: str) -> tuple[tuple[str, str, int | None], str | None] | None:
    """Return the scheme, host and port of an address, and its workspace id if any.

    Returns None if the port is invalid.
    """
    address = urlsplit(text if "://" in text else f"https://{text}")
    try:
        port = address.port or {"http": 80, "https": 443}.get(address.scheme)
    except ValueError:
        return None
    found = parse_qs(address.query).get("o", [None])
    return (address.scheme, address.hostname or "", port), found[0]


def _cluster(workspace: Workspace, target: Target) -> str:
    """Return the id of the environment's cluster, looked up by name if necessary."""
    if not target.lookup:
        return target.cluster
    found = workspace.find_cluster(target.cluster)
    if found is None:
        raise RefusedError(
            f"no cluster has the name {target.cluster!r}, which {FILE} looks up"
        )
    return found


def _config(target: Target, env: Mapping[str, str], clock: Clock) -> Config:
    options: dict[str, Any] = {
        "clock": SdkClock(clock, target.limits.request),
        # With this option, the SDK uploads all files by the same method.
        "disable_experimental_files_api_client": True,
        "http_timeout_seconds": target.limits.request,
        # After this timeout the SDK gives up, and `retries.retry` retries the request.
        "retry_timeout_seconds": int(max(1.0, target.limits.request)),
    }
    if target.profile and "DATABRICKS_HOST" not in env:
        options["profile"] = target.profile
    try:
        return Config(**options)
    except ValueError as error:
        reason = str(error).splitlines()[0].partition(". Config:")[0]
        raise NoWorkspaceError(
            f"no credentials for {target.name}: {reason}", WAYS
        ) from None


def _token(config: Config, target: Target) -> str:
    """Return a bearer token for credentials of any kind.

    databricks-cli accepts only bearer tokens.
    """
    try:
        header = config.authenticate().get("Authorization", "")
    except (ValueError, OSError, DatabricksError) as error:
        raise NoWorkspaceError(
            f"could not get a token for {target.name}: {error}", WAYS
        ) from None
    if not header.startswith("Bearer "):
        raise NoWorkspaceError(
            f"the credentials for {target.name} give no bearer token", WAYS
        )
    token = header.removeprefix("Bearer ")
    if not TOKEN.fullmatch(token):
        raise NoWorkspaceError(
            f"the token for {target.name} is not {SHORTEST} or more ASCII characters",
            "set DATABRICKS_TOKEN to the token alone, without spaces or line breaks",
        )
    return token


def _secrets(config: Config) -> list[str]:
    """Return the secrets that the SDK has read from variables or a profile."""
    names = [attribute.name for attribute in Config.attributes() if attribute.sensitive]
    return [str(getattr(config, name)) for name in names if getattr(config, name)]


def provision(sdk: WorkspaceClient, target: Target) -> None:
    """Create the volumes and the cluster in the emulator.

    In a real workspace, Terraform and people create the volumes and the cluster.
    """
    for path in (target.base, target.source):
        _, _, catalog, schema, volume, *_ = path.split("/")
        with suppress(sdk_errors.BadRequest, sdk_errors.ResourceConflict):
            sdk.schemas.create(schema, catalog)
        with suppress(sdk_errors.BadRequest, sdk_errors.ResourceConflict):
            sdk.volumes.create(catalog, schema, volume, VolumeType.MANAGED)
    if target.lookup and not any(
        each.cluster_name == target.cluster for each in sdk.clusters.list()
    ):
        sdk.clusters.create(
            spark_version=RUNTIME,
            cluster_name=target.cluster,
            num_workers=0,
            node_type_id=NODE,
        )
