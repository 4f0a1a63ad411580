"""Plans each environment, and rehearses the plan if the account is not real.

In a real account, Terraform only reads. In an account on moto, the whole sequence runs:
plan, apply, plan again, and destroy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lake_ci.checks.terraform import accounts, destroy_guard, hcl
from lake_ci.checks.terraform.accounts import Account
from lake_ci.checks.terraform.code import FOLDER, Code, judged, program, work
from lake_ci.errors import LakeCiError, MachineError
from lake_ci.model.job import ENVIRONMENTS
from lake_ci.model.results import Finding, Outcome, Status
from lake_ci.runner.check import (
    Check,
    CheckContext,
    crashed,
    stopped,
    stopped_or_crashed,
)
from lake_ci.runner.options import Parser
from lake_ci.system.atomic_write import write_whole
from lake_ci.system.processes import Completed

CHANGES = 2


@dataclass(frozen=True)
class TerraformOptions:
    """The options of `nox -s terraform`, as typed after `--`."""

    environments: tuple[str, ...]
    rehearse: bool = False
    plan_only: bool = False
    drift: str | None = None

    @property
    def partial(self) -> bool:
        """Whether these options skip a part of the job."""
        return (
            self.plan_only
            or self.drift is not None
            or set(self.environments) != set(ENVIRONMENTS)
        )


def parser() -> Parser:
    """Return the parser of the options of `nox -s terraform`."""
    parser = Parser("nox -s terraform --", "Check, test and plan the lake's storage.")
    parser.add_part("--environment", ENVIRONMENTS)
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="apply on moto, an in-memory AWS, even if credentials are set",
    )
    parser.add_argument(
        "--plan-only",
        action="store_true",
        help="only plan and check the policy, in seconds",
    )
    parser.add_argument(
        "--drift",
        choices=ENVIRONMENTS,
        help="report where this environment's account differs from the code",
    )
    return parser


def options(posargs: Sequence[str]) -> TerraformOptions:
    """Parse the options after `--`. Raises UsageError if an option is wrong."""
    typed = parser().parse_args(list(posargs))
    return TerraformOptions(
        tuple(typed.environment) or ENVIRONMENTS,
        typed.rehearse,
        typed.plan_only,
        typed.drift,
    )


class Planner(Check):
    """The base class of checks that run Terraform in an environment's account."""

    def __init__(self, code: Code, environment: str) -> None:
        self.code = code
        self.environment = environment

    def terraform(
        self, ctx: CheckContext, account: Account, command: str, *arguments: str
    ) -> Completed:
        """Run one Terraform command to its end."""
        argv = [program(ctx) or "terraform", command, *arguments]
        return ctx.execute(argv, cwd=ctx.root / FOLDER, env=account.env)

    def init(self, ctx: CheckContext, account: Account) -> Outcome:
        """Run `init` with the environment's backend and with links to the providers."""
        backend = f"-backend-config=environments/{self.environment}.s3.tfbackend"
        arguments = ["-reconfigure", "-lockfile=readonly", backend, "-json"]
        return judged(self.name, self.terraform(ctx, account, "init", *arguments), ctx)

    def planning(self, account: Account, file: Path) -> list[str]:
        """Return the arguments of `plan`, which disable locking in a real account."""
        lock = ["-lock=false"] if account.real else []
        return [
            f"-var-file=environments/{self.environment}.tfvars",
            f"-out={file}",
            *lock,
        ]


class EnvironmentPlan(Planner):
    """Plan an environment; on moto, also apply, plan again and destroy.

    Attributes:
        folder: a future for checks that wait for the plan. The future's result is the
            folder that contains plan.json and plan.txt, or None if there is no plan.
    """

    def __init__(
        self,
        code: Code,
        environment: str,
        account: Account | None,
        *,
        plan_only: bool = False,
    ) -> None:
        super().__init__(code, environment)
        self.plan_only = plan_only
        self.name = f"plan {environment}"
        self.account = account
        self.folder: Future[Path | None] = Future()

    def run(self, ctx: CheckContext) -> Outcome:
        try:
            if self.account is None:
                return Outcome(Status.SKIPPED, "skipped: the code is not valid")
            return self.plan(ctx, self.account)
        finally:
            if not self.folder.done():
                self.folder.set_result(None)

    def plan(self, ctx: CheckContext, account: Account) -> Outcome:
        """Plan the environment; on moto, also rehearse, unless `plan_only` is set."""
        begun = self.init(ctx, account)
        if begun.status is not Status.SUCCESS:
            return begun
        file = work(ctx, self.environment) / "plan"
        done = self.terraform(
            ctx, account, "plan", "-no-color", *self.planning(account, file)
        )
        cut = stopped(self.name, done)
        if cut is not None:
            return cut
        if done.code != 0 or "Warning: " in done.stdout:
            return self._objections(ctx, account, file) or crashed(self.name, done)
        shown = self.terraform(ctx, account, "show", "-json", str(file))
        if shown.code != 0:
            return stopped_or_crashed(self.name, shown)
        folder = ctx.reports / self.environment
        write_whole(folder / "plan.txt", done.stdout)
        write_whole(folder / "plan.json", shown.stdout)
        self.folder.set_result(folder)
        planned = json.loads(shown.stdout)
        numbers = counts(planned)
        words = _actions_text(numbers)
        data = {"account": account.id, "rehearsed": not account.real, **numbers}
        if account.real:
            detail = f"account {account.id}, read only: {words}"
        elif self.plan_only:
            detail = f"planned on moto, not applied: {words}"
        else:
            guards = destroy_guard.guards(ctx.root, planned)
            failed = self.rehearse(ctx, account, file, guards)
            if failed is not None:
                return failed
            detail = f"applied on moto: {words}; no changes in a second plan; destroyed"
        return Outcome(Status.SUCCESS, detail, data=data)

    def _objections(
        self, ctx: CheckContext, account: Account, file: Path
    ) -> Outcome | None:
        """Plan again with `-json`; return the errors and warnings, or None.

        Terraform prints files and lines only with `-json`.
        """
        arguments = self.planning(account, file)
        done = self.terraform(ctx, account, "plan", "-json", *arguments)
        outcome = judged(self.name, done, ctx)
        return outcome if outcome.status is not Status.SUCCESS else None

    def rehearse(
        self, ctx: CheckContext, account: Account, file: Path, guards: Sequence[str]
    ) -> Outcome | None:
        """Apply the plan, plan again, and destroy; return the failure, or None.

        Before `destroy` runs, the destroy guards are removed from the state, because
        Terraform cannot destroy these guards.
        """
        values = f"-var-file=environments/{self.environment}.tfvars"
        done = self.terraform(ctx, account, "apply", "-json", str(file))
        if done.code != 0:
            return judged(self.name, done, ctx)
        found = changes(
            self,
            ctx,
            account,
            "changes-again",
            "is planned again right after apply",
        )
        if found.status is not Status.SUCCESS:
            return found
        # Empty the buckets, because only empty buckets can be destroyed. The code must
        # not set `force_destroy` instead, because this setting would also apply to
        # production.
        empty = [str(ctx.python), f"{accounts.SCRIPTS}/empty.py", account.states]
        done = ctx.execute(empty, env=account.env)
        if done.code != 0:
            return stopped_or_crashed(self.name, done, "could not empty the buckets")
        if guards:
            done = self.terraform(ctx, account, "state", "rm", *guards)
            if done.code != 0:
                return stopped_or_crashed(self.name, done, "could not forget a guard")
        done = self.terraform(
            ctx,
            account,
            "destroy",
            "-json",
            "-auto-approve",
            "-refresh=false",
            values,
        )
        return judged(self.name, done, ctx) if done.code != 0 else None


