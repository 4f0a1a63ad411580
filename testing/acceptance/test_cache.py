"""Tests that the cache skips repeated work, and never hides a failure that a run
without the cache would show. The tests make random changes, kill runs, and add
undeclared inputs.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest

from lake_ci.model import results
from lake_ci.model.results import Status
from testing.acceptance import changes
from testing.acceptance.conftest import Checkout, Ran, clean_environment

ON = {"LAKE_CI_CACHE": "", "NOX_DOWNLOAD_PYTHON": "never"}


@pytest.fixture
def quick(tmp_path: Path) -> Checkout:
    """Return a repository with quick jobs that report a digest of their inputs."""
    return changes.make(tmp_path)


def nox(checkout: Checkout, *arguments: str) -> Ran:
    return checkout.nox(*arguments, env=ON, envdir=checkout.root / ".nox")


def test_after_random_changes_a_run_shows_what_a_full_run_shows(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    number, seed = (int(pytestconfig.getoption(name)) for name in ("changes", "seed"))
    trial = changes.run(tmp_path, number, seed)
    assert not trial.stale, changes.report(trial)
    assert not trial.wrong, changes.report(trial)
    assert trial.untouched and not trial.again, "\n".join(trial.again)


def test_a_run_that_is_killed_leaves_nothing_that_the_next_one_believes(
    quick: Checkout,
) -> None:
    ended = [nox(quick, "--", "--plain", "-j", "1") for _ in range(2)]
    assert [ran.code for ran in ended] == [0, 0]
    whole = files(quick)
    # The outputs of two runs: the first stores results, and the second restores them.
    lines = [len(ran.output.splitlines()) for ran in ended]
    chance = random.Random(20261125)  # nosec B311 - lines to kill at, and no secret
    for turn in range(6):
        shutil.rmtree(quick.root / "reports")
        shutil.rmtree(quick.root / "dist", ignore_errors=True)
        # Half of the runs are killed while they store results, and half while they
        # restore results.
        if turn % 2:
            shutil.rmtree(quick.root / ".cache" / "results")
        with subprocess.Popen(
            [sys.executable, "-m", "nox", "--", "--plain", "-j", "1"],
            cwd=quick.root,
            env=clean_environment(ON),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as run:
            assert run.stdout is not None
            printed = list(islice(run.stdout, chance.randrange(1, lines[1 - turn % 2])))
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)
        assert printed
        ran = nox(quick, "--", "--plain", "-j", "1")
        assert ran.code == 0, ran.output
        assert files(quick) == whole
        assert not list(quick.root.glob("reports/.back-*"))


def test_two_checkouts_share_a_store_at_the_same_time(
    quick: Checkout, tmp_path: Path
) -> None:
    other = quick.copy(tmp_path / "other")
    env = clean_environment({**ON, "LAKE_CI_STORE": str(tmp_path / "store")})
    for _ in range(2):
        runs = [
            subprocess.Popen(
                [sys.executable, "-m", "nox", "--", "--plain", "-j", "1"],
                cwd=checkout.root,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for checkout in (quick, other)
        ]
        said = [run.communicate()[0] for run in runs]
        assert [run.returncode for run in runs] == [0, 0], "\n".join(said)
        assert files(quick) == files(other)
    assert all(
        results.read(other.root / "reports" / job).reused for job in changes.JOBS
    )


def files(checkout: Checkout) -> dict[str, str]:
    """Return the output files of all jobs, except result.json."""
    found = [*checkout.root.glob("reports/*/*.txt"), *checkout.root.glob("dist/*")]
    return {
        path.relative_to(checkout.root).as_posix(): path.read_text(encoding="utf-8")
        for path in found
    }


def test_jobs_that_declare_what_they_read_pass(quick: Checkout) -> None:
    ran = nox(quick, "-s", "inputs")
    assert ran.code == 0, ran.output
    assert ran.rows("inputs") == dict.fromkeys(changes.JOBS, "success")
    # The environments refer to the original checkout, so they still work after the
    # copies are deleted.
    made = [path for path in quick.root.glob(".nox/*/bin") if path.is_dir()]
    assert len(made) >= len(changes.JOBS)
    assert all(
        str(folder.parent) in (folder / "activate").read_text(encoding="utf-8")
        for folder in made
    )


def test_a_file_that_is_read_and_not_declared_is_named(quick: Checkout) -> None:
    quick.replace(
        "noxfile.py",
        'inputs=["look.py", "pack/*"]',
        'inputs=["look.py", "pack/file_[123]*"]',
    )
    quick.commit()
    ran = nox(quick, "-s", "inputs", "--", "dependent")
    assert ran.code == 1, ran.output
    assert ran.rows("inputs") == {"transforms": "success", "dependent": "failure"}
    finding = ran.finding("inputs", "dependent", "undeclared")
    assert finding.file == "pack/file_0.txt"
    assert "noxfile.py" in finding.message


def test_a_job_that_fails_without_a_file_names_it(quick: Checkout) -> None:
    quick.replace(
        "noxfile.py",
        'run.check(Look("*.py"))',
        'run.check(Look("*.py", "--folder=notes"))',
    )
    quick.write(
        "look.py",
        (quick.root / "look.py").read_text() + "\nopen('notes/file_2.txt').close()\n",
    )
    quick.commit()
    ran = nox(quick, "-s", "inputs", "--", "style")
    assert ran.code == 1, ran.output
    named = {found.file for found in ran.check("inputs", "style").findings}
    assert "notes/file_2.txt" in named, ran.output


def test_a_job_that_fails_anyway_is_not_blamed_on_its_inputs(quick: Checkout) -> None:
    quick.write("notes/file_0.txt", "BROKEN")
    quick.commit()
    ran = nox(quick, "-s", "inputs", "--", "everything")
    assert ran.code == 1, ran.output
    finding = ran.finding("inputs", "everything", "fails")
    assert finding.file is None and "nox -s everything" in finding.message


def test_the_cache_says_what_it_keeps_and_is_emptied(quick: Checkout) -> None:
    noxfile = quick.root / "noxfile.py"
    session = (
        '\n\n@nox.session(venv_backend="none")\ndef cache(session):\n   '
        " kept.manage(suite, session)\n"
    )
    noxfile.write_text(
        noxfile.read_text().replace("import nox\n", "import nox\n", 1) + session
    )
    quick.replace(
        "noxfile.py",
        "from lake_ci.checks import input_audit as",
        "from lake_ci.pipeline import cache_command as kept\n"
        "from lake_ci.checks import input_audit as",
    )
    assert nox(quick, "--", "--plain", "-j", "1").code == 0
    assert "5 results" in nox(quick, "-s", "cache").output
    assert "5 results" in nox(quick, "-s", "cache", "--", "--prune").output
    assert "5 results" in nox(quick, "-s", "cache").output
    assert "5 results" in nox(quick, "-s", "cache", "--", "--clear").output
    assert "5 results" not in nox(quick, "-s", "cache").output
    ran = nox(quick, "--", "--plain", "-j", "1")
    assert (
        ran.result("style").reused is None
        and ran.result("style").status is Status.SUCCESS
    )
    ran = nox(quick, "-s", "cache", "--", "--purge")
    assert ran.code == 2
    assert "'--purge'" in ran.output and "'--prune'" in ran.output
