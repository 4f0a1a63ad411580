"""Tests the result cache with random changes to the inputs of quick jobs. After each
change, compares the plan, a run with the cache, and a run without the cache.

    PYTHONPATH=utils .nox/acceptance/bin/python -m testing.acceptance.changes \\
        --number 500 --seed 1

A result is stale if one of its rows or files differs between the run with the cache and
the run without the cache.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lake_ci.errors import BadResultError
from lake_ci.model import results
from lake_ci.model.results import Result
from testing.acceptance.conftest import REPOSITORY, Checkout, clean_environment

JOBS = ("transforms", "style", "everything", "dependent", "release")
ALL = frozenset(JOBS)
TREE = frozenset({"everything", "release"})
SQL = TREE | {"transforms", "dependent"}
PYTHON = TREE | {"style"}
PACK = TREE | {"dependent"}
NOTHING: frozenset[str] = frozenset()
FOLDERS = {"sql": SQL, "pack": PACK, "notes": TREE, "code": PYTHON}


def make(folder: Path) -> Checkout:
    """Create the repository that the trial changes. The repository contains the suite's
    code, and all its files are committed.
    """
    checkout = Checkout(folder / "repository")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(__file__).parent / "reused", checkout.root, ignore=ignore)
    shutil.copytree(
        REPOSITORY / "utils" / "lake_ci",
        checkout.root / "utils" / "lake_ci",
        ignore=ignore,
    )
    checkout.write(
        ".gitignore", "/.cache/\n/.nox/\n/reports/\n/dist/\n__pycache__/\n*.log\n"
    )
    checkout.write("pyproject.toml", "[tool.lake_ci.cache]\nmegabytes = 50\n")
    checkout.write("requirements/test.txt", "# nothing\n")
    for name in FOLDERS:
        for number in range(4):
            suffix = {"sql": "sql", "code": "py"}.get(name, "txt")
            checkout.write(f"{name}/file_{number}.{suffix}", f"{name} {number}\n")
    checkout.commit()
    return checkout


@dataclass
class Trial:
    """A repository that is changed at random, and the counts and errors of its runs.

    Attributes:
        env: the environment variables that the changes have set.
        stale: the results and files that differ between a run with the cache and a run
            without the cache.
        wrong: jobs for which the plan and the run with the cache disagree whether the
            result is reused.
        untouched: the number of sessions that a change did not affect, so that their
            results could be reused.
        skipped: the number of untouched sessions whose results were reused.
        again: untouched sessions whose results were not reused, and the plan's reasons.
    """

    checkout: Checkout
    chance: random.Random
    env: dict[str, str] = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    reused: Counter[str] = field(default_factory=Counter)
    untouched: int = 0
    skipped: int = 0

    @property
    def root(self) -> Path:
        return self.checkout.root

    def step(self, change: Callable[[Trial], frozenset[str]]) -> None:
        """Make a change. Then create the plan, and run nox with the cache and without
        it.
        """
        before = {job: self.passed(job) for job in JOBS}
        touched = change(self)
        self.kinds[change.__name__] += 1
        planned = json.loads(self.nox("-s", "plan", "--", "--json", cache="").stdout)[
            "cache"
        ]
        self.nox("--", "--plain", "-j", "1", cache="")
        ran, left = self.results(), self.files()
        self.nox("--", "--plain", "-j", "1", cache="off")
        full, made = self.results(), self.files()
        where = f"{sum(self.kinds.values())} {change.__name__}"
        for job in JOBS:
            if told(ran[job]) != told(full[job]):
                self.stale.append(
                    f"{where}: {job}: {told(ran[job])}, in a full run {told(full[job])}"
                )
            answer, reused = planned[job]["answer"], ran[job].reused is not None
            if answer != "later" and (answer == "reuse") != reused:
                self.wrong.append(
                    f"{where}: {job}: planned {planned[job]}, reused: {ran[job].reused}"
                )
            self.reused[f"{answer}, {'reused' if reused else 'ran'}"] += 1
            if job not in touched and before[job] and full[job].cause is None:
                self.untouched += 1
                self.skipped += reused
                if not reused:
                    self.again.append(f"{where}: {job}: {planned[job]['reasons']}")
        if left != made:
            self.stale.append(f"{where}: files: {sorted(left.items() ^ made.items())}")

    def nox(self, *arguments: str, cache: str) -> subprocess.CompletedProcess[str]:
        """Run nox. Raises AssertionError if nox itself fails; failed checks are
        allowed.
        """
        env = clean_environment(
            {"NOX_DOWNLOAD_PYTHON": "never", **self.env, "LAKE_CI_CACHE": cache}
        )
        done = subprocess.run(
            [sys.executable, "-m", "nox", *arguments],
            cwd=self.root,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in (0, 1) or "Traceback" in done.stderr:
            raise AssertionError(
                f"nox {' '.join(arguments)}:"
                f" {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done

    def results(self) -> dict[str, Result]:
        return {job: results.read(self.root / "reports" / job) for job in JOBS}

    def files(self) -> dict[str, str]:
        """Return the content of the output files of all jobs, by path."""
        found = [*self.root.glob("reports/*/*.txt"), *self.root.glob("dist/*")]
        return {
            path.relative_to(self.root).as_posix(): path.read_text(encoding="utf-8")
            for path in found
        }

    def passed(self, job: str) -> bool:
        """Return whether the job passed in the previous run."""
        try:
            return results.read(self.root / "reports" / job).status.value == "success"
        except BadResultError:
            return False

    # Choice of files

    def file(self) -> Path:
        """Return a random file or link in one of the folders."""
        return self._one(lambda path: path.is_file() or path.is_symlink())

    def regular(self) -> Path:
        """Return a random file that is not a link."""
        return self._one(lambda path: path.is_file() and not path.is_symlink())

    def _one(self, fits: Callable[[Path], bool]) -> Path:
        found = [
            [
                path
                for path in sorted((self.root / name).iterdir())
                if fits(path) and path.suffix != ".log"
            ]
            for name in FOLDERS
        ]
        return self.chance.choice(
            self.chance.choice([paths for paths in found if paths])
        )

    def touches(self, path: Path) -> frozenset[str]:
        """Return the jobs that have this file as an input."""
        folder = FOLDERS[path.relative_to(self.root).parts[0]]
        return folder | PYTHON if path.suffix == ".py" else folder

    def word(self) -> str:
        return f"{self.chance.randrange(10**6):06}"


def told(result: Result) -> Any:
    """Return the parts of a result that must be the same with and without the cache:
    status, cause and rows, but neither times nor ids.
    """
    return (
        result.status.value,
        result.cause,
        [(check.name, check.detail) for check in result.checks],
    )


def content(trial: Trial) -> frozenset[str]:
    path = trial.regular()
    path.write_text(trial.word(), encoding="utf-8")
    return trial.touches(path)


def same_size_and_time(trial: Trial) -> frozenset[str]:
    path = trial.regular()
    said, size = path.stat(), len(path.read_bytes())
    path.write_text((trial.word() * (size // 6 + 1))[:size], encoding="utf-8")
    os.utime(path, ns=(said.st_atime_ns, said.st_mtime_ns))
    return trial.touches(path)


def replaced_by_one_of_the_same_size_and_time(trial: Trial) -> frozenset[str]:
    path = trial.regular()
    said, size = path.stat(), len(path.read_bytes())
    other = path.with_name("other")
    other.write_text((trial.word() * (size // 6 + 1))[:size], encoding="utf-8")
    os.utime(other, ns=(said.st_atime_ns, said.st_mtime_ns))
    other.replace(path)
    return trial.touches(path)


def time_moved_back(trial: Trial) -> frozenset[str]:
    path = trial.regular()
    said = path.stat()
    path.write_text(trial.word(), encoding="utf-8")
    os.utime(
        path,
        ns=(said.st_atime_ns, said.st_mtime_ns - trial.chance.randrange(1, 10**15)),
    )
    return trial.touches(path)


def time_alone(trial: Trial) -> frozenset[str]:
    os.utime(
        trial.regular(), (trial.chance.randrange(10**9), trial.chance.randrange(10**9))
    )
    return NOTHING


def mode(trial: Trial) -> frozenset[str]:
    path = trial.regular()
    path.chmod(
        path.stat().st_mode & 0o777 ^ trial.chance.choice([0o100, 0o010, 0o020, 0o004])
    )
    return trial.touches(path)


def renamed(trial: Trial) -> frozenset[str]:
    path = trial.file()
    path.rename(path.with_name(f"{trial.word()}{path.suffix}"))
    return trial.touches(path)


def case_of_a_name(trial: Trial) -> frozenset[str]:
    path = trial.file()
    path.rename(path.with_name(f"{path.stem.swapcase()}{path.suffix}"))
    return trial.touches(path) if path.stem.swapcase() != path.stem else NOTHING


def moved_to_another_folder(trial: Trial) -> frozenset[str]:
    path = trial.file()
    target = (
        trial.root
        / trial.chance.choice(sorted(FOLDERS))
        / f"moved-{trial.word()}{path.suffix}"
    )
    path.rename(target)
    return trial.touches(path) | trial.touches(target)


def link(trial: Trial) -> frozenset[str]:
    path = trial.file()
    path.unlink()
    path.symlink_to(trial.word())
    return trial.touches(path)


def deleted(trial: Trial) -> frozenset[str]:
    path = trial.file()
    path.unlink()
    return trial.touches(path)


def untracked(trial: Trial) -> frozenset[str]:
    folder = trial.chance.choice(sorted(FOLDERS))
    suffix = "py" if folder == "code" else "txt"
    name = trial.chance.choice(["new {}", "ünï-{}", "'{}'", "{}"]).format(trial.word())
    (trial.root / folder / f"{name}.{suffix}").write_text("new\n", encoding="utf-8")
    return FOLDERS[folder]


def ignored(trial: Trial) -> frozenset[str]:
    (trial.file().parent / "of-no-matter.log").write_text(
        trial.word(), encoding="utf-8"
    )
    return NOTHING


def written_and_put_back(trial: Trial) -> frozenset[str]:
    path = trial.regular()
    before = path.read_bytes()
    path.write_text(trial.word(), encoding="utf-8")
    path.write_bytes(before)
    return NOTHING


def broken(trial: Trial) -> frozenset[str]:
    path = trial.regular()
    path.write_text("BROKEN", encoding="utf-8")
    trial.env["BROKEN_FILE"] = path.relative_to(trial.root).as_posix()
    return trial.touches(path)


def lock(trial: Trial) -> frozenset[str]:
    (trial.root / "requirements" / "test.txt").write_text(
        f"# {trial.word()}\n", encoding="utf-8"
    )
    return ALL


def configuration(trial: Trial) -> frozenset[str]:
    text = f"[tool.lake_ci.cache]\nmegabytes = 50\n# {trial.word()}\n"
    (trial.root / "pyproject.toml").write_text(text, encoding="utf-8")
    return ALL


def suite_code(trial: Trial) -> frozenset[str]:
    path = trial.root / trial.chance.choice(
        ["noxfile.py", "utils/lake_ci/system/git.py", "utils/lake_ci/cache/store.py"]
    )
    with path.open("a", encoding="utf-8") as file:
        file.write(f"# {trial.word()}\n")
    return ALL


def declared_variable(trial: Trial) -> frozenset[str]:
    trial.env["DIALECT"] = trial.word()
    return frozenset({"transforms", "dependent"})


def variable_of_a_tool(trial: Trial) -> frozenset[str]:
    trial.env[
        trial.chance.choice(["AWS_REGION", "PYTHONHASHSEED", "LAKEKIT_ENGINE"])
    ] = str(trial.chance.randrange(9))
    return ALL


def variable_of_no_matter(trial: Trial) -> frozenset[str]:
    trial.env["EDITOR"] = trial.word()
    return NOTHING


def external_input(trial: Trial) -> frozenset[str]:
    folder = trial.root.parent / "advisories"
    folder.mkdir(exist_ok=True)
    (folder / "insecure.json").write_text(trial.word(), encoding="utf-8")
    first = trial.env.get("LAKE_CI_ADVISORIES") is None
    trial.env["LAKE_CI_ADVISORIES"] = str(folder)
    return ALL if first else frozenset({"transforms", "dependent"})


def python(trial: Trial) -> frozenset[str]:
    """Put a randomly chosen Python 3.11 of this machine first on PATH. Also delete the
    sessions' environments. Either create the environments again with this Python, or
    let nox create them.
    """
    others = [
        path
        for path in ("/usr/bin", str(Path(sys.base_prefix, "bin")))
        if Path(path, "python3.11").exists()
    ]
    other = trial.chance.choice(others)
    trial.env["PATH"] = os.pathsep.join([other, os.environ["PATH"]])
    made = [path.parent for path in sorted(trial.root.glob(".nox/*/pyvenv.cfg"))]
    shutil.rmtree(trial.root / ".nox", ignore_errors=True)
    command = [
        sys.executable,
        "-m",
        "uv",
        "venv",
        "--quiet",
        "--python",
        f"{other}/python3.11",
    ]
    # nox does not change an environment that already exists.
    for folder in made if trial.chance.random() < 0.5 else ():
        subprocess.run([*command, str(folder)], check=True)
    return ALL


def committed(trial: Trial) -> frozenset[str]:
    trial.checkout.git("add", "--all")
    trial.checkout.git("commit", "--quiet", "--allow-empty", "--message=A commit")
    return frozenset({"release"})


def tagged(trial: Trial) -> frozenset[str]:
    trial.checkout.git("tag", f"v{trial.word()}")
    return frozenset({"release"})


def another_branch_and_back(trial: Trial) -> frozenset[str]:
    committed(trial)
    path = trial.regular()
    said = path.stat().st_mode
    trial.checkout.git("switch", "--quiet", "--create", f"branch-{trial.word()}")
    path.write_text(trial.word(), encoding="utf-8")
    committed(trial)
    trial.nox("-s", "plan", cache="")
    trial.checkout.git("switch", "--quiet", "main")
    # Of a file's mode, git stores only whether the file is executable. So after the two
    # switches of the branch, the file may have a different mode.
    moded = path.stat().st_mode != said
    return frozenset({"release"}) | (trial.touches(path) if moded else NOTHING)


def cache_lost(trial: Trial) -> frozenset[str]:
    """Delete the outputs of the previous run, which the cache still contains."""
    shutil.rmtree(trial.root / "reports")
    shutil.rmtree(trial.root / "dist", ignore_errors=True)
    return NOTHING


def entry_damaged(trial: Trial) -> frozenset[str]:
    files = sorted(
        path for path in trial.root.glob(".cache/results/v*/*/*") if path.is_file()
    )
    path = trial.chance.choice(files)
    data = bytearray(path.read_bytes())
    if data:
        data[trial.chance.randrange(len(data))] ^= 1 << trial.chance.randrange(8)
    path.write_bytes(data)
    return ALL


CHANGES: tuple[Callable[[Trial], frozenset[str]], ...] = (
    content,
    content,
    same_size_and_time,
    same_size_and_time,
    replaced_by_one_of_the_same_size_and_time,
    time_moved_back,
    time_alone,
    mode,
    renamed,
    case_of_a_name,
    moved_to_another_folder,
    link,
    deleted,
    untracked,
    untracked,
    ignored,
    written_and_put_back,
    broken,
    lock,
    configuration,
    suite_code,
    declared_variable,
    variable_of_a_tool,
    variable_of_no_matter,
    external_input,
    python,
    committed,
    tagged,
    another_branch_and_back,
    cache_lost,
    entry_damaged,
)


def repair(trial: Trial) -> None:
    """Repair the file that the previous change broke, so that the jobs can pass
    again.
    """
    broken_file = trial.env.pop("BROKEN_FILE", None)
    if broken_file is not None and (trial.root / broken_file).is_file():
        (trial.root / broken_file).write_text("repaired\n", encoding="utf-8")


def run(
    folder: Path, number: int, seed: int, say: Callable[[str], None] = lambda text: None
) -> Trial:
    """Make `number` random changes and return the trial. Each kind of change is made
    once before any kind is made a second time.
    """
    trial = Trial(
        make(folder), random.Random(seed)
    )  # nosec B311 - a trial, and no secret
    trial.nox("--", "--plain", "-j", "1", cache="")
    assert all(
        trial.passed(job) for job in JOBS
    ), "the repository passes before anything is changed"
    queue: list[Callable[[Trial], frozenset[str]]] = []
    for count in range(number):
        queue = queue or trial.chance.sample(CHANGES, len(CHANGES))
        change = queue.pop()
        repaired = "BROKEN_FILE" in trial.env
        repair(trial)
        # The repair also changes a file, so every job may run.
        trial.step(_also(change) if repaired else change)
        if (count + 1) % 25 == 0:
            say(report(trial))
    return trial


def _also(
    change: Callable[[Trial], frozenset[str]],
) -> Callable[[Trial], frozenset[str]]:
    def both(trial: Trial) -> frozenset[str]:
        change(trial)
        return ALL

    both.__name__ = change.__name__
    return both


def report(trial: Trial) -> str:
    """Return a summary of the trial in one line."""
    total = sum(trial.kinds.values())
    share = f"{trial.skipped} of {trial.untouched} untouched sessions were reused"
    return (
        f"{total} changes: {len(trial.stale)} stale, {len(trial.wrong)} planned"
        f" otherwise than run; {share}; {dict(trial.reused)}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0] if __doc__ else None
    )
    parser.add_argument("--number", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trial = run(
            Path(folder),
            options.number,
            options.seed,
            lambda text: print(text, flush=True),
        )
    print(report(trial))
    print(dict(sorted(trial.kinds.items())))
    print(
        "\n".join(
            [
                *trial.stale,
                *trial.wrong,
                *(f"not reused: {each}" for each in trial.again),
            ]
        )
    )
    return int(bool(trial.stale or trial.wrong or trial.again))


if __name__ == "__main__":
    sys.exit(main())
