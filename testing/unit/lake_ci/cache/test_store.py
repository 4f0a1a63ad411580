"""After a kill, a damaged file or a full disk, a cache entry is either complete or
absent.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lake_ci.cache import store as module
from lake_ci.cache.fingerprint import id_of, listing
from lake_ci.cache.lookup import ended, uncacheable_reason
from lake_ci.cache.store import DamagedError, Store
from lake_ci.model import results
from lake_ci.model.results import CheckResult, Finding, Result, Status, to_json

RESULT = Result(
    run="0123456789ab",
    attempt=1,
    event="push",
    commit=None,
    dirty=False,
    job="lint",
    session="lint",
    started="2026-01-31T02:00:00Z",
    seconds=1.5,
    reproduce="nox -s lint",
    checks=(CheckResult("style", Status.SUCCESS),),
)
INPUTS = listing({"session": "1 lint"})
PRINT = id_of(INPUTS)
KEY = b"k" * 32
REPOSITORY = Path(__file__).resolve().parents[4]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", 10**6, KEY)


def leave(root: Path, text: str = "text", job: str = "lint") -> list[Path]:
    """Write the reports of a job."""
    folder = root / "reports" / job
    (folder / "deep").mkdir(parents=True, exist_ok=True)
    (folder / "one.txt").write_text(text)
    (folder / "deep" / "two").write_bytes(b"\0" * 1000)
    (folder / "deep" / "two").chmod(0o755)
    return [folder / "one.txt", folder / "deep" / "two"]


def test_what_was_kept_is_found_as_it_was(store: Store, tmp_path: Path) -> None:
    store.keep(PRINT, INPUTS, RESULT, tmp_path, leave(tmp_path))
    entry = store.find(PRINT)
    assert entry is not None
    assert (entry.result, entry.inputs()) == (RESULT, INPUTS)
    for file in entry.files:
        entry.copy(file, tmp_path / "back" / file.path)
    back = tmp_path / "back" / "reports" / "lint"
    assert (back / "one.txt").read_text() == "text"
    assert (back / "deep" / "two").stat().st_mode & 0o777 == 0o755
    assert store.find("e" * 64) is None


@pytest.mark.parametrize("name", ["0", "1", "inputs", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_entry_is_refused_and_says_which_file(
    store: Store, tmp_path: Path, name: str, damage: str
) -> None:
    store.keep(PRINT, INPUTS, RESULT, tmp_path, leave(tmp_path))
    file = store.folder / "v2" / PRINT / name
    data = bytearray(file.read_bytes())
    if damage == "gone":
        file.unlink()
    else:
        data[len(data) // 2] ^= 1
        file.write_bytes(data if damage == "flip" else data[:-2])
    with pytest.raises(DamagedError, match=rf"{name}\b"):
        entry = store.find(PRINT)
        assert entry is not None
        entry.inputs()
        for cached in entry.files:
            entry.copy(cached, tmp_path / "back" / cached.path)


def test_entry_with_wrong_fingerprint_or_format_is_rejected(
    store: Store, tmp_path: Path
) -> None:
    store.keep(PRINT, INPUTS, RESULT, tmp_path, leave(tmp_path))
    folder = store.folder / "v2" / PRINT
    folder.rename(folder.with_name("e" * 64))
    with pytest.raises(DamagedError, match="belongs to another result"):
        store.find("e" * 64)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 0},
        {"files": 3},
        {"result": {**to_json(RESULT), "checks": None}},
        {"kept": None, "job": 1},
    ],
)
def test_a_manifest_of_another_shape_is_refused(
    store: Store, tmp_path: Path, change: dict[str, object]
) -> None:
    with pytest.raises(
        DamagedError, match="has an unexpected format|is not a file of 1"
    ):
        find_changed(store, tmp_path, change)


@pytest.mark.parametrize(
    "path",
    [
        "../evil",
        "/etc/passwd",
        "reports/tests/one.txt",
        "reports/lint/../../evil",
        "dist",
        "noxfile.py",
    ],
)
def test_a_file_that_belongs_elsewhere_is_refused(
    store: Store, tmp_path: Path, path: str
) -> None:
    with pytest.raises(
        DamagedError, match=rf"lists '{re.escape(path)}', which is not a file of lint"
    ):
        find_changed(store, tmp_path, {"files": [[path, "0" * 64, 0o644, 1]]})


def find_changed(store: Store, root: Path, change: Mapping[str, object]) -> None:
    """Change values of an entry's manifest, sign the manifest again, and look up the
    entry.
    """
    store.keep(PRINT, INPUTS, RESULT, root, leave(root))
    file = store.folder / "v2" / PRINT / "manifest.json"
    text = json.dumps({**json.loads(file.read_text().split("\n")[1]), **change})
    sign(file, text)
    store.find(PRINT)


def sign(file: Path, text: str, key: bytes = KEY) -> None:
    """Sign a manifest with this key, and write it."""
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    file.write_text(f"{signature}\n{text}\n")


def leaves(
    value: object, path: tuple[object, ...] = ()
) -> Iterator[tuple[object, ...]]:
    """Yield the path of each value in a document, including lists and objects."""
    yield path
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, (*path, key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from leaves(each, (*path, number))


WRONG: tuple[Any, ...] = (None, True, -1, 10**30, "x", "../x", [], {}, [1], {"a": 1})


def test_no_signed_manifest_crashes_the_reader(store: Store, tmp_path: Path) -> None:
    """Replace each value of a manifest by values of all types, one value at a time."""
    finding = Finding("black", "format", "would change", "a.py", 3)
    check = CheckResult("style", Status.WARNING, 1.0, "d", (finding,), None, {"n": 1})
    whole = replace(
        RESULT, checks=(check,), warnings=("w",), artifacts=("a",), commit="c" * 40
    )
    store.keep(PRINT, INPUTS, whole, tmp_path, leave(tmp_path))
    file = store.folder / "v2" / PRINT / "manifest.json"
    text = file.read_text().split("\n")[1]
    refused = 0
    paths = [path for path in leaves(json.loads(text)) if path]
    for path in paths:
        for wrong in WRONG:
            body = json.loads(text)
            place = body
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = wrong
            sign(file, json.dumps(body))
            try:
                entry = store.find(PRINT)
                assert entry is not None
                ended(entry.result)
                uncacheable_reason(entry.result)
                for cached in entry.files:
                    entry.copy(cached, tmp_path / "back" / cached.path)
                results.write(tmp_path / "again", entry.result)
            except DamagedError:
                refused += 1
    assert refused > 0.8 * len(paths) * len(WRONG)
    assert not (tmp_path / "x").exists()


def test_an_entry_that_another_account_signed_is_not_used(
    store: Store, tmp_path: Path
) -> None:
    store.keep(PRINT, INPUTS, RESULT, tmp_path, leave(tmp_path))
    other = Store(store.folder, store.limit, b"o" * 32)
    with pytest.raises(DamagedError, match="another account"):
        other.find(PRINT)
    assert other.of("lint") == []


def test_a_restored_file_is_written_by_its_owner_alone(
    store: Store, tmp_path: Path
) -> None:
    files = leave(tmp_path)
    files[0].chmod(0o666)
    files[1].chmod(0o4777)
    store.keep(PRINT, INPUTS, RESULT, tmp_path, files)
    entry = store.find(PRINT)
    assert entry is not None
    assert sorted(file.mode for file in entry.files) == [0o644, 0o755]


def test_the_oldest_use_leaves_first_and_the_newest_entry_stays(
    store: Store, tmp_path: Path
) -> None:
    files = leave(tmp_path)
    inputs = [listing({"session": f"1 lint-{number}"}) for number in range(4)]
    for number, each in enumerate(inputs):
        store.keep(id_of(each), each, RESULT, tmp_path, files)
        os.utime(store.folder / "v2" / id_of(each), (number, number))
    assert store.find(id_of(inputs[0])) is not None  # the entry was just used
    entries, size = store.status()
    store.limit = size - 1
    gone, freed = store.prune()
    assert (entries, gone) == (4, 1) and 0 < freed < size
    assert [store.find(id_of(each)) is not None for each in inputs] == [
        True,
        False,
        True,
        True,
    ]
    store.limit = 0
    store.keep(PRINT, INPUTS, RESULT, tmp_path, files)
    assert store.status()[0] == 1 and store.find(PRINT) is not None
    assert store.clear()[0] == 1 and store.status() == (0, 0)


def test_entries_of_an_older_schema_and_of_killed_processes_are_removed(
    store: Store, tmp_path: Path
) -> None:
    store.keep(PRINT, INPUTS, RESULT, tmp_path, leave(tmp_path))
    (store.folder / "v1" / "entry").mkdir(parents=True)
    for name in ("lake-ci-old", "lake-ci-young"):
        (store.folder / name).mkdir()
    os.utime(store.folder / "lake-ci-old", (1, 1))
    store.prune()
    assert {path.name for path in store.folder.iterdir()} == {"v2", "lake-ci-young"}
    assert store.find(PRINT) is not None


def test_prune_keeps_folders_of_others(store: Store, tmp_path: Path) -> None:
    for name in ("my-project", "venv", "v2.1"):
        (store.folder / name).mkdir(parents=True)
        os.utime(store.folder / name, (1, 1))
    store.keep(PRINT, INPUTS, RESULT, tmp_path, leave(tmp_path))
    names = {path.name for path in store.folder.iterdir()}
    assert names == {"v2", "my-project", "venv", "v2.1"}


def test_a_full_disk_leaves_the_store_as_it_was(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.keep(PRINT, INPUTS, RESULT, tmp_path, leave(tmp_path))
    real, left = module._take, [1]

    def full(source: Path, name: str, target: Path) -> module.CachedFile:
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        left.pop()
        return real(source, name, target)

    monkeypatch.setattr(module, "_take", full)
    with pytest.raises(OSError, match="No space left"):
        store.keep(
            "e" * 64,
            b"",
            replace(RESULT, run="other"),
            tmp_path,
            leave(tmp_path, "new"),
        )
    assert [path.name for path in store.folder.iterdir()] == ["v2"]
    entry = store.find(PRINT)
    assert entry is not None and entry.result == RESULT


KEEP = """
import sys
from dataclasses import replace
from pathlib import Path
from testing.unit.lake_ci.cache.test_store import INPUTS, KEY, PRINT, RESULT
from testing.unit.lake_ci.cache.test_store import Store, leave

