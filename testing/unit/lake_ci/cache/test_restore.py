"""The files of a cached result are restored completely or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lake_ci.cache.restore import OutputRestorer
from lake_ci.cache.store import CacheEntry, DamagedError, Store
from lake_ci.model.job import Job
from lake_ci.model.results import CheckResult, Result, Status
from lake_ci.runner.run import Run
from testing.unit.lake_ci.cache.test_store import INPUTS, KEY, PRINT


def build(run: Run) -> None:
    """Make a wheel."""


VARIANT = Job("build", build, reports=("SHA256SUMS", "dist/")).variants[0]


class Checkout:
    """A checkout in which a job has written a report and dist/, and a store that
    contains the same files.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "checkout"
        self.store = Store(folder / "store", 10**6, KEY)
        self.report = self.root / "reports" / "build"
        self.wheel = self.root / "dist" / "lake.whl"
        self.files = [self.report / "SHA256SUMS", self.wheel]
        for file in self.files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"the {file.name}")
        self.wheel.chmod(0o600)
        checks = (CheckResult("wheel", Status.SUCCESS),)
        result = Result(
            "0123456789ab",
            1,
            "push",
            None,
            False,
            "build",
            "build",
            "2026-01-31T02:00:00Z",
            1.5,
            "nox -s build",
            checks,
        )
        self.store.keep(PRINT, INPUTS, result, self.root, self.files)

    @property
    def entry(self) -> CacheEntry:
        found = self.store.find(PRINT)
        assert found is not None
        return found


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def content(root: Path) -> dict[str, str]:
    """Return the text of all files in a checkout, except for the suite's own files."""
    files = [
        path
        for path in root.rglob("*")
        if path.is_file() and ".cache" not in path.parts
    ]
    return {path.relative_to(root).as_posix(): path.read_text() for path in files}


@pytest.mark.parametrize(
    "lost", ["all", "a file", "a mode", "a word", "nothing but its place"]
)
def test_what_is_not_as_it_was_is_put_back(checkout: Checkout, lost: str) -> None:
    whole = content(checkout.root)
    if lost == "all":
        shutil.rmtree(checkout.root)
        checkout.root.mkdir()
    elif lost == "a file":
        checkout.wheel.unlink()
    elif lost == "a mode":
        checkout.wheel.chmod(0o644)
    elif lost == "a word":
        checkout.wheel.write_text("THE lake.whl")
    else:
        (checkout.root / "dist" / "older.whl").write_text("of another commit")
    OutputRestorer(checkout.root).restore(checkout.entry, VARIANT)
    assert content(checkout.root) == whole
    assert checkout.wheel.stat().st_mode & 0o777 == 0o600


def test_what_is_there_as_it_was_is_left_alone(checkout: Checkout) -> None:
    before = [file.stat() for file in checkout.files]
    OutputRestorer(checkout.root).restore(checkout.entry, VARIANT)
    assert [file.stat().st_ino for file in checkout.files] == [
        each.st_ino for each in before
    ]


def test_a_damaged_entry_moves_nothing(checkout: Checkout) -> None:
    checkout.wheel.write_text("mine")
    (checkout.report / "SHA256SUMS").write_text("mine, too")
    now = content(checkout.root)
    for file in (checkout.store.folder / "v2" / PRINT).glob("[0-9]"):
        file.write_text("damaged")
    restorer = OutputRestorer(checkout.root)
    with pytest.raises(DamagedError):
        restorer.check(checkout.entry, VARIANT)
    with pytest.raises(DamagedError):
        restorer.restore(checkout.entry, VARIANT)
    assert content(checkout.root) == now


def test_a_check_puts_nothing_back(checkout: Checkout) -> None:
    checkout.wheel.unlink()
    OutputRestorer(checkout.root).check(checkout.entry, VARIANT)
    assert not checkout.wheel.exists()


def test_what_a_killed_run_left_half_put_back_goes(checkout: Checkout) -> None:
    half = checkout.root / "reports" / ".back-build-killed"
    half.mkdir()
    other = checkout.root / "reports" / ".back-buildings-living"
    other.mkdir()
    OutputRestorer(checkout.root).restore(checkout.entry, VARIANT)
    assert not half.exists()
    assert other.exists()
