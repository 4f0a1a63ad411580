"""A forged entry of the cache is never used, and never crashes a run.

Most forged entries are signed with the right key, so that only the tested value is
wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lake_ci.cache.file_hashes import Tree, tree_digest
from lake_ci.cache.fingerprint import Fingerprint, Fingerprints, id_of, listing
from lake_ci.cache.lookup import Answer, ResultCache
from lake_ci.cache.store import Store
from lake_ci.model.job import Graph, Job
from lake_ci.model.results import CheckResult, Status, to_json
from lake_ci.runner.run import Run
from testing.unit.lake_ci.cache.test_store import KEY, RESULT, leave, sign


def lint(run: Run) -> None:
    """Check the style."""


VARIANT = Job("lint", lint, reports=("one.txt",)).variants[0]
FILES = {"a.py": f"644 {'a' * 64}", "b.py": f"644 {'b' * 64}"}
PRINT = Fingerprint(
    VARIANT,
    {"files": tree_digest(FILES), "session": "1 lint", "variable TZ": "unset"},
    Tree(tree_digest(FILES), "moment", lambda: FILES),
)
FACTS = {"run": "again", "attempt": 1, "event": "push", "commit": None, "dirty": False}


class Forgery:
    """A forged cache entry, which is intact until a test changes it.

    Attributes:
        body: the manifest, which `write` writes with a valid signature.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "checkout"
        self.store = Store(folder / "store", 10**9, KEY)
        self.store.keep(
            PRINT.id, listing(PRINT.each), RESULT, self.root, leave(self.root)
        )
        self.folder = self.store.folder / "v2" / PRINT.id
        self.manifest = self.folder / "manifest.json"
        self.body: dict[str, Any] = json.loads(self.manifest.read_text().split("\n")[1])
        self.said: list[str] = []

    def write(self) -> None:
        sign(self.manifest, json.dumps(self.body))

    def is_used(self) -> bool:
        """Return whether a run uses the entry."""
        cache = ResultCache(
            Graph({VARIANT.job.name: VARIANT.job}),
            self.root,
            {},
            lambda _: None,
            out=self.said.append,
        )
        vars(cache)["store"] = self.store
        now = SimpleNamespace(
            of=lambda variant: PRINT,
            assume=lambda variant, files: None,
            machine=SimpleNamespace(save=lambda: None),
        )
        [verdict] = cache.forecast([VARIANT.job], cast(Fingerprints, now))
        return (
            verdict.answer is Answer.REUSE and cache.restore(verdict, FACTS) is not None
        )


Change = Callable[[Forgery], object]


def manifest(**values: object) -> Change:
    """Change fields of the manifest."""
    return lambda forged: forged.body.update(values)


def result(**values: object) -> Change:
    """Change fields of the result."""
    return lambda forged: forged.body["result"].update(values)


def row(position: int, value: object) -> Change:
    """Change a field of the first file: its path, digest, mode or size."""
    return lambda forged: forged.body["files"][0].__setitem__(position, value)


def inputs(data: bytes, *, same_id: bool = True) -> Change:
    """Replace the recorded inputs and their digest."""

    def change(forged: Forgery) -> None:
        (forged.folder / "inputs").write_bytes(data)
        forged.body["inputs"] = hashlib.sha256(data).hexdigest()
        if not same_id:
            forged.body["fingerprint"] = id_of(data)

    return change


def checks(*found: CheckResult) -> Change:
    """Replace the checks of the result."""
    return lambda forged: forged.body.update(
        result=to_json(replace(RESULT, checks=found))
    )


def in_place_of(name: str, put: Callable[[Path], object]) -> Change:
    """Move a file of the entry to `aside`, and put something else in its place."""

    def change(forged: Forgery) -> None:
        (forged.folder / name).rename(forged.store.folder / "aside")
        put(forged.folder / name)

    return change


def link(path: Path) -> None:
    path.symlink_to(path.parents[2] / "aside")


