"""A rollback uses only files whose digests are in the ledger."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lake_ci.deploy.errors import StepError
from lake_ci.deploy.release import MANIFEST, Release
from lake_ci.deploy.rollback import ROLLED_BACK, roll_back
from lake_ci.deploy.rollout import Rollout
from testing.unit.lake_ci.deploy.conftest import Scene

Built = Callable[..., tuple[Release, dict[str, bytes]]]
Files = dict[str, bytes]


@pytest.fixture
def releases(scene: Scene, built: Built) -> tuple[Release, Release]:
    """Deploy 1.0 and then 1.1. Returns both releases."""
    made = [built(version) for version in ("1.0", "1.1")]
    for release in made:
        Rollout(scene.context(), *release, Path()).deploy()
    return made[0][0], made[1][0]


def test_rollback_to_recorded_files(
    scene: Scene, releases: tuple[Release, Release]
) -> None:
    assert roll_back(scene.context(), None) == ROLLED_BACK
    assert scene.workspace.running == releases[0].wheel_path


def manifest(held: Files, at: str, **changes: Any) -> None:
    """Change fields of a manifest."""
    path = f"{at}/{MANIFEST}"
    held[path] = json.dumps({**json.loads(held[path]), **changes}).encode()


def replace_file(files: Files, folder: str, name: str) -> None:
    """Replace a file and its digest in the manifest, so that both match."""
    content = b"print('other')"
    files[f"{folder}/{name}"] = content
    digests = json.loads(files[f"{folder}/{MANIFEST}"])["files"]
    digests[name] = hashlib.sha256(content).hexdigest()
    manifest(files, folder, files=digests)


def wheel(files: Files, folder: str) -> None:
    [path] = [path for path in files if path.startswith(folder) and ".whl" in path]
    replace_file(files, folder, path.rpartition("/")[2])


def script(files: Files, folder: str) -> None:
    replace_file(files, folder, "fill.py")


def added(files: Files, folder: str) -> None:
    replace_file(files, folder, "more.py")


def job(files: Files, folder: str) -> None:
    manifest(files, folder, job={"name": "other", "tasks": []})


def commit(files: Files, folder: str) -> None:
    manifest(files, folder, commit="d" * 40)


def version(files: Files, folder: str) -> None:
    manifest(files, folder, version="1.2")


def other_folder(files: Files, folder: str) -> None:
    manifest(files, folder, folder=f"{folder}0")


def inspecting(files: Files, folder: str) -> None:
    manifest(files, folder, inspect="../other.py")


def bytes_alone(files: Files, folder: str) -> None:
    files[f"{folder}/fill.py"] = b"print('other')"


def missing(files: Files, folder: str) -> None:
    del files[f"{folder}/fill.py"]


def no_manifest(files: Files, folder: str) -> None:
    del files[f"{folder}/{MANIFEST}"]


@pytest.mark.parametrize("which", [0, 1], ids=["target", "deployed"])
@pytest.mark.parametrize(
    "tamper",
    [
        wheel,
        script,
        added,
        job,
        commit,
        version,
        other_folder,
        inspecting,
        bytes_alone,
        missing,
        no_manifest,
    ],
)
def test_other_files_than_recorded_are_refused(
    scene: Scene,
    releases: tuple[Release, Release],
    tamper: Callable[[Files, str], None],
    which: int,
) -> None:
    workspace = scene.workspace
    tamper(workspace.files, releases[which].folder)
    before = dict(workspace.files), dict(workspace.jobs), workspace.running
    with pytest.raises(StepError) as refused:
        roll_back(scene.context(), None)
    assert releases[which].folder in str(refused.value)
    assert (workspace.files, workspace.jobs, workspace.running) == before


def test_wheel_of_another_entry_is_refused(
    scene: Scene, releases: tuple[Release, Release]
) -> None:
    """The release's folder is complete, but the ledger has the digest of a different
    wheel.
    """
    entry = scene.context().ledger.entries()[0]
    [path] = [
        path
        for path, content in scene.workspace.files.items()
        if f'"id": "{entry.id}"'.encode() in content and "ledger" in path
    ]
    recorded = json.loads(scene.workspace.files[path])
    changed = {**recorded, "sha256": "0" * 64}
    scene.workspace.files[path] = json.dumps(changed).encode()
    with pytest.raises(StepError, match="entry 1 of the ledger"):
        roll_back(scene.context(), None)
