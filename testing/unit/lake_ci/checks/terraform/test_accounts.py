"""An account is real if the user has credentials for it; else a moto server has it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest

from lake_ci.checks.terraform import accounts as aws
from lake_ci.errors import LakeCiError
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed

Answering = Callable[..., list[list[str]]]
IDS = {"production": "111122223333", "dev": "333344445555"}


@pytest.fixture
def ctx(ctx: CheckContext) -> CheckContext:
    """Return a context with two environments and a fake moto server."""
    folder = ctx.root / "terraform" / "environments"
    folder.mkdir(parents=True)
    for name, account in IDS.items():
        (folder / f"{name}.tfvars").write_text(
            f'environment = "{name}"\naccount_id  = "{account}"\n'
        )
        (folder / f"{name}.s3.tfbackend").write_text(f'bucket = "states-{account}"\n')

    @contextmanager
    def serve(argv: list[str], *, env: Mapping[str, str]) -> Iterator[str]:
        requests = json.loads(argv[-1])
        ctx.notes.append(argv[-1])
        sessions = {
            name: {"AWS_ACCESS_KEY_ID": each["account"]}
            for name, each in requests.items()
        }
        yield json.dumps({"endpoint": "http://127.0.0.1:1", "sessions": sessions})
        ctx.notes.append("stopped")

    ctx.serve = serve
    return ctx


def test_without_credentials_each_environment_gets_an_account_of_moto(
    ctx: CheckContext,
) -> None:
    with aws.accounts(ctx, list(IDS)) as accounts:
        assert {name: account.id for name, account in accounts.items()} == IDS
        assert not any(account.real for account in accounts.values())
        env = accounts["dev"].env
        assert (env["AWS_ACCESS_KEY_ID"], env["AWS_ENDPOINT_URL"]) == (
            IDS["dev"],
            "http://127.0.0.1:1",
        )
        assert accounts["dev"].states == "states-333344445555"
        assert ctx.notes[-1] != "stopped"
    assert ctx.notes[-1] == "stopped"


def test_credentials_plan_their_own_environment_for_real_and_no_other(
    ctx: CheckContext, answering: Answering
) -> None:
    ctx.env |= {"AWS_PROFILE": "lake", "TF_CLI_ARGS": "-lock=true"}
    answering(Completed((), 0, "111122223333\n", "", 0.1))
    with aws.accounts(ctx, list(IDS)) as accounts:
        assert {name: account.real for name, account in accounts.items()} == {
            "production": True,
            "dev": False,
        }
        assert accounts["production"].env["AWS_PROFILE"] == "lake"
        assert "TF_CLI_ARGS" not in accounts["production"].env
        assert "AWS_PROFILE" not in accounts["dev"].env
    assert list(json.loads(ctx.notes[0])) == ["dev"]


def test_no_server_is_started_where_all_is_real_or_nothing_is_planned(
    ctx: CheckContext, answering: Answering
) -> None:
    ctx.env["AWS_ACCESS_KEY_ID"] = "key"
    answering(Completed((), 0, "333344445555", "", 0.1))
    with aws.accounts(ctx, ["dev"]) as accounts:
        assert accounts["dev"].real
    with aws.accounts(ctx, []) as accounts:
        assert accounts == {}
    assert ctx.notes == []


def test_asked_for_a_rehearsal_nobody_looks_at_the_credentials(
    ctx: CheckContext,
) -> None:
    ctx.env["AWS_PROFILE"] = "lake"
    with aws.accounts(ctx, ["dev"], rehearse=True) as accounts:
        assert not accounts["dev"].real


def test_rejected_aws_credentials_raise_an_error_with_the_next_command(
    ctx: CheckContext, answering: Answering
) -> None:
    ctx.env["AWS_PROFILE"] = "lake"
    answering(Completed((), 1, "", "Traceback\nThe SSO session has expired", 0.1))
    with pytest.raises(
        LakeCiError,
        match=r"AWS_PROFILE: The SSO session has expired \(renew them, unset AWS_P",
    ):
        with aws.accounts(ctx, ["dev"]):
            pass


def test_environment_without_an_account_is_reported_by_terraform(
    ctx: CheckContext,
) -> None:
    (ctx.root / "terraform" / "environments" / "dev.tfvars").write_text(
        "account_id = 3\n"
    )
    with aws.accounts(ctx, ["dev"]) as accounts:
        assert accounts["dev"].id == aws.NOBODY
