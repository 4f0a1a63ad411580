"""Tests deploys under faults. There are three scenarios: a first deploy, an upgrade and
a rollback. For each distinct request of a scenario, there is a case for every fault,
and two cases that kill the deploy with SIGKILL: before and after the request takes
effect.

    PYTHONPATH=.:utils .nox/suite-3-11/bin/python -m testing.deploys.cases \\
        --jobs 2 > cases.tsv

The distinct requests of a scenario are those that the emulator records in a deploy
without faults. After each case, the workspace must have the complete old or new
version, the ledger must match the workspace, and no deploy lock may remain.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testing.deploys.harness import DeployHarness, Ran, finish, kill
from testing.deploys.project import make

FIRST, UPGRADE, ROLLBACK = "first deploy", "upgrade", "rollback"
PLAYS = {FIRST: (None, "1.0"), UPGRADE: ("1.0", "1.1"), ROLLBACK: ("1.1", "1.0")}
FAULTS: dict[str, dict[str, Any]] = {
    "429": {"kind": "status", "status": 429, "error_code": "REQUEST_LIMIT_EXCEEDED"},
    "500": {"kind": "status", "status": 500, "error_code": "INTERNAL_ERROR"},
    "503": {"kind": "status", "status": 503},
    "drop before": {"kind": "drop", "when": "before"},
    "drop after": {"kind": "drop", "when": "after"},
    "truncation": {"kind": "truncate"},
    "slow": {"kind": "slow", "seconds": 60, "when": "after"},
    "expired token": {"kind": "expired-token"},
    "wrong state": {"kind": "state"},
}
KILLS = {"kill -9 before": "before", "kill -9 after": "after"}
# If a response takes longer than this number of seconds, the deploy retries the
# request. The number must be less than the delay of the fault `slow`.
REQUEST_SECONDS = 30
# The wrong states that the fault `wrong state` returns, by the end of the request's
# path. Only responses to these requests have a state.
STATES = {
    "clusters/get": {"state": "UNKNOWN"},
    "libraries/cluster-status": {"status": "SKIPPED"},
    "jobs/runs/get": {"life_cycle_state": "INTERNAL_ERROR", "result_state": "FAILED"},
}
PARTS = ((r"/[0-9a-f]{16}\.json", "/*.json"), (r"/\d\.\d/[0-9a-f]{12}", "/*"))


@dataclass(frozen=True)
class Case:
    """One fault in one request of a scenario."""

    play: str
    method: str
    path: str
    fault: str

    def __str__(self) -> str:
        return f"{self.play}: {self.fault} at {self.method} {self.path}"


@dataclass(frozen=True)
class CaseResult:
    """The result of a case. `wrong` is empty if the case passed."""

    case: Case
    outcome: str
    version: str | None
    wrong: tuple[str, ...]
    seconds: float


class MissedError(Exception):
    """The deploy did not send the request of this case."""


class Stage:
    """The projects, and one workspace for each scenario, in the state before the
    scenario. The projects and the workspaces are created only once.
    """

    def __init__(self, folder: Path, request: int = 300) -> None:
        self.folder = folder
        self.projects = {
            version: make(folder / version, version, request=request)
            for version in ("1.0", "1.1")
        }
        self.requests: dict[str, list[tuple[str, str]]] = {}
        state = folder / "state"
        with DeployHarness(state) as harness:
            # Create the cluster before the first deploy, as in a real workspace.
            assert harness.deploy(self.projects["1.0"], "--status").code == 0
        for play in (FIRST, UPGRADE, ROLLBACK):
            shutil.copytree(state, folder / play, symlinks=True)
            with DeployHarness(state) as harness:
                since = max(
                    (request["number"] for request in harness.requests()), default=0
                )
                ran = self.play(harness, play)
                assert ran.code == 0, ran.output
                # Read the record of requests now, because the checks below send more
                # requests.
                made = harness.requests(since)
                self.requests[play] = distinct(
                    [each for each in made if not each["path"].startswith("/emulator")]
                )
                wrong = harness.wrong(PLAYS[play][1])
                assert wrong == [], wrong

    def play(self, harness: DeployHarness, play: str) -> Ran:
        return finish(self.start(harness, play))

    def start(self, harness: DeployHarness, play: str) -> Any:
        if play == ROLLBACK:
            return harness.start(self.projects["1.1"], "--rollback")
        return harness.start(self.projects[str(PLAYS[play][1])])

    def cases(self) -> Iterator[Case]:
        """Yield all cases."""
        for play, requests in self.requests.items():
            for method, path in requests:
                for fault in (*FAULTS, *KILLS):
                    if fault != "wrong state" or state_of(path):
                        yield Case(play, method, path, fault)

    def try_out(self, case: Case) -> CaseResult:
        """Run a case on a copy of the workspace, and check the result."""
        start = time.monotonic()
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            state = Path(scratch) / "state"
            shutil.copytree(self.folder / case.play, state, symlinks=True)
            with DeployHarness(state) as harness:
                try:
                    ran = (
                        self._killed(harness, case)
                        if case.fault in KILLS
                        else self._faulty(harness, case)
                    )
                except MissedError as error:
                    return CaseResult(
                        case, "missed", None, (str(error),), time.monotonic() - start
                    )
                old, new = PLAYS[case.play]
                version = new if ran.code == 0 else old
                wrong = harness.wrong(version)
                rows = harness.rows()
                expected = [
                    each for each in ("1.0", "1.1") if version and each <= version
                ]
                if rows != expected:
                    wrong.append(f"the gold table was written by {rows}")
                if "Traceback" in ran.output or harness.token in ran.output:
                    wrong.append(f"the output: {ran.output[-2000:]}")
                if wrong:
                    wrong.append(ran.output[-3000:])
        return CaseResult(
            case, ran.outcome, version, tuple(wrong), time.monotonic() - start
        )

    def _faulty(self, harness: DeployHarness, case: Case) -> Ran:
        fault = (
            {"fields": state_of(case.path), **FAULTS[case.fault]}
            if case.fault == "wrong state"
            else FAULTS[case.fault]
        )
        order = harness.order(method=case.method, path=case.path, count=1, **fault)
        ran = self.play(harness, case.play)
        if not harness.reached(order, 0):
            raise MissedError(f"the fault did not go off\n{ran.output}")
        return ran

    def _killed(self, harness: DeployHarness, case: Case) -> Ran:
        """Kill the deploy while the emulator holds the request, and then rerun the same
        command.
        """
        order = harness.order(
            kind="hold",
            when=KILLS[case.fault],
            method=case.method,
            path=case.path,
            count=1,
        )
        process = self.start(harness, case.play)
        reached = harness.reached(order)
        kill(process)
        output = process.communicate()[0]
        if not reached:
            raise MissedError(f"the request did not come\n{output}")
        harness.ask("DELETE", "/emulator/faults")
        again = (
            self.play(harness, case.play)
            if case.play != ROLLBACK
            else self._again(harness)
        )
        return again

    def _again(self, harness: DeployHarness) -> Ran:
        # If the rollback was complete before the kill, a second `--rollback` without a
        # version would roll back one more version. So the second command names the
        # version.
        live = [
            entry["version"]
            for entry in harness.ledger()
            if entry["kind"] in ("deploy", "rollback")
        ]
        arguments = ["--rollback", "1.0"] if live[-1] == "1.0" else ["--rollback"]
        return harness.deploy(self.projects["1.1"], *arguments)


def distinct(requests: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the method and path of each distinct request, in order. Parts of a path
    that differ between runs are replaced by `*`.
    """
    found = []
    for request in requests:
        path = str(request["path"])
        for pattern, replacement in PARTS:
            path = re.sub(pattern, replacement, path)
        found.append((str(request["method"]), path))
    return list(dict.fromkeys(found))


def state_of(path: str) -> dict[str, str]:
    return next((fields for end, fields in STATES.items() if path.endswith(end)), {})


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="take each Nth case only")
    parser.add_argument(
        "--only", default="", help="a regular expression that the case has to match"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="deploy-cases-") as folder:
        stage = Stage(Path(folder), REQUEST_SECONDS)
        cases = [case for case in stage.cases() if re.search(options.only, str(case))][
            :: options.every
        ]
        failed = 0
        with ThreadPoolExecutor(options.jobs) as pool:
            for result in pool.map(stage.try_out, cases):
                failed += bool(result.wrong)
                case = result.case
                problems = "; ".join(result.wrong) or "whole"
                row = (
                    case.play,
                    case.method,
                    case.path,
                    case.fault,
                    result.outcome,
                    str(result.version),
                    problems,
                )
                print("\t".join([*row, f"{result.seconds:.1f}"]), flush=True)
        print(f"{len(cases) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