class Drift(Planner):
    """Report where an environment's account differs from the code; change nothing."""

    def __init__(self, code: Code, environment: str) -> None:
        super().__init__(code, environment)
        self.name = f"drift {environment}"

    def run(self, ctx: CheckContext) -> Outcome:
        if not self.code.valid:
            return Outcome(Status.SKIPPED, "skipped: the code is not valid")
        here = accounts.caller(ctx)
        account = accounts.real(ctx, self.environment)
        if here is None:
            hint = f"log in to account {account.id} and rerun the command"
            raise MachineError("no AWS credentials in the environment", hint=hint)
        if here != account.id:
            hint = f"log in to account {account.id} and rerun the command"
            raise LakeCiError(
                f"the credentials are of account {here}, not of {self.environment}'s",
                hint=hint,
            )
        begun = self.init(ctx, account)
        if begun.status is not Status.SUCCESS:
            return begun
        return changes(
            self, ctx, account, "drift", "differs between the account and the code"
        )


def _actions_text(numbers: Mapping[str, int]) -> str:
    """Return the numbers of actions as text: `2 to add, 0 to change`."""
    return ", ".join(f"{number} to {action}" for action, number in numbers.items())


def changes(
    planner: Planner, ctx: CheckContext, account: Account, rule: str, why: str
) -> Outcome:
    """Plan again, and report each planned change with the line of the changed block."""
    file = work(ctx, planner.environment) / "again"
    arguments = planner.planning(account, file)
    done = planner.terraform(
        ctx, account, "plan", "-json", "-detailed-exitcode", *arguments
    )
    if done.code != CHANGES:
        return judged(planner.name, done, ctx)
    shown = planner.terraform(ctx, account, "show", "-json", str(file))
    if shown.code != 0:
        return stopped_or_crashed(planner.name, shown)
    found = []
    for address, action, attributes in planned_changes(json.loads(shown.stdout)):
        block = hcl.locate(ctx.root, FOLDER, address)
        message = f"{address}: {action} of {attributes} {why}"
        where = (
            (block.file, block.line_of(attributes.split(", ")[0]))
            if block
            else (FOLDER, None)
        )
        found.append(Finding(planner.name, rule, message, *where))
    return Outcome.of(
        found
        or [Finding(planner.name, rule, f"an output {why}", f"{FOLDER}/outputs.tf", 1)]
    )


def planned_changes(plan: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield the changes of a plan: address, action, and names of the attributes."""
    for row in plan.get("resource_changes", ()):
        change = row["change"]
        if row["mode"] == "managed" and change["actions"] != ["no-op"]:
            before, after = change["before"] or {}, change["after"] or {}
            unknown = change["after_unknown"] or {}
            names = [
                name
                for name in sorted({*before, *after, *unknown})
                if before.get(name) != after.get(name) or unknown.get(name)
            ]
            yield row["address"], " and ".join(change["actions"]), ", ".join(names)


def counts(plan: Mapping[str, Any]) -> dict[str, int]:
    """Return how many resources a plan adds, changes and destroys.

    A replaced resource counts as added and destroyed.
    """
    actions: Iterable[str] = [
        action
        for row in plan.get("resource_changes", ())
        if row["mode"] == "managed"
        for action in row["change"]["actions"]
    ]
    words = {"add": "create", "change": "update", "destroy": "delete"}
    return {word: list(actions).count(action) for word, action in words.items()}


def made(plans: Sequence[EnvironmentPlan]) -> dict[str, Path]:
    """Wait until all plans are made or have failed; return the folders of the plans."""
    folders = {plan.environment: plan.folder.result() for plan in plans}
    return {
        environment: folder
        for environment, folder in folders.items()
        if folder is not None
    }
