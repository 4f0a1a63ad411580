"""Uses safety to scan locked packages, and the newest packages the wheel allows."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from lake_ci.checks.lint.locks import LOCK_HINT
from lake_ci.checks.security import locked_packages
from lake_ci.checks.security.accepted_risks import Register
from lake_ci.checks.security.locked_packages import Pin
from lake_ci.checks.security.sarif import SecurityFinding
from lake_ci.checks.security.scanner import Scanner
from lake_ci.errors import LakeCiError
from lake_ci.model.results import Outcome, Status, count
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed
from lake_ci.system.pyproject import normalized_name

VARIABLE = "LAKE_CI_ADVISORIES"
# The server of safety's live database; safety 3.7 uses it without an account. NETWORK
# matches the environment variables that a connection to this server may need.
LIVE = "https://pyup.io/"
NETWORK = re.compile(
    r"SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(?i:(https?|all|no)_proxy)"
)
PROBE_SECONDS = 3
OLD_DAYS = 30
# safety's exit codes for a missing network, and for too many requests.
NO_ANSWER = (66, 68)
NONE = (
    "no advisory database: connect to the network, or set"
    f" {VARIABLE} to the folder of a database"
)
UNRESOLVED = "the current dependencies of the wheel could not be resolved"


@dataclass(frozen=True)
class Database:
    """An advisory database: its name, its date, and safety's arguments to select it."""

    arguments: tuple[str, ...]
    name: str
    day: date


