"""Builds, checks and installs the wheel and the sdist."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from lake_ci.model.results import Finding, Outcome, Status, count
from lake_ci.model.settings import read_settings
from lake_ci.runner.check import (
    Check,
    CheckContext,
    CommandCheck,
    stopped,
    stopped_or_crashed,
)
from lake_ci.system import git, interpreters
from lake_ci.system.atomic_write import write_whole
from lake_ci.system.environment import uv_program
from lake_ci.system.processes import Completed
from lake_ci.system.pyproject import read_project

DIST = "dist"
KINDS = {"wheel": "*.whl", "sdist": "*.tar.gz"}


class Version(Check):
    """Determine the version from git's tags; warn about uncommitted changes."""

    name = "version"
    exclusive = True

    def run(self, ctx: CheckContext) -> Outcome:
        shutil.rmtree(ctx.root / DIST, ignore_errors=True)
        problem = no_version(ctx.root)
        if problem is not None:
            return Outcome.failure(self.name, "no-version", problem)
        done = ctx.execute([ctx.bin("versioningit"), str(ctx.root)])
        if done.code != 0:
            return stopped_or_crashed(self.name, done)
        version = done.stdout.strip()
        if git.is_dirty(ctx.root):
            return Outcome(
                Status.WARNING, f"{version}: the tree is dirty; commit before a release"
            )
        return Outcome(Status.SUCCESS, version)


def no_version(root: Path) -> str | None:
    """Return why git does not define the version, and which command to run next.

    The result is None if git defines the version.
    """
    if git.commit(root) is None:
        return "not a git checkout with a commit: run `git clone` and build there"
    if git.is_shallow(root) and git.version_tag(root) is None:
        return (
            "this clone is shallow and has no version tag:"
            " run `git fetch --unshallow --tags`"
        )
    released = _released(root)
    if released and git.version_tag(root) is None:
        return (
            f"CHANGELOG.md has the release {released}, but this clone has no version"
            " tag: run `git fetch --tags`"
        )
    return None


