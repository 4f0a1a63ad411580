"""The fingerprint of a session covers all its inputs. A session with an unknown input
is not cached.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lake_ci.cache.external_inputs import Machine
from lake_ci.cache.file_hashes import Digests
from lake_ci.cache.fingerprint import (
    Fingerprint,
    Fingerprints,
    from_listing,
    listing,
    matcher,
)
from lake_ci.model.job import Graph, Job

Look = Callable[..., Fingerprint]
TODAY = date(2026, 1, 31)


def session(run: object) -> None:
    """A job."""


@pytest.fixture
def look(root: Path) -> Look:
    """Return a function that computes a job's fingerprint in the repository `root`, as
    a run would now.
    """

    def fingerprint(
        env: Mapping[str, str] | None = None, today: date = TODAY, **declared: Any
    ) -> Fingerprint:
        graph = Graph()
        graph.add(Job("docker", session, python=None, reports=("images.json", "dist/")))
        job = graph.add(Job("k8s", session, **{"python": None, **declared}))
        digests = Digests(root, root / ".cache" / "digests")
        machine = Machine(
            root, {"PATH": os.environ["PATH"], **(env or {})}, digests, today
        )
        return Fingerprints(graph, machine).of(job.variants[0])

    return fingerprint


def test_a_job_that_declares_nothing_reads_every_file_that_git_would_track(
    root: Path, look: Look
) -> None:
    (root / "untracked").write_text("1")
    before = look()
    assert {name for name in before.each if name.startswith("file ")} == {
        "file .gitignore",
        "file untracked",
    }
    (root / "reports").mkdir()
    (root / "reports" / "ignored").write_text("1")
    assert look().id == before.id
    (root / "untracked").write_text("2")
    assert look().differences(before.each) == ["untracked changed"]


def test_a_declared_job_reads_its_files_and_those_of_the_suite(
    root: Path, look: Look
) -> None:
    for name in (
        "k8s/base/one.yaml",
        "docs/two.md",
        "noxfile.py",
        "utils/lake_ci/runner/run.py",
        "requirements/k8s.txt",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("1")
    before = look(inputs=("k8s/*",))
    (root / "docs" / "two.md").write_text("2")
    assert look(inputs=("k8s/*",)).id == before.id
    for name in (
        "k8s/base/one.yaml",
        "noxfile.py",
        "utils/lake_ci/runner/run.py",
        "requirements/k8s.txt",
    ):
        (root / name).write_text("2")
        now = look(inputs=("k8s/*",))
        assert now.differences(before.each) == [f"{name} changed"]
        before = now


def test_each_way_in_which_a_file_can_differ_is_named(root: Path, look: Look) -> None:
    for name in ("mode", "gone", "name", "link"):
        (root / name).write_text(name)
    before = look()
    (root / "mode").chmod(0o755)
    (root / "gone").unlink()
    (root / "name").rename(root / "Name")
    (root / "link").unlink()
    (root / "link").symlink_to("mode")
    differences = look().differences(before.each)
    assert differences == [
        "Name is new",
        "gone was removed",
        "link changed",
        "mode has mode 755, not 644",
        "name was removed",
    ]


def test_file_with_restored_content_has_same_digest_and_another_moment(
    root: Path, look: Look
) -> None:
    (root / "one").write_text("1")
    before = look()
    (root / "one").write_text("2")
    (root / "one").write_text("1")
    os.utime(root / "one", (1, 1))
    now = look()
    assert now.id == before.id
    assert not now.same_moment(before)
    assert now.same_moment(look())


def test_variables_that_tools_heed_and_declared_ones_count(look: Look) -> None:
    before = look()
    assert (
        look({"EDITOR": "vi", "LAKE_CI_RUN": "1", "LAKE_CI_STORE": "/x"}).id
        == before.id
    )
    differences = look({"TZ": "UTC", "LAKE_CI_STRICT": "1"}).differences(before.each)
    assert differences == ["variable LAKE_CI_STRICT is new", "variable TZ is new"]
    assert look({"EDITOR": "vi"}, variables=("EDITOR",)).differences(before.each) == [
        "variable EDITOR is new"
    ]


def test_a_python_that_is_not_there_cannot_be_told(look: Look) -> None:
    assert "3.99" in (look(python="3.99").unknown_input or "")


def test_external_input_changes_daily_and_an_unknown_one_makes_the_job_run(
    root: Path, look: Look, tmp_path: Path
) -> None:
    (tmp_path / "advisories").mkdir()
    env = {"LAKE_CI_ADVISORIES": str(tmp_path / "advisories")}
    before = look(env, external_inputs=("advisories",))
    assert look(env, external_inputs=("advisories",)).id == before.id
    assert look(env, date(2026, 2, 1), external_inputs=("advisories",)).differences(
        before.each
    ) == ["advisories changed"]
    (tmp_path / "advisories" / "insecure_full.json").write_text("{}")
    assert look(env, external_inputs=("advisories",)).id != before.id
    unknown = look(
        {"KUBE_CONTEXT": "kind"}, external_inputs=("api-server",)
    ).unknown_input
    assert "KUBE_CONTEXT" in (unknown or "")


def test_what_is_taken_from_a_need_counts_by_content_without_its_result(
    root: Path, look: Look
) -> None:
    assert look(artifacts_from=("docker",)).unknown_input == "docker has no result"
    left(root, "success", "{}")
    before = look(artifacts_from=("docker",))
    assert {"taken reports/docker/images.json", "taken dist/wheel"} <= set(
        before.inputs
    )
    left(root, "success", "{}", run="2")
    assert look(artifacts_from=("docker",)).id == before.id
    left(root, "success", "[]")
    assert look(artifacts_from=("docker",)).differences(before.each) == [
        "reports/docker/images.json changed"
    ]
    left(root, "failure", "[]")
    assert look(artifacts_from=("docker",)).unknown_input == "docker did not pass"
    left(root, "success", "[]", partial=True)
    assert (
        look(artifacts_from=("docker",)).unknown_input
        == "docker was only run partially"
    )


def left(
    root: Path,
    status: str,
    images: str,
    run: str = "1",
    partial: bool = False,
) -> None:
    """Write files that a job `docker` would write."""
    (root / "reports" / "docker").mkdir(parents=True, exist_ok=True)
    (root / "dist").mkdir(exist_ok=True)
    (root / "dist" / "wheel").write_text("wheel")
    (root / "reports" / "docker" / "images.json").write_text(images)
    body: dict[str, Any] = dict.fromkeys(("commit", "cause", "python", "java"))
    body |= dict.fromkeys(("reused", "processor_seconds", "waited_seconds"))
    body |= dict.fromkeys(("artifacts", "warnings"), ())
    body |= {"schema": 2, "run": run, "attempt": 1, "event": "push"}
    body |= {"dirty": False, "partial": partial}
    body |= {
        "job": "docker",
        "session": "docker",
        "started": "2026-01-31T02:00:00Z",
        "seconds": 1,
        "reproduce": "",
    }
    check = {
        "name": "x",
        "status": status,
        "seconds": 0,
        "detail": "",
        "findings": [],
        "not_checked": None,
        "data": {},
    }
    (root / "reports" / "docker" / "result.json").write_text(
        json.dumps({**body, "checks": [check]})
    )


def test_a_job_with_history_depends_on_the_commit_and_another_does_not(
    root: Path, look: Look, git: Callable[..., str]
) -> None:
    plain, history = look(), look(history=True)
    git(root, "commit", "--quiet", "--allow-empty", "--message=another")
    assert look().id == plain.id
    assert look(history=True).differences(history.each) == ["git commit changed"]
    history = look(history=True)
    git(root, "tag", "v1.0.0")
    (root / "new").write_text("")
    differences = look(history=True).differences(history.each)
    assert differences == [
        "new is new",
        "git tags changed",
        "git uncommitted changes changed",
    ]


def test_what_git_does_not_list_cannot_be_told(
    root: Path, look: Look, git: Callable[..., str]
) -> None:
    git(root, "init", "--quiet", "nested")
    (root / "nested" / "file").write_text("")
    assert (
        look().unknown_input
        == "nested/ is a nested repository: git does not list its files"
    )
    git(root / "nested", "add", ".")
    git(root / "nested", "commit", "--quiet", "--message=nested")
    git(root, "-c", "advice.addEmbeddedRepo=false", "add", "nested")
    assert (look().unknown_input or "").startswith("nested: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_cannot_be_read_makes_the_job_run(root: Path, look: Look) -> None:
    (root / "secret").write_text("")
    (root / "secret").chmod(0)
    assert stat.S_IMODE((root / "secret").stat().st_mode) == 0
    assert "Permission denied" in (look().unknown_input or "")


def test_a_listing_is_read_back_whatever_the_names_hold() -> None:
    inputs = {"file a\nb": "1", "file caf\udce9": "2", "variable X": ""}
    assert from_listing(listing(inputs)) == inputs
    assert listing({"a": "bc"}) != listing({"ab": "c"})


@pytest.mark.parametrize(
    ("patterns", "file", "read"),
    [
        (("*.py",), "utils/lakekit/storage/lake.py", True),
        (("*.py",), "README.md", False),
        (("docs/*", "pyproject.toml"), "docs/a/b.md", True),
        (("docs/*", "pyproject.toml"), "pyproject.toml", True),
        (("docs/*", "pyproject.toml"), "sub/pyproject.toml", False),
        (("*.PY",), "a.py", False),
    ],
)
def test_a_job_reads_what_its_patterns_name(
    patterns: tuple[str, ...], file: str, read: bool
) -> None:
    assert bool(matcher(patterns)(file)) is read
