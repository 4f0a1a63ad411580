"""Measures how much time the suite adds to the tools that it runs. The measurements run
on a copy of the repository.

1. `nox -s lint` in existing environments, without changes and after an edit of one
   line. The reference is the slowest tool without nox. This tool runs with the same
   command line, environment variables and caches as in the session.
2. Warm start: the time from the start of nox until it starts the session's first tool.
   A `sitecustomize` module adds an audit hook to the nox process. Just before nox
   starts a program from the session's environment, the hook writes the time to a file
   and ends nox. The reference is nox with a minimal noxfile that only starts a program.
3. `nox -s lint build --install-only` into an empty folder. The reference is virtualenv
   and `pip install --require-hashes` with the same lock files. In the measurement and
   in the reference, the package caches are filled.

Measurements and references alternate, and the medians are compared. Needs nox[uv] and
jinja2:

    .nox/acceptance/bin/python testing/performance/bench_suite.py --repeat 7
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lake_ci.runner.check import Check
    from lake_ci.system.processes import Completed

REPOSITORY = Path(__file__).resolve().parents[2]
EDITED = "utils/lake_ci/model/results.py"
COLD = ("lint", "build")
REENTERED = {
    "lint": "lint",
    "tests-3.11(java17)": "tests-3-11-java17",
    "build": "build",
    "acceptance": "acceptance",
}
LINT_TARGET = 1.2
REENTRY_TARGET_SECONDS = 0.5
COLD_TARGET = 0.25

BARE_NOXFILE = """
import nox

nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"


@nox.session(python="3.11")
def bare(session):
    session.run("python", "--version")
"""
HOOK = """
import os
import sys
import time


def note(
    event,
    arguments,
    folder=os.environ["BENCH_ENVIRONMENT"],
    to=os.environ["BENCH_NOTE"],
):
    if event == "subprocess.Popen" and str(arguments[1][0]).startswith(folder):
        with open(to, "w") as file:
            file.write(str(time.monotonic()))
        os._exit(0)


sys.addaudithook(note)
"""


@dataclass(frozen=True)
class Figure:
    """One row of the printed table. Times are in seconds. `target` is the allowed ratio
    or time, as text.
    """

    what: str
    measured: float
    compared_with: str
    other: float
    target: str

    @property
    def ratio(self) -> float:
        return self.measured / self.other


def copy_files(to: Path) -> None:
    """Copy all files of the repository that git does not ignore."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(
        listing, cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, names.split("\0")):
        # git still lists a deleted file until the deletion is committed.
        if not (REPOSITORY / name).is_file():
            continue
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, to / name, follow_symlinks=False)