def online() -> bool:
    """Return whether the live database answers, directly or through a proxy."""
    try:
        with urllib.request.urlopen(LIVE, timeout=PROBE_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True  # the server did answer
    except (OSError, ValueError):
        return False


def from_folder(env: Mapping[str, str]) -> Database | None:
    """Return the database that LAKE_CI_ADVISORIES names; None if the variable is unset.

    Raises:
        LakeCiError: the folder contains no valid database.
    """
    if not env.get(VARIABLE):
        return None
    file = Path(env[VARIABLE], "insecure_full.json").absolute()
    try:
        meta = json.loads(file.read_text(encoding="utf-8"))["meta"]
        return Database(
            ("--db", str(file.parent)),
            "advisories",
            date.fromisoformat(str(meta["date"])[:10]),
        )
    except OSError as error:
        raise LakeCiError(
            f"{VARIABLE}: {file}: {error.strerror}",
            hint="set it to the folder of a database",
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise LakeCiError(
            f"{VARIABLE}: {file} is not a database with a date: {error}"
        ) from None


class Safety(Scanner):
    """Check with safety that no lock pins a version with a known vulnerability.

    In addition, check the newest versions that the wheel's requirements allow.
    """

    name = "safety"
    report = "safety.json"
    finding_codes = (64,)
    resolves = True

    def __init__(
        self,
        register: Register,
        today: date,
        online: Callable[[], bool] = online,
    ) -> None:
        super().__init__(register)
        self.today = today
        self.online = online
        self._pins: list[Pin] = []

    def run(self, ctx: CheckContext) -> Outcome:
        databases = [Database((), "live database", self.today)] if self.online() else []
        folder = from_folder(ctx.env)
        databases += [folder] if folder else []
        if not databases:
            return Outcome(Status.WARNING, NONE, not_checked=NONE)
        files, self._pins = self.listed(ctx)
        if not self._pins:
            return Outcome.failure(
                self.name, "nothing", f"no package is pinned: {LOCK_HINT}"
            )
        fresh = self.newest(ctx)
        if fresh is not None:
            files.append(fresh)
            self._pins += locked_packages.wheel_pins(fresh, ctx.root)
        not_checked = NONE
        for database in databases:
            done = ctx.execute(
                self._command(ctx, database, files), env=self.environment(ctx)
            )
            if done.code not in NO_ANSWER:
                complete = fresh is not None or not self.resolves
                return self._dated(self.outcome(done, ctx), database, resolved=complete)
            not_checked = f"{NONE}\n{done.last_lines(3)}"
        return Outcome(Status.WARNING, NONE, not_checked=not_checked)

    def listed(self, ctx: CheckContext) -> tuple[list[Path], list[Pin]]:
        """Return the lock files, and the pins in the lock files."""
        files = locked_packages.locks(ctx.root)
        return files, [
            pin for file in files for pin in locked_packages.lock_pins(file, ctx.root)
        ]

    def newest(self, ctx: CheckContext) -> Path | None:
        """Return a file with the newest versions that the wheel allows today.

        The result is None if `resolves` is False, or the versions cannot be resolved.
        """
        return locked_packages.resolve(ctx, self.today) if self.resolves else None

    def _command(
        self, ctx: CheckContext, database: Database, files: list[Path]
    ) -> list[str]:
        check = [
            ctx.bin("safety"),
            "--disable-optional-telemetry",
            "check",
            *database.arguments,
        ]
        return [
            *check,
            *(f"--file={file}" for file in files),
            f"--save-json={self._raw(ctx)}",
        ]

    def _raw(self, ctx: CheckContext) -> Path:
        return ctx.reports / ".safety.json"

    def environment(self, ctx: CheckContext) -> dict[str, str]:
        network = {
            name: value
            for name, value in ctx.env_of("download").items()
            if NETWORK.fullmatch(name)
        }
        return super().environment(ctx) | network

    def text(self, done: Completed, ctx: CheckContext) -> str:
        # Read the file that safety saved, because safety's standard output begins with
        # a banner.
        raw = self._raw(ctx)
        text = raw.read_text(encoding="utf-8") if raw.exists() else ""
        raw.unlink(missing_ok=True)
        return text

    def clean(self, document: Any) -> Any:
        # Remove the repository's URL, which may contain a token.
        document["report_meta"].pop("git", None)
        return document

    def security_findings(
        self, document: Any, ctx: CheckContext
    ) -> Iterator[SecurityFinding]:
        seen = {normalized_name(name) for name in document["scanned_packages"]}
        unseen = sorted({pin.name for pin in self._pins} - seen)
        if unseen:
            raise ValueError(f"not scanned: {', '.join(unseen)}")
        # Include the vulnerabilities that safety's policy files ignore: exceptions are
        # allowed only in security/exceptions.toml.
        for row in [*document["vulnerabilities"], *document["ignored_vulnerabilities"]]:
            name = normalized_name(row["package_name"])
            cve = f" ({row['CVE']})" if row["CVE"] else ""
            known = f"{row['vulnerability_id']}{cve}"
            affected = ", ".join(row["vulnerable_spec"])
            message = (
                f"{name} {row['analyzed_version']} is affected by {known},"
                f" like all versions {affected}"
            )
            hint = f"run `nox -s lock -- --upgrade-package {name}`"
            places = [
                pin
                for pin in self._pins
                if (pin.name, pin.version) == (name, row["analyzed_version"])
            ]
            if not places:
                raise ValueError(f"{name} {row['analyzed_version']} is not pinned")
            for pin in places:
                severity = _severity(row.get("severity"))
                yield SecurityFinding(
                    self.name,
                    row["vulnerability_id"],
                    f"{message}; {hint}",
                    pin.file,
                    pin.line,
                    severity,
                )

    def looked_at(self, document: Any) -> str:
        return count(len({(pin.name, pin.version) for pin in self._pins}), "pin")

    def _dated(
        self, outcome: Outcome, database: Database, *, resolved: bool
    ) -> Outcome:
        """Add the database's name and date to the outcome.

        The outcome becomes a warning if the database is old, or if the newest versions
        could not be resolved.
        """
        detail = f"{outcome.detail}, {database.name} of {database.day}"
        if outcome.status is Status.FAILURE:
            return replace(outcome, detail=detail)
        if not resolved:
            return replace(
                outcome,
                status=Status.WARNING,
                detail=f"{detail}; {UNRESOLVED}",
                not_checked=UNRESOLVED,
            )
        days = (self.today - database.day).days
        if days > OLD_DAYS:
            return replace(
                outcome, status=Status.WARNING, detail=f"{detail}, {days} days old"
            )
        return replace(outcome, detail=detail)


def _severity(given: Any) -> str:
    """Return an advisory's severity, or `high` if the database contains no severity."""
    scores = given if isinstance(given, dict) else {}
    word = str((scores.get("cvssv3") or {}).get("base_severity", "")).lower()
    return word if word in ("low", "medium") else "high"