root, store = Path(sys.argv[1]), Store(Path(sys.argv[2]), 10**6, KEY)
for number in range(10**6):
    text = f"{sys.argv[3]}{number}"
    files = leave(root, text)
    store.keep(PRINT, INPUTS, replace(RESULT, run=text), root, files)
    if number == 0:
        print("begun", flush=True)
"""


def test_two_writers_and_random_kills_leave_a_complete_entry_or_none(
    store: Store, tmp_path: Path
) -> None:
    chance = random.Random(20261125)  # nosec B311 - moments to kill at, and no secret
    found = 0
    for turn in range(12):
        writers = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    KEEP,
                    str(tmp_path / name),
                    str(store.folder),
                    name,
                ],
                cwd=REPOSITORY,
                env={
                    **os.environ,
                    "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'utils'}",
                },
                stdout=subprocess.PIPE,
            )
            for name in ("a", "b")
        ]
        try:
            for writer in writers:
                assert writer.stdout is not None
                assert writer.stdout.readline() == b"begun\n"
            for _ in range(chance.randrange(40)):
                found += whole(store, tmp_path / "meanwhile", replaced=True)
        finally:
            for writer in writers:
                writer.kill()
                writer.communicate()
        found += whole(store, tmp_path / f"after-{turn}")
        store.keep(PRINT, INPUTS, RESULT, tmp_path, leave(tmp_path))
        assert whole(store, tmp_path / "mine") == 1
    assert found > 0


def whole(store: Store, back: Path, *, replaced: bool = False) -> int:
    """Return 1 if the entry is complete and from a single run. Return 0 if there is no
    entry, or if the entry was replaced while it was read.
    """
    try:
        entry = store.find(PRINT)
        if entry is None:
            return 0
        for file in entry.files:
            entry.copy(file, back / file.path)
    except DamagedError:
        assert replaced, "an entry at rest is whole"
        return 0
    text = (back / "reports" / "lint" / "one.txt").read_text()
    assert entry.result.run == (RESULT.run if text == "text" else text)
    return 1
