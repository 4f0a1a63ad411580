"""Provides the AWS account of each environment.

An environment gets the environment's real account if the user has credentials for this
account. Otherwise the environment gets an account on a moto server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lake_ci.checks.terraform.code import FOLDER, isolated, mirror, terraform_variables
from lake_ci.errors import LakeCiError
from lake_ci.runner.check import CheckContext

SCRIPTS = "testing/aws"
# If one of these variables is set, AWS clients find credentials.
CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
# The account id that is used if the .tfvars file of an environment sets no account id.
# If the file sets no account id, Terraform reports an error.
NOBODY = "000000000000"


@dataclass(frozen=True)
class Account:
    """The account of an environment.

    Attributes:
        id: the twelve digits of the account.
        states: the bucket for Terraform's state, from the backend's configuration.
        env: all environment variables of processes that use the account.
        real: whether the account is a real AWS account, which the checks only read.
    """

    id: str
    states: str
    env: Mapping[str, str]
    real: bool = False


@contextmanager
def accounts(
    ctx: CheckContext, environments: Sequence[str], *, rehearse: bool = False
) -> Iterator[dict[str, Account]]:
    """Provide the account of each environment to a `with` block.

    If the user's credentials belong to the account of an environment, this environment
    gets its real account. All other environments get accounts of a moto server.

    Raises:
        LakeCiError: AWS does not accept the credentials, or moto did not start.
    """
    here = None if rehearse or not environments else caller(ctx)
    found = {
        name: real(ctx, name)
        for name in environments
        if setting(ctx, name, "account_id") == here
    }
    rest = [name for name in environments if name not in found]
    if not rest:
        yield found
        return
    with _moto_accounts(ctx, rest) as rehearsed:
        yield found | rehearsed


@contextmanager
def _moto_accounts(
    ctx: CheckContext, environments: Sequence[str]
) -> Iterator[dict[str, Account]]:
    """Provide an account of a moto server for each environment to a `with` block."""
    requested = {
        name: {
            "account": setting(ctx, name, "account_id") or NOBODY,
            "bucket": states(ctx, name),
        }
        for name in environments
    }
    # These values are not secret, and so short that they are not redacted.
    keys = {"AWS_ACCESS_KEY_ID": "moto", "AWS_SECRET_ACCESS_KEY": "moto"}
    argv = [str(ctx.python), f"{SCRIPTS}/serve.py", json.dumps(requested)]
    with ctx.serve(argv, env=isolated(ctx, "moto") | keys) as line:
        response = json.loads(line)
        found = {}
        for name in environments:
            env = (
                isolated(ctx, name)
                | response["sessions"][name]
                | {"AWS_ENDPOINT_URL": response["endpoint"]}
            )
            found[name] = Account(
                requested[name]["account"], requested[name]["bucket"], env
            )
        yield found


def caller(ctx: CheckContext) -> str | None:
    """Return the account of the user's credentials; None if no credentials are set.

    Raises:
        LakeCiError: AWS does not accept the credentials.
    """
    present = [name for name in CREDENTIALS if ctx.env.get(name)]
    if not present:
        return None
    done = ctx.execute(
        [str(ctx.python), f"{SCRIPTS}/identify.py"], env=ctx.env_of("terraform")
    )
    if done.code != 0:
        hint = f"renew them, unset {present[0]}, or add `-- --rehearse`"
        raise LakeCiError(
            f"AWS does not accept the credentials of {present[0]}:"
            f" {done.last_lines(1)}",
            hint=hint,
        )
    return done.stdout.strip()


def real(ctx: CheckContext, environment: str) -> Account:
    """Return the real AWS account of an environment, with the user's credentials."""
    inherited = {
        name: value
        for name, value in ctx.env_of("terraform").items()
        if not name.startswith("TF_")
    }
    env = (
        inherited
        | terraform_variables(ctx, environment)
        | {"TF_CLI_CONFIG_FILE": str(mirror(ctx))}
    )
    account = setting(ctx, environment, "account_id") or NOBODY
    return Account(account, states(ctx, environment), env, real=True)


def states(ctx: CheckContext, environment: str) -> str:
    """Return the bucket that stores Terraform's state of an environment."""
    return setting(ctx, environment, "bucket", "s3.tfbackend") or ""


def setting(
    ctx: CheckContext, environment: str, name: str, suffix: str = "tfvars"
) -> str | None:
    """Return the text value of a name in an environment's file, or None."""
    path = Path(ctx.root, FOLDER, "environments", f"{environment}.{suffix}")
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    match = re.search(rf'^\s*{name}\s*=\s*"([^"]+)"', text, re.MULTILINE)
    return match[1] if match else None
