"""Known weaknesses of the packages that the locks pin, and of those that the wheel would bring along."""

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

from lake_ci.environment import uv_program
from lake_ci.errors import LakeCiError
from lake_ci.processes import Completed
from lake_ci.results import Outcome, Status, count
from lake_ci.tools.exceptions import Register
from lake_ci.tools.locks import FOLDER, read_project
from lake_ci.tools.sarif import Weakness
from lake_ci.tools.scanner import Scanner
from lake_ci.tools.tool import Workbench

VARIABLE = "LAKE_CI_ADVISORIES"
# Where safety 3.7 takes the live database from without an account, and all that it needs for the way there.
LIVE = "https://pyup.io/"
NETWORK = re.compile(r"SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(?i:(https?|all|no)_proxy)")
PROBE_SECONDS = 3
OLD_DAYS = 30
# safety had no network after all, or was told to come back later.
NO_ANSWER = (66, 68)
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?==([^\s;\\]+)")
NONE = f"no advisory database: connect, or name a folder with one in {VARIABLE}"


@dataclass(frozen=True)
class Database:
    """An advisory database: how safety is told of it, what people call it, and of what day it is."""

    arguments: tuple[str, ...]
    name: str
    day: date


@dataclass(frozen=True)
class Pin:
    """A package of one version, and where it is written."""

    name: str
    version: str
    file: str
    line: int


