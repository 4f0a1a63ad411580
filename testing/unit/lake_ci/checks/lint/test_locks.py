"""Lock files are compiled, and compared with pyproject.toml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lake_ci.checks.lint import locks
from lake_ci.checks.lint.locks import CompileLock, Jar, Locks, RequirementsLock
from lake_ci.errors import LakeCiError, UsageError
from lake_ci.model.results import Status
from lake_ci.model.settings import read_settings
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed

Answering = Callable[..., list[list[str]]]

PROJECT = """\
[project]
name = "lakekit"
dependencies = ["click>=8.1"]
[project.optional-dependencies]
spark = ["pyspark>=3.5"]
[dependency-groups]
pytest = ["pytest"]
lint = ["black", { include-group = "pytest" }]
[tool.lake_ci.locks]
runtime = { python = "3.9", project = true }
lint = { python = "3.11", groups = ["lint"] }
test = { python = "3.9", project = true, extras = ["spark"], groups = ["pytest"] }
[tool.lake_ci.jars]
coordinates = ["io.delta:delta-storage:3.3.2"]
"""
BODY = """\
click==8.1.8 \\
    --hash=sha256:63c132bbbed01578a06712a2d1f497bb62d9c1c0d329b7903a866228027263b2
    # via lakekit (pyproject.toml)