class Bench:
    """A copy of the repository in which commands are measured. The copy has one commit
    and its own environments.
    """

    def __init__(self, scratch: Path, repeat: int) -> None:
        self.scratch = scratch
        self.repeat = repeat
        self.root = scratch / "repository"
        self.environments = scratch / "environments"
        self.edits = 0
        # The environment variables of an outer nox or of GitHub must not affect the
        # measured nox.
        outer = (
            "NOX",
            "LAKE_CI_PLAN",
            "LAKE_CI_RUN",
            "LAKE_CI_EVENT",
            "GITHUB_",
            "VIRTUAL_ENV",
        )
        self.env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(outer)
        }
        copy_files(self.root)
        who = [
            "-c",
            "user.name=Bench",
            "-c",
            "user.email=bench@example.org",
            "-c",
            "commit.gpgsign=false",
        ]
        for arguments in (
            ["init", "--quiet"],
            ["add", "--all"],
            [*who, "commit", "--quiet", "--message=Copy"],
        ):
            self.call(["git", *arguments])

    def call(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> None:
        """Run a command in the copy. The output is shown only if the command fails."""
        done = subprocess.run(
            argv,
            cwd=self.root,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode != 0:
            sys.exit(
                f"{' '.join(argv)} exited with"
                f" {done.returncode}:\n{done.stdout}{done.stderr}"
            )

    def nox(self, *arguments: str, environments: Path | None = None) -> list[str]:
        folder = environments or self.environments
        return [sys.executable, "-m", "nox", "--envdir", str(folder), *arguments]

    def take_turns(
        self,
        commands: Mapping[str, Callable[[], None]],
        before: Callable[[], None],
        repeat: int,
    ) -> dict[str, float]:
        """Run all functions in turn, and repeat this `repeat` times. `before` is called
        before each function, and its time is not measured. Returns the median wall
        seconds of each function.
        """
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(repeat):
            for name, command in commands.items():
                before()
                start = time.perf_counter()
                command()
                seconds[name].append(time.perf_counter() - start)
        return {name: statistics.median(values) for name, values in seconds.items()}

    def edit(self) -> None:
        """Change one line of a source file. Each call makes a different change."""
        path = self.root / EDITED
        text = path.read_text(encoding="utf-8").split("\n# edit ")[0].rstrip("\n")
        self.edits += 1
        path.write_text(f"{text}\n# edit {self.edits}\n", encoding="utf-8")


class Recorder:
    """A fake `Run`, which records the tools of a session instead of running them."""

    posargs: tuple[str, ...] = ()
    partial = False

    def __init__(self) -> None:
        self.tools: list[Check] = []

    def install(self, purpose: str) -> None:
        pass

    def check(self, *tools: Check) -> None:
        self.tools += tools


def lint_commands(bench: Bench) -> dict[str, Callable[[], None]]:
    """For each tool of `lint` that is a command, return a function that runs the tool
    as the session does.
    """
    spec = importlib.util.spec_from_file_location("noxfile", bench.root / "noxfile.py")
    if spec is None or spec.loader is None:
        sys.exit("noxfile.py cannot be read")
    noxfile = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(noxfile)
    # Import here, because noxfile.py adds the folder of lake_ci to the import path.
    from lake_ci.runner.check import CheckContext, CommandCheck
    from lake_ci.system.environment import Environment

    recorder = Recorder()
    noxfile.lint.function(recorder)
    environment = Environment(bench.environments / "lint")
    context = CheckContext(
        root=bench.root,
        reports=bench.root / "reports" / "lint",
        python=environment.python,
        env=environment.variables(bench.env),
        execute=_never,
    )
    commands: dict[str, Callable[[], None]] = {}
    for tool in recorder.tools:
        if isinstance(tool, CommandCheck):
            argv = tool.command(context)
            env = {**context.env, **tool.environment(context)}
            commands[tool.name] = partial(bench.call, argv, env=env, check=False)
    return commands


def _never(*arguments: object, **options: object) -> Completed:
    raise AssertionError("the tools are run by the bench itself")


def measure_lint(bench: Bench) -> tuple[list[Figure], dict[str, dict[str, float]]]:
    """Measure `nox -s lint`, and each tool of this session without nox."""
    alone = lint_commands(bench)
    commands: dict[str, Callable[[], None]] = {
        "nox": partial(bench.call, bench.nox("-s", "lint"), check=False),
        **alone,
    }
    figures = []
    details = {}
    states: dict[str, Callable[[], None]] = {
        "nothing changed": lambda: None,
        "one line edited": bench.edit,
    }
    for state, before in states.items():
        bench.take_turns(commands, before, repeat=1)
        medians = bench.take_turns(commands, before, bench.repeat)
        whole = medians.pop("nox")
        slowest = max(medians, key=lambda name: medians[name])
        figures.append(
            Figure(
                f"lint, {state}",
                whole,
                f"{slowest} alone",
                medians[slowest],
                f"<= {LINT_TARGET}",
            )
        )
        details[state] = medians
    return figures, details


def measure_reentry(bench: Bench) -> list[Figure]:
    """Measure, for each session, the time from the start of nox to its first tool."""
    bare = bench.scratch / "bare"
    hook = bench.scratch / "hook"
    for folder, name, text in (
        (bare, "noxfile.py", BARE_NOXFILE),
        (hook, "sitecustomize.py", HOOK),
    ):
        folder.mkdir()
        (folder / name).write_text(text, encoding="utf-8")
    bench.call(bench.nox("-f", str(bare / "noxfile.py")))

    def until_first_tool(folder: str, *arguments: str) -> float:
        note = bench.scratch / "note"
        note.unlink(missing_ok=True)
        env = {
            "PYTHONPATH": str(hook),
            "BENCH_NOTE": str(note),
            "BENCH_ENVIRONMENT": f"{bench.environments / folder}{os.sep}",
        }
        start = time.monotonic()
        bench.call(bench.nox(*arguments), env=env)
        if not note.exists():
            sys.exit(f"nox {' '.join(arguments)} started no tool")
        return float(note.read_text(encoding="utf-8")) - start

    seconds: dict[str, list[float]] = {name: [] for name in ("bare", *REENTERED)}
    for _ in range(bench.repeat):
        seconds["bare"].append(until_first_tool("bare", "-f", str(bare / "noxfile.py")))
        for session, name in REENTERED.items():
            seconds[session].append(until_first_tool(name, "-s", session))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    target = f"<= {REENTRY_TARGET_SECONDS} s"
    floor = medians.pop("bare")
    return [
        Figure(f"re-entry, {name}", each, "bare nox", floor, target)
        for name, each in medians.items()
    ]


def measure_cold(bench: Bench) -> Figure:
    """Measure the creation of environments. The package caches are filled."""
    folder = bench.scratch / "cold"

    def clear() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    def by_pip() -> None:
        for purpose in COLD:
            bench.call(
                [
                    sys.executable,
                    "-m",
                    "virtualenv",
                    "--quiet",
                    "--python=3.11",
                    str(folder / purpose),
                ]
            )
            pip = [
                str(folder / purpose / "bin" / "pip"),
                "install",
                "--quiet",
                "--require-hashes",
            ]
            bench.call([*pip, "-r", f"requirements/{purpose}.txt"])

    commands: dict[str, Callable[[], None]] = {
        "nox": partial(
            bench.call, bench.nox("-s", *COLD, "--install-only", environments=folder)
        ),
        "pip": by_pip,
    }
    bench.take_turns(commands, clear, repeat=1)
    medians = bench.take_turns(commands, clear, max(1, bench.repeat // 2))
    what = f"cold environments, {' and '.join(COLD)}"
    return Figure(
        what, medians["nox"], "virtualenv, pip", medians["pip"], f"<= {COLD_TARGET}"
    )


def table(figures: Sequence[Figure]) -> str:
    """Return the figures, one per line."""
    rows = [("what", "measured", "compared with", "", "ratio", "target")]
    for each in figures:
        seconds = (f"{each.measured:.2f} s", each.compared_with, f"{each.other:.2f} s")
        rows.append((each.what, *seconds, f"{each.ratio:.2f}", each.target))
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--repeat",
        type=int,
        default=5,
        metavar="N",
        help="repetitions of each measurement",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print JSON, with the times of all tools of lint",
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch), options.repeat)
        bench.call(bench.nox("-s", *REENTERED, "--install-only"))
        figures, tools = measure_lint(bench)
        figures += measure_reentry(bench)
        figures.append(measure_cold(bench))
    if options.json:
        rows = [{**asdict(each), "ratio": round(each.ratio, 3)} for each in figures]
        print(json.dumps({"figures": rows, "lint_tools_alone": tools}, indent=1))
        return
    print(table(figures))
    for state, medians in tools.items():
        each = ", ".join(f"{name} {value:.2f} s" for name, value in medians.items())
        print(
            f"\nTools of lint alone, {state}: {each}; together"
            f" {sum(medians.values()):.2f} s"
        )


if __name__ == "__main__":
    main()