def online(env: Mapping[str, str]) -> bool:
    """Whether the live database can be reached from here, by the proxy of the environment."""
    try:
        with urllib.request.urlopen(LIVE, timeout=PROBE_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True  # a refusal is an answer
    except (OSError, ValueError):
        return False


def from_folder(env: Mapping[str, str]) -> Database | None:
    """The database that LAKE_CI_ADVISORIES names. Raises LakeCiError where there is none in that folder."""
    if not env.get(VARIABLE):
        return None
    file = Path(env[VARIABLE], "insecure_full.json").absolute()
    try:
        meta = json.loads(file.read_text(encoding="utf-8"))["meta"]
        return Database(("--db", str(file.parent)), "advisories", date.fromisoformat(str(meta["date"])[:10]))
    except OSError as error:
        raise LakeCiError(
            f"{VARIABLE}: {file}: {error.strerror}", hint="name the folder of a database"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise LakeCiError(f"{VARIABLE}: {file} is no database with a date: {error}") from None


def read_pins(path: Path, file: str) -> list[Pin]:
    """The pins of a lock, under the name it has in the repository."""
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    matches = ((number, PIN.match(line)) for number, line in lines)
    return [Pin(normal(match[1]), match[2], file, number) for number, match in matches if match]


def normal(name: str) -> str:
    """A package's name as all of its spellings have it in common."""
    return re.sub(r"[-_.]+", "-", name).lower()


class Safety(Scanner):
    """safety: no lock, and nothing the wheel would bring along, holds a version with a known weakness."""

    name = "safety"
    report = "safety.json"
    finding_codes = (64,)

    def __init__(
        self,
        register: Register,
        today: date,
        online: Callable[[Mapping[str, str]], bool] = online,
    ) -> None:
        super().__init__(register)
        self.today = today
        self.online = online
        self._pins: list[Pin] = []

    def run(self, bench: Workbench) -> Outcome:
        databases = [Database((), "live database", self.today)] if self.online(bench.env) else []
        folder = from_folder(bench.env)
        databases += [folder] if folder else []
        files, unresolved = self._files(bench)
        if not self._pins:
            return Outcome.failure(
                self.name, "nothing", f"no package is pinned under {FOLDER}/: run `nox -s lock`"
            )
        done = None
        for database in databases:
            done = bench.execute(self._command(bench, database, files), env=self.environment(bench))
            if done.code not in NO_ANSWER:
                return self._dated(self.outcome(done, bench), database, unresolved)
        why = f"{NONE}\n{done.last_lines(3)}" if done else NONE
        return Outcome(Status.WARNING, NONE, weaker=why)

    def _files(self, bench: Workbench) -> tuple[list[str], str | None]:
        """The locks, and what the wheel would resolve to today; what kept that from being known."""
        files = [path for path in sorted((bench.root / FOLDER).glob("*.txt")) if path.name != "jars.txt"]
        self._pins = [pin for path in files for pin in read_pins(path, bench.relative(path))]
        fresh = bench.reports / ".wheel.txt"
        floor = read_project(bench.root)["project"]["requires-python"].strip("><=~ ")
        resolve = [uv_program() or "uv", "pip", "compile", "pyproject.toml", "--all-extras", "--universal"]
        resolve += ["--python-version", floor, "--no-header", "--no-annotate", "--quiet", "--output-file"]
        done = bench.execute([*resolve, str(fresh)])
        if done.code != 0 or not fresh.exists():
            return [
                str(path) for path in files
            ], "what the wheel would bring along today could not be resolved"
        declared = (bench.root / "pyproject.toml").read_text(encoding="utf-8").splitlines()
        for pin in read_pins(fresh, "pyproject.toml"):
            names = (
                number
                for number, line in enumerate(declared, 1)
                if re.search(rf'"{re.escape(pin.name)}\b', line)
            )
            dependencies = (
                number for number, line in enumerate(declared, 1) if line.startswith("dependencies")
            )
            self._pins.append(replace(pin, line=next(names, next(dependencies, 1))))
        return [*(str(path) for path in files), str(fresh)], None

    def _command(self, bench: Workbench, database: Database, files: list[str]) -> list[str]:
        check = [bench.bin("safety"), "--disable-optional-telemetry", "check", *database.arguments]
        return [
            *check,
            *(part for file in files for part in ("-r", file)),
            "--save-json",
            str(self._raw(bench)),
        ]

    def _raw(self, bench: Workbench) -> Path:
        return bench.reports / ".safety.json"

    def environment(self, bench: Workbench) -> dict[str, str]:
        network = {name: value for name, value in bench.env.items() if NETWORK.fullmatch(name)}
        return super().environment(bench) | network

    def text(self, done: Completed, bench: Workbench) -> str:
        # Its standard output begins with a banner, whatever it is asked for.
        raw = self._raw(bench)
        return raw.read_text(encoding="utf-8") if raw.exists() else ""

    def clean(self, document: Any) -> Any:
        # The address of the repository may hold a token.
        document["report_meta"].pop("git", None)
        return document

    def weaknesses(self, document: Any, bench: Workbench) -> Iterator[Weakness]:
        seen = {normal(name) for name in document["scanned_packages"]}
        unseen = sorted({pin.name for pin in self._pins} - seen)
        if unseen:
            raise ValueError(f"it did not look at {', '.join(unseen)}")
        # No policy file takes anything out: exceptions stand in one place.
        for row in [*document["vulnerabilities"], *document["ignored_vulnerabilities"]]:
            name = normal(row["package_name"])
            known = f"{row['vulnerability_id']}{' (' + row['CVE'] + ')' if row['CVE'] else ''}"
            affected = ", ".join(row["vulnerable_spec"])
            message = f"{name} {row['analyzed_version']} is affected by {known}, as is all of {affected}"
            mend = f"run `nox -s lock -- --upgrade-package {name}`"
            places = [pin for pin in self._pins if (pin.name, pin.version) == (name, row["analyzed_version"])]
            if not places:
                raise ValueError(f"{name} {row['analyzed_version']} is pinned nowhere")
            for pin in places:
                severity = _severity(row.get("severity"))
                yield Weakness(
                    self.name, row["vulnerability_id"], f"{message}; {mend}", pin.file, pin.line, severity
                )

    def looked_at(self, document: Any) -> str:
        return count(len({(pin.name, pin.version) for pin in self._pins}), "pin")

    def _dated(self, outcome: Outcome, database: Database, unresolved: str | None) -> Outcome:
        """The outcome with the database's name and day; an old one is a remark, a failure stays a failure."""
        detail = f"{outcome.detail}, {database.name} of {database.day}"
        if outcome.status is Status.FAILURE:
            return replace(outcome, detail=detail)
        if unresolved is not None:
            return replace(
                outcome, status=Status.WARNING, detail=f"{detail}; {unresolved}", weaker=unresolved
            )
        days = (self.today - database.day).days
        if days > OLD_DAYS:
            return replace(outcome, status=Status.WARNING, detail=f"{detail}, {days} days old")
        return replace(outcome, detail=detail)


def _severity(given: Any) -> str:
    """safety's own severity where its database has one; an advisory without is taken seriously."""
    scores = given if isinstance(given, dict) else {}
    word = str((scores.get("cvssv3") or {}).get("base_severity", "")).lower()
    return word if word in ("low", "medium") else "high"