def terabyte(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def pipe_as_entry(forged: Forgery) -> None:
    shutil.rmtree(forged.folder)
    os.mkfifo(forged.folder)


EACH = PRINT.each
SIGNED: dict[str, Change] = {
    # The fingerprint and the inputs.
    "another fingerprint": manifest(fingerprint="e" * 64),
    "a short fingerprint": manifest(fingerprint="e"),
    "a fingerprint in capitals": manifest(fingerprint=PRINT.id.upper()),
    "no digest of the inputs": manifest(inputs=None),
    "another digest of the inputs": manifest(inputs="0" * 64),
    "an input with another value": inputs(listing({**EACH, "variable TZ": "UTC"})),
    "a file with another digest": inputs(listing({**EACH, "file a.py": "644 c"})),
    "an input less": inputs(listing({"session": "1 lint"})),
    "a file less": inputs(
        listing({name: each for name, each in EACH.items() if name != "file a.py"})
    ),
    "an input more": inputs(listing({**EACH, "variable A": "1"})),
    "the digest of all files as an input": inputs(listing(PRINT.inputs)),
    "an input without effect": inputs(listing({**EACH, "files": "x"})),
    "an input twice": inputs(listing(EACH) + b"session\x001 lint\x00"),
    "inputs in another order": inputs(b"session\x001 lint\x00" + listing(EACH)),
    "inputs that are cut": inputs(listing(EACH)[:-1]),
    "no inputs": inputs(b""),
    "bytes as inputs": inputs(b"\xff\x00\xfe"),
    "other inputs with their fingerprint": inputs(
        listing({**EACH, "variable TZ": "UTC"}), same_id=False
    ),
    # The job.
    "another job": manifest(job="tests"),
    "a result of another job": result(job="tests"),
    "a result of another session": result(session="lint-3.9"),
    "all of another job": lambda forged: forged.body.update(
        job="tests", files=[], result=to_json(replace(RESULT, job="tests"))
    ),
    "a job that is a path": manifest(job="../.."),
    # The schema and the types.
    "an older schema": manifest(schema=1),
    "a newer schema": manifest(schema=3),
    "a schema that is a text": manifest(schema="2"),
    "an older schema of the result": result(schema=1),
    "a field more": manifest(note="x"),
    "a field less": lambda forged: forged.body.pop("kept"),
    "a time that is no number": manifest(kept=float("nan")),
    "a time before 1970": manifest(kept=-1),
    "files that are a number": manifest(files=3),
    "a file that is a text": manifest(files=["reports/lint/one.txt"]),
    "a file without its size": lambda forged: forged.body["files"][0].pop(),
    "a digest in capitals": row(1, "A" * 64),
    "a digest that is null": row(1, None),
    "a negative size": row(3, -1),
    "another size": row(3, 5),
    "a size that is too large": row(3, 10**30),
    "a result that is a list": manifest(result=[]),
    "a result with a field more": result(note="x"),
    "a result with a field less": lambda forged: forged.body["result"].pop("seconds"),
    "a result with a negative time": result(seconds=-1.0),
    "a result without a date": result(started="yesterday"),
    "a result after the year 9999": result(started="9999-12-31T23:59:59Z"),
    "a text with half a character": result(reproduce="\ud800"),
    # Results that must not be cached.
    "a partial result": result(partial=True),
    "an interrupted result": result(cause="interrupted"),
    "a failure": checks(CheckResult("style", Status.FAILURE)),
    "a skipped check": checks(
        CheckResult("style", Status.SUCCESS), CheckResult("types", Status.SKIPPED)
    ),
    "a check that did not check everything": checks(
        CheckResult("style", Status.WARNING, not_checked="no network")
    ),
    "no check": checks(),
    # The modes.
    "a file that all may write": row(2, 0o666),
    "a file that its group may write": row(2, 0o674),
    "a file that runs as its owner": row(2, 0o4755),
    "a mode that is a text": row(2, "644"),
    # The paths.
    "a path above the checkout": row(0, "../evil"),
    "a path with a step up": row(0, "reports/lint/../../evil"),
    "an absolute path": row(0, "/tmp/evil"),
    "a path to the code": row(0, "noxfile.py"),
    "a path to another job's reports": row(0, "reports/tests/one.txt"),
    "a path to dist, which the job does not write": row(0, "dist/evil.whl"),
    "the path of a folder": row(0, "reports/lint"),
    "a path with a null byte": row(0, "reports/lint/a\0b"),
    "a path with two slashes": row(0, "reports//lint/one.txt"),
    "a path with a dot": row(0, "reports/lint/./one.txt"),
    "a path that is too long": row(0, f"reports/lint/{'a' * 300}"),
    "an empty path": row(0, ""),
    "a path twice": lambda forged: forged.body["files"].append(forged.body["files"][0]),
    "a file below a file": row(0, "reports/lint/one.txt/below"),
    # The files of the entry.
    "a link in place of a file": in_place_of("0", link),
    "a pipe in place of a file": in_place_of("0", os.mkfifo),
    "a folder in place of a file": in_place_of("0", os.mkdir),
    "no file": in_place_of("0", lambda path: None),
    "a file with other text": in_place_of("0", lambda path: path.write_text("tex_")),
    "a link in place of the inputs": in_place_of("inputs", link),
    "a pipe in place of the inputs": in_place_of("inputs", os.mkfifo),
    "inputs of a terabyte": in_place_of("inputs", terabyte),
}
UNSIGNED: dict[str, Change] = {
    "another key": lambda forged: sign(
        forged.manifest, json.dumps(forged.body), b"o" * 32
    ),
    "no signature": lambda forged: forged.manifest.write_text(json.dumps(forged.body)),
    "an empty signature": lambda forged: forged.manifest.write_text(
        f"\n{json.dumps(forged.body)}\n"
    ),
    "a signature that is no text": lambda forged: forged.manifest.write_bytes(
        b"\xff\n" + json.dumps(forged.body).encode()
    ),
    "a signature in capitals": lambda forged: forged.manifest.write_text(
        forged.manifest.read_text().replace(
            forged.manifest.read_text()[:64], forged.manifest.read_text()[:64].upper()
        )
    ),
    "a change after the signature": lambda forged: forged.manifest.write_text(
        forged.manifest.read_text().replace('"seconds": 1.5', '"seconds": 9.5')
    ),
    "a line after the signed text": lambda forged: forged.manifest.write_text(
        forged.manifest.read_text() + "{}\n"
    ),
    "an empty manifest": lambda forged: forged.manifest.write_text(""),
    "a signed text that is no JSON": lambda forged: sign(forged.manifest, "{"),
    "a signed list": lambda forged: sign(forged.manifest, "[]"),
    "a signed result that is very deep": lambda forged: sign(
        forged.manifest,
        json.dumps(forged.body).replace(
            '"reproduce": ', f'"x": {"[" * 10**5}{"]" * 10**5}, "reproduce": '
        ),
    ),
    "a link in place of the manifest": in_place_of("manifest.json", link),
    "a pipe in place of the manifest": in_place_of("manifest.json", os.mkfifo),
    "a folder in place of the manifest": in_place_of("manifest.json", os.mkdir),
    "no manifest": in_place_of("manifest.json", lambda path: None),
    "a link in place of the entry": lambda forged: forged.folder.symlink_to(
        forged.folder.rename(forged.store.folder / "elsewhere")
    ),
    "a pipe in place of the entry": pipe_as_entry,
    "the folder of an older schema": lambda forged: forged.folder.parent.rename(
        forged.store.folder / "v1"
    ),
}


def content(folder: Path) -> dict[Path, str | None]:
    """Return all paths below a folder; only files named `mine` have their text."""
    return {
        path: path.read_text() if path.parts[-1] == "mine" else None
        for path in folder.rglob("*")
        if ".cache" not in path.parts
    }


def refuse(forged: Forgery, folder: Path) -> None:
    """Assert that the entry is not used, and that a run does not change any file."""
    shutil.rmtree(forged.root / "reports" / "lint")
    (forged.root / "mine").write_text("mine")
    before = content(folder)
    assert not forged.is_used()
    assert content(folder) == before
    assert all(message.startswith("lint runs: ") for message in forged.said)


def test_the_entry_is_used_as_long_as_nobody_changes_it(tmp_path: Path) -> None:
    forged = Forgery(tmp_path)
    forged.write()
    shutil.rmtree(forged.root / "reports" / "lint")
    assert forged.is_used()
    assert (forged.root / "reports" / "lint" / "one.txt").read_text() == "text"


@pytest.mark.parametrize("kind", SIGNED)
def test_a_signed_forgery_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    forged = Forgery(tmp_path)
    SIGNED[kind](forged)
    forged.write()
    refuse(forged, tmp_path)
    assert str(forged.folder) in forged.said[0] or "reports/" in forged.said[0]


@pytest.mark.parametrize("kind", UNSIGNED)
def test_a_forgery_without_a_valid_signature_is_not_used(
    tmp_path: Path, kind: str
) -> None:
    forged = Forgery(tmp_path)
    UNSIGNED[kind](forged)
    refuse(forged, tmp_path)