"""
JAR = f"io.delta:delta-storage:3.3.2 --hash=sha256:{'c0' * 32}\n"


@pytest.fixture
def locked(ctx: CheckContext) -> CheckContext:
    """Return a repository whose lock files are all up to date."""
    (ctx.root / "pyproject.toml").write_text(PROJECT)
    (ctx.root / "requirements").mkdir()
    for lock in locks.declared_locks(ctx.root):
        (ctx.root / lock.file).write_text(
            locks.lock_text(lock.title, [lock.arguments, lock.requirements], BODY)
        )
    coordinates = read_settings(ctx.root).jars.coordinates
    (ctx.root / "requirements" / "jars.txt").write_text(
        locks.lock_text(locks.JARS_TITLE, coordinates, JAR)
    )
    return ctx


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def places(ctx: CheckContext) -> list[tuple[str, str]]:
    return [(finding.place, finding.rule) for finding in Locks().run(ctx).findings]


def test_locks_in_step_are_success_with_their_number(locked: CheckContext) -> None:
    outcome = Locks().run(locked)
    assert (outcome.status, outcome.detail) == (Status.SUCCESS, "4 locks")


@pytest.mark.parametrize(
    ("old", "new", "out_of_step"),
    [
        ('["click>=8.1"]', '["click>=8.2"]', ["runtime", "test"]),
        ('["pyspark>=3.5"]', '["pyspark>=3.5,<4"]', ["test"]),
        ('pytest = ["pytest"]', 'pytest = ["pytest", "hypothesis"]', ["lint", "test"]),
        ('runtime = { python = "3.9"', 'runtime = { python = "3.10"', ["runtime"]),
        ("delta-storage:3.3.2", "delta-storage:3.3.3", ["jars"]),
    ],
)
def test_a_change_of_pyproject_puts_just_the_locks_it_reaches_out_of_step(
    locked: CheckContext, old: str, new: str, out_of_step: list[str]
) -> None:
    edit(locked.root / "pyproject.toml", old, new)
    assert places(locked) == [
        (f"requirements/{purpose}.txt:1", "out-of-step") for purpose in out_of_step
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("63c132", "63c133"),
        ("click==8.1.8", "click==8.1.7"),
        ("    # via lakekit (pyproject.toml)\n", ""),
    ],
)
def test_an_edit_by_hand_shows(locked: CheckContext, old: str, new: str) -> None:
    edit(locked.root / "requirements" / "runtime.txt", old, new)

    assert places(locked) == [("requirements/runtime.txt:1", "out-of-step")]


def test_a_lock_without_a_digest_is_named_with_the_command_that_corrects_it(
    locked: CheckContext,
) -> None:
    path = locked.root / "requirements" / "lint.txt"
    path.write_text(path.read_text().split("\n")[0] + "\n" + BODY)
    [finding] = Locks().run(locked).findings
    assert finding.message == "the lock has no digest; run `nox -s lock`"


def test_a_file_that_lock_did_not_make_is_not_overwritten_before_force(
    locked: CheckContext, answering: Answering
) -> None:
    lock = locks.declared_locks(locked.root)[0]
    path = locked.root / lock.file
    path.write_text("click==8.0.0 # pinned by hand\n")
    assert places(locked) == [("requirements/runtime.txt:1", "not-generated")]
    calls = answering(fake_uv(BODY, []))
    outcome = CompileLock(lock).run(locked)
    assert [each.rule for each in outcome.findings] == ["not-generated"]
    assert (calls, path.read_text()) == ([], "click==8.0.0 # pinned by hand\n")
    locked.posargs = ("--upgrade", "--force")
    assert CompileLock(lock).run(locked).detail == "wrote requirements/runtime.txt"
    assert "--upgrade" in calls[0] and "--force" not in calls[0]
    assert places(locked) == []


def test_a_missing_lock_is_named(locked: CheckContext) -> None:
    (locked.root / "requirements" / "lint.txt").unlink()
    [finding] = Locks().run(locked).findings
    assert (finding.file, finding.message) == (
        "requirements/lint.txt",
        "the lock is missing; run `nox -s lock`",
    )


def test_a_lock_that_nobody_declares_is_named(locked: CheckContext) -> None:
    (locked.root / "requirements" / "docs.txt").write_text(BODY)
    assert places(locked) == [("requirements/docs.txt:1", "unknown")]


def test_without_declared_jars_there_is_no_lock_of_jars(locked: CheckContext) -> None:
    edit(locked.root / "pyproject.toml", '["io.delta:delta-storage:3.3.2"]', "[]")
    assert places(locked) == [("requirements/jars.txt:1", "unknown")]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'extras = ["spark"]',
            'extras = ["sprk"]',
            "lock 'test' has the extra 'sprk', which does not exist",
        ),
        ('groups = ["lint"]', 'groups = ["lnt"]', "lock 'lint': .*lnt"),
        (
            'include-group = "pytest"',
            'include-group = "lint"',
            "lock 'lint': .*[Cc]ycl",
        ),
        ("[project]", "[project", "pyproject.toml: "),
    ],
)
def test_a_wrong_declaration_is_refused_by_name(
    locked: CheckContext, old: str, new: str, words: str
) -> None:
    edit(locked.root / "pyproject.toml", old, new)
    with pytest.raises(UsageError, match=words):
        locks.declared_locks(locked.root)


def test_no_pyproject_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pyproject.toml: .*No such file"):
        locks.declared_locks(tmp_path)


def test_a_lock_is_compiled_from_the_project_its_extras_and_groups(
    locked: CheckContext,
) -> None:
    [runtime, lint, test] = locks.declared_locks(locked.root)
    assert lint == RequirementsLock(
        "lint", "3.11", ("black", "pytest"), ("--group", "lint")
    )
    assert test.requirements == ("click>=8.1", "pyspark>=3.5", "pytest")
    assert test.arguments == ("pyproject.toml", "--extra", "spark", "--group", "pytest")
    assert (runtime.file, runtime.title) == (
        "requirements/runtime.txt",
        "runtime: Python 3.9 and up",
    )


def fake_uv(body: str, seen: list[str]) -> Callable[[list[str]], Completed]:
    """Return a fake uv. The fake adds the text of the old lock file, whose versions the
    real uv prefers, to `seen`. Then the fake writes `body` as the new lock file.
    """

    def answer(argv: list[str]) -> Completed:
        scratch = Path(argv[argv.index("--output-file") + 1])
        seen.append(scratch.read_text() if scratch.exists() else "nothing")
        scratch.write_text(body)
        return Completed(tuple(argv), 0, "", "", 0.1)

    return answer


def test_a_compiled_lock_is_written_once_and_then_unchanged(
    locked: CheckContext, answering: Answering
) -> None:
    lock = locks.declared_locks(locked.root)[0]
    path = locked.root / lock.file
    path.unlink()
    seen: list[str] = []
    calls = answering(fake_uv(BODY, seen))
    locked.posargs = ("--upgrade",)
    assert CompileLock(lock).run(locked).detail == "wrote requirements/runtime.txt"
    assert Locks().run(locked).status is Status.SUCCESS
    assert CompileLock(lock).run(locked).detail == "unchanged"
    assert seen[0] == "nothing"
    assert (
        seen[1] == path.read_text()
    )  # uv gets the old lock file, and prefers its versions
    for option in (
        "--universal",
        "--generate-hashes",
        "--no-emit-index-url",
        "--upgrade",
    ):
        assert option in calls[0]


@pytest.mark.parametrize(
    ("done", "rule"),
    [
        (
            Completed(
                (), 1, "", "  × No solution found when resolving dependencies:", 0.1
            ),
            "crash",
        ),
        (Completed((), -15, "", "", 0.1, "timeout"), "timeout"),
    ],
)
def test_a_lock_that_cannot_be_compiled_is_a_failure_and_the_old_one_stays(
    locked: CheckContext, answering: Answering, done: Completed, rule: str
) -> None:
    lock = locks.declared_locks(locked.root)[0]
    before = (locked.root / lock.file).read_text()
    answering(done)
    outcome = CompileLock(lock).run(locked)
    assert (outcome.status, outcome.findings[0].rule) == (Status.FAILURE, rule)
    assert done.stderr.strip() in outcome.findings[0].message
    assert (locked.root / lock.file).read_text() == before


def test_locked_jars_are_read_with_their_coordinates_and_hashes(
    locked: CheckContext,
) -> None:
    [jar] = locks.read_jars(locked.root)
    assert jar == Jar("io.delta", "delta-storage", "3.3.2", "c0" * 32)
    assert (jar.coordinate, jar.file) == (
        "io.delta:delta-storage:3.3.2",
        "delta-storage-3.3.2.jar",
    )


@pytest.mark.parametrize(
    "line",
    [
        "io.delta:delta-storage:3.3.2",
        "io.delta:delta-storage:3.3.2 --hash=sha256:c0",
        "io.delta:delta-storage --hash=sha256:" + "c0" * 32,
        "../../etc:passwd:1/2 --hash=sha256:" + "c0" * 32,
    ],
)
def test_a_jar_without_all_of_these_is_refused_with_its_line(
    locked: CheckContext, line: str
) -> None:
    path = locked.root / "requirements" / "jars.txt"
    path.write_text(path.read_text() + f"\n{line}\n")
    with pytest.raises(
        LakeCiError, match=r"requirements/jars\.txt:6: not a locked jar"
    ):
        locks.read_jars(locked.root)