def _released(root: Path) -> str | None:
    """Return the newest release in the changelog, or None."""
    try:
        text = (root / "CHANGELOG.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = re.search(r"^## \[?v?(\d+\.\d[\w.]*)", text, re.MULTILINE)
    return match[1] if match else None


def build_command(
    ctx: CheckContext, kind: str, source: Path, folder: Path
) -> list[str]:
    """Return the command that builds a distribution in the session's environment."""
    build = [str(ctx.python), "-m", "build", f"--{kind}", "--no-isolation"]
    return [*build, "--outdir", str(folder), str(source)]


def build_env(ctx: CheckContext) -> dict[str, str]:
    """Return the environment variables of a build.

    With these variables, all files in the archives have the date of the commit.
    """
    return {**ctx.env, "SOURCE_DATE_EPOCH": str(git.commit_time(ctx.root))}


class BuildDistribution(Check):
    """Build a distribution with `python -m build`, and move the file to dist/."""

    exclusive = True

    def __init__(self, kind: str) -> None:
        self.name = self.kind = kind

    def run(self, ctx: CheckContext) -> Outcome:
        if no_version(ctx.root) is not None:
            return Outcome(Status.SKIPPED, "no version")
        folder = ctx.reports / f".{self.kind}"
        done = ctx.execute(
            build_command(ctx, self.kind, ctx.root, folder), env=build_env(ctx)
        )
        if done.code != 0:
            return stopped_or_crashed(self.name, done)
        [built] = folder.glob(KINDS[self.kind])
        (ctx.root / DIST).mkdir(exist_ok=True)
        file = built.replace(ctx.root / DIST / built.name)
        folder.rmdir()
        return Outcome(
            Status.SUCCESS, f"{file.name}, {file.stat().st_size / 1000:,.1f} kB"
        )


class DistributionCheck(Check):
    """The base class of checks that are skipped if the wheel or sdist is missing."""

    def run(self, ctx: CheckContext) -> Outcome:
        wheel, sdist = (
            next((ctx.root / DIST).glob(pattern), None) for pattern in KINDS.values()
        )
        if wheel is None or sdist is None:
            return Outcome(
                Status.SKIPPED,
                f"{'the wheel' if wheel is None else 'the sdist'} was not built",
            )
        return self.check(wheel, sdist, ctx)

    def check(self, wheel: Path, sdist: Path, ctx: CheckContext) -> Outcome:
        """Check the wheel and the sdist, and return the outcome."""
        raise NotImplementedError


class _Command(CommandCheck):
    """The base class of checks that run a program on the wheel and the sdist."""

    def __init__(self, name: str, program: str, arguments: Iterable[str]) -> None:
        self.name = name
        self.program = program
        self.arguments = list(arguments)

    def command(self, ctx: CheckContext) -> list[str]:
        return [ctx.bin(self.program), *self.arguments]


class Twine(DistributionCheck):
    """Check the metadata and the description with `twine check --strict`."""

    name = "twine"

    class Command(_Command):
        def environment(self, ctx: CheckContext) -> dict[str, str]:
            # Set a large width, because twine breaks lines at the terminal's width.
            return {"COLUMNS": "1000"}

        def findings(self, done: Completed, ctx: CheckContext) -> Iterator[Finding]:
            readme = read_project(ctx.root)["project"].get("readme", "pyproject.toml")
            seen = set()
            # The indented lines below a message belong to the message. One of the
            # indented lines contains the line number.
            for match in re.finditer(
                r"^(ERROR|WARNING) +(.+(?:\n +.*)*)", done.stdout, re.MULTILINE
            ):
                message = "\n".join(
                    line.strip() for line in match[2].splitlines() if line.strip()
                )
                if message in seen:
                    continue
                seen.add(message)
                line = re.search(r"line (\d+)", message)
                yield Finding(
                    "twine",
                    match[1].lower(),
                    message,
                    readme,
                    int(line[1]) if line else 1,
                )

    def check(self, wheel: Path, sdist: Path, ctx: CheckContext) -> Outcome:
        arguments = [
            "--no-color",
            "check",
            "--strict",
            ctx.relative(wheel),
            ctx.relative(sdist),
        ]
        return self.Command(self.name, "twine", arguments).run(ctx)


class WheelContents(DistributionCheck):
    """Check the files of the wheel with check-wheel-contents."""

    name = "check-wheel-contents"

    class Command(_Command):
        def findings(self, done: Completed, ctx: CheckContext) -> Iterator[Finding]:
            for match in re.finditer(
                r"^(?P<file>\S+\.whl): (?P<rule>W\d+): (?P<message>.+)$",
                done.stdout,
                re.M,
            ):
                yield Finding(
                    self.name,
                    match["rule"],
                    match["message"],
                    ctx.relative(match["file"]),
                    1,
                )

    def check(self, wheel: Path, sdist: Path, ctx: CheckContext) -> Outcome:
        return self.Command(
            self.name, "check-wheel-contents", [ctx.relative(wheel)]
        ).run(ctx)


class DistributionContents(DistributionCheck):
    """Check that wheel and sdist contain exactly the packages' files that git tracks.

    A build ships all files in a package's folder, even a backup file. So each file must
    match a pattern of `files` in `[tool.lake_ci.build]`.
    """

    name = "contents"

    def check(self, wheel: Path, sdist: Path, ctx: CheckContext) -> Outcome:
        targets = read_project(ctx.root)["tool"]["hatch"]["build"]["targets"]
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
        info = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
        metadata = [
            "METADATA",
            "WHEEL",
            "RECORD",
            "entry_points.txt",
            "licenses/LICENSE",
        ]
        expected = {f"{info}/{name}": "pyproject.toml" for name in metadata}
        shipped: list[str] = []
        for package in targets["wheel"]["packages"]:
            parent = Path(package).parent
            files = git.files(ctx.root, package)
            expected.update(
                {Path(file).relative_to(parent).as_posix(): file for file in files}
            )
            shipped += files
        found = list(self._compare(wheel, expected, names, ctx))
        found += self._undeclared(shipped, ctx)
        total = len(names)

        with tarfile.open(sdist) as archive:
            names = [
                member.name.partition("/")[2]
                for member in archive.getmembers()
                if member.isfile()
            ]
        # hatchling always adds PKG-INFO and .gitignore to an sdist.
        expected = {"PKG-INFO": "pyproject.toml", ".gitignore": ".gitignore"}
        expected.update(
            {
                file: file
                for file in git.files(ctx.root, *targets["sdist"]["only-include"])
            }
        )
        found += self._compare(sdist, expected, names, ctx)
        return Outcome.of(found, clean=f"{total} and {len(names)} files")

    def _undeclared(
        self, shipped: Iterable[str], ctx: CheckContext
    ) -> Iterator[Finding]:
        """Yield a finding for each shipped file that matches no pattern of `files`."""
        patterns = read_settings(ctx.root).build.files
        for file in shipped:
            name = Path(file).name
            if not any(
                fnmatchcase(file if "/" in pattern else name, pattern)
                for pattern in patterns
            ):
                message = (
                    f"{file} would be shipped; remove the file, or add a pattern to"
                    " `files` in [tool.lake_ci.build]"
                )
                yield Finding(self.name, "undeclared", message, file, 1)

    def _compare(
        self,
        archive: Path,
        expected: dict[str, str],
        actual: list[str],
        ctx: CheckContext,
    ) -> Iterator[Finding]:
        for name in sorted(expected.keys() - set(actual)):
            yield Finding(
                self.name, "missing", f"{archive.name} lacks {name}", expected[name], 1
            )
        for name in sorted(set(actual) - expected.keys()):
            message = (
                f"{archive.name} contains {name}, which is not a file of a package"
            )
            yield Finding(self.name, "unexpected", message, ctx.relative(archive), 1)


class ReproducibilityCheck(DistributionCheck):
    """Check that a second build creates the same archives, byte for byte.

    The second build has a different umask, time zone and hash seed. In addition, a
    wheel is built from the sdist, and must be identical to the wheel in dist/.
    """

    name = "reproducible"

    def check(self, wheel: Path, sdist: Path, ctx: CheckContext) -> Outcome:
        env = {
            **build_env(ctx),
            "TZ": "Pacific/Kiritimati",
            "PYTHONHASHSEED": "4711",
            "LC_ALL": "C",
        }
        scratch = ctx.reports / ".again"
        found = []
        with tarfile.open(sdist) as archive:
            archive.extractall(scratch, filter="data")
        [unpacked] = scratch.iterdir()
        for first, kind, source, how in (
            (
                sdist,
                "sdist",
                ctx.root,
                "built again, with a different umask, time zone and hash seed",
            ),
            (
                wheel,
                "wheel",
                ctx.root,
                "built again, with a different umask, time zone and hash seed",
            ),
            (wheel, "wheel", unpacked, "built from the unpacked sdist"),
        ):
            folder = scratch / f"{kind}-{source.name}"
            command = build_command(ctx, kind, source, folder)
            done = ctx.execute(
                ["/bin/sh", "-c", 'umask 077 && exec "$@"', "sh", *command], env=env
            )
            if done.code != 0:
                return stopped_or_crashed(self.name, done)
            [second] = folder.iterdir()
            for message, file in archive_differences(first, second):
                found.append(
                    Finding(
                        self.name, "differs", f"{first.name}, {how}: {message}", file, 1
                    )
                )
        shutil.rmtree(scratch)
        return Outcome.of(found, clean="twice, and from the sdist")


def archive_differences(first: Path, second: Path) -> Iterator[tuple[str, str]]:
    """Yield the differences between two archives, each as a message and a file name."""
    if first.name != second.name:
        yield f"is now called {second.name}", first.name
    elif first.read_bytes() != second.read_bytes():
        one, two = _members(first), _members(second)
        names = sorted(
            name for name in one.keys() | two.keys() if one.get(name) != two.get(name)
        )
        for name in names:
            missing = name not in one or name not in two
            yield f"{name} {'is in only one archive' if missing else 'differs'}", name
        if not names:
            yield "only dates, modes or order differ", first.name


def _members(archive: Path) -> dict[str, bytes]:
    """Return the contents of the files in an archive, by the files' names.

    The result does not include the file RECORD: it contains the hashes of all other
    files, and would only repeat their differences.
    """
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return {
                name: wheel.read(name)
                for name in wheel.namelist()
                if not name.endswith(".dist-info/RECORD")
            }
    with tarfile.open(archive) as sdist:
        files = {
            member.name: sdist.extractfile(member) for member in sdist.getmembers()
        }
        return {name: file.read() for name, file in files.items() if file is not None}


def install_folder(ctx: CheckContext, python: str) -> Path:
    return ctx.reports / f".install-{python}"


class InstallWheel(DistributionCheck):
    """Install the wheel with the locked dependencies, and run the wheel's command."""

    def __init__(self, python: str) -> None:
        self.python = python
        self.name = f"install {python}"

    def check(self, wheel: Path, sdist: Path, ctx: CheckContext) -> Outcome:
        folder = install_folder(ctx, self.python)
        uv = uv_program() or "uv"
        venv = ctx.execute(
            [uv, "venv", "--quiet", "--python", self.python, str(folder)]
        )
        if venv.code != 0:
            cut = stopped(self.name, venv)
            if cut is not None:
                return cut
            message = interpreters.missing(self.python, ctx.env)
            return Outcome(
                Status.WARNING, f"no Python {self.python}", not_checked=message
            )
        name, version = wheel.name.split("-")[:2]
        install = [uv, "pip", "install", "--quiet", "--python", str(folder)]
        for step in (
            [*install, "--require-hashes", "-r", "requirements/runtime.txt"],
            # Install the wheel by its name. If the wheel were installed by its path,
            # the environment and the SBOM would contain this path.
            [
                *install,
                "--no-deps",
                "--no-index",
                "--find-links",
                DIST,
                f"{name}=={version}",
            ],
            [uv, "pip", "check", "--quiet", "--python", str(folder)],
        ):
            done = ctx.execute(step, env=ctx.env_of("packages"))
            if done.code != 0:
                return stopped_or_crashed(self.name, done)
        done = ctx.execute([str(folder / "bin" / name), "--version"], cwd=ctx.reports)
        if done.code != 0 or version not in done.stdout:
            return stopped_or_crashed(
                self.name, done, f"`{name} --version` does not print {version}"
            )
        return Outcome(Status.SUCCESS, done.stdout.strip())


class Sbom(DistributionCheck):
    """Write a CycloneDX bill of materials of the installed wheel."""

    name = "sbom"
    exclusive = True

    def __init__(self, pythons: Iterable[str]) -> None:
        self.pythons = list(pythons)

    def check(self, wheel: Path, sdist: Path, ctx: CheckContext) -> Outcome:
        installed = [
            folder
            for python in self.pythons
            if (folder := install_folder(ctx, python)).is_dir()
        ]
        if not installed:
            return Outcome(Status.SKIPPED, "the wheel was not installed")
        file = ctx.reports / "sbom.json"
        command = [
            ctx.bin("cyclonedx-py"),
            "environment",
            "--output-reproducible",
            "--of",
            "JSON",
            "-o",
            str(file),
        ]
        done = ctx.execute([*command, str(installed[-1])])
        if done.code != 0:
            return stopped_or_crashed(self.name, done)
        for folder in installed:
            shutil.rmtree(folder)
        components = {
            row["name"]
            for row in json.loads(file.read_text(encoding="utf-8")).get(
                "components", ()
            )
        }
        if wheel.name.split("-")[0] not in components:
            return Outcome.failure(
                self.name,
                "empty",
                "the bill of materials does not name the wheel itself",
            )
        return Outcome(Status.SUCCESS, count(len(components), "component"))


class Checksums(DistributionCheck):
    """Write SHA256SUMS of the wheel and the sdist; add the digests to the result."""

    name = "checksums"

    def check(self, wheel: Path, sdist: Path, ctx: CheckContext) -> Outcome:
        files = sorted((ctx.root / DIST).iterdir())
        if files != sorted([wheel, sdist]):
            others = ", ".join(
                file.name for file in files if file not in (wheel, sdist)
            )
            return Outcome.failure(
                self.name,
                "unexpected",
                f"dist/ contains files of another build: {others}",
            )
        digests = {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files
        }
        lines = [f"{digest}  {name}\n" for name, digest in digests.items()]
        write_whole(ctx.reports / "SHA256SUMS", "".join(lines))
        # `nox -s verify` compares these digests with the files.
        data = {"sha256": digests}
        return Outcome(Status.SUCCESS, count(len(files), "file"), data=data)
