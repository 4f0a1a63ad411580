"""The wheel and the sdist are built, checked and installed. The archives in these tests
are small real files.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lake_ci.checks.packaging import packaging
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import Check, CheckContext
from lake_ci.system.processes import Completed

Git = Callable[..., str]
Answering = Callable[..., list[list[str]]]

PROJECT = """\
[project]
name = "lakekit"
readme = "README.md"
[tool.hatch.build.targets.wheel]
packages = ["utils/lakekit"]
[tool.hatch.build.targets.sdist]
only-include = ["utils/lakekit", "README.md", "pyproject.toml"]
[tool.lake_ci.build]
files = ["*.py", "py.typed", "utils/lakekit/*/sql/*.sql"]
"""
INFO = "lakekit-1.0.dist-info"
METADATA = ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
WHEEL = {
    "lakekit/__init__.py": b"",
    "lakekit/nyc_flights/sql/orders.sql": b"select 1",
    **{f"{INFO}/{name}": name.encode() for name in METADATA},
}
SDIST = {
    "README.md": b"# lakekit",
    "pyproject.toml": PROJECT.encode(),
    "utils/lakekit/__init__.py": b"",
    "utils/lakekit/nyc_flights/sql/orders.sql": b"select 1",
    "PKG-INFO": b"Name: lakekit",
    ".gitignore": b"/dist/",
}


def pack_wheel(path: Path, content: dict[str, bytes], date: int = 1980) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(zipfile.ZipInfo(name, (date, 1, 1, 0, 0, 0)), data)
    return path


def pack_sdist(
    path: Path, content: dict[str, bytes], date: int = 0, top: str = "lakekit-1.0"
) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size, member.mtime = len(data), date
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture
def project(ctx: CheckContext, git: Git) -> CheckContext:
    """Return a repository with a package. All files are committed."""
    for name, data in SDIST.items():
        if name != "PKG-INFO" and name != ".gitignore":
            (ctx.root / name).parent.mkdir(parents=True, exist_ok=True)
            (ctx.root / name).write_bytes(data)
    git(ctx.root, "add", ".")
    git(ctx.root, "commit", "-q", "-m", "package")
    return ctx


@pytest.fixture
def built(project: CheckContext) -> CheckContext:
    """Return the project with a wheel and an sdist in dist/."""
    (project.root / "dist").mkdir()
    pack_wheel(project.root / "dist" / "lakekit-1.0-py3-none-any.whl", WHEEL)
    pack_sdist(project.root / "dist" / "lakekit-1.0.tar.gz", SDIST)
    return project


def completed(
    code: int = 0, stdout: str = "", stderr: str = "", stopped: str | None = None
) -> Completed:
    return Completed(("tool",), code, stdout, stderr, 0.1, stopped)


CUT_SHORT = completed(-15, stopped="timeout")
FAILED = completed(2, stderr="disk full")


# Version


def test_the_version_is_what_versioningit_says_and_old_builds_are_gone(
    built: CheckContext, answering: Answering
) -> None:
    calls = answering(completed(stdout="1.0\n"))
    assert packaging.Version().run(built) == Outcome(Status.SUCCESS, "1.0")
    assert calls == [[built.bin("versioningit"), str(built.root)]]
    assert not (built.root / "dist").exists()


def test_a_dirty_tree_is_advice(project: CheckContext, answering: Answering) -> None:
    (project.root / "new.py").touch()
    answering(completed(stdout="1.0+g0.dirty\n"))
    outcome = packaging.Version().run(project)
    assert (outcome.status, outcome.not_checked) == (Status.WARNING, None)
    assert outcome.detail == "1.0+g0.dirty: the tree is dirty; commit before a release"


@pytest.mark.parametrize("done", [FAILED, CUT_SHORT])
def test_a_version_that_cannot_be_told_is_a_failure(
    project: CheckContext, answering: Answering, done: Completed
) -> None:
    answering(done)
    assert packaging.Version().run(project).status is Status.FAILURE


def test_a_shallow_clone_without_a_tag_is_refused_with_the_fix(
    project: CheckContext, tmp_path: Path, git: Git
) -> None:
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{project.root}", "shallow")
    project.root = tmp_path / "shallow"
    outcome = packaging.Version().run(project)
    assert outcome.status is Status.FAILURE
    assert (
        outcome.detail == "this clone is shallow and has no version tag: "
        "run `git fetch --unshallow --tags`"
    )
    assert packaging.BuildDistribution("wheel").run(project) == Outcome(
        Status.SKIPPED, "no version"
    )


def test_a_clone_without_the_tags_of_a_released_project_is_refused(
    project: CheckContext, tmp_path: Path, git: Git, answering: Answering
) -> None:
    answering(completed(stdout="1.0\n"))
    git(tmp_path, "clone", "-q", "--no-tags", str(project.root), "tagless")
    project.root = tmp_path / "tagless"
    changelog = project.root / "CHANGELOG.md"
    changelog.write_text("# Changelog\n\n## Unreleased\n")
    assert packaging.no_version(project.root) is None
    changelog.write_text("# Changelog\n\n## Unreleased\n\n## [1.0.0] - 2026-01-01\n")
    outcome = packaging.Version().run(project)
    assert outcome.status is Status.FAILURE
    assert "1.0.0" in outcome.detail and "git fetch --tags" in outcome.detail
    git(project.root, "tag", "v1.0.0")
    assert packaging.no_version(project.root) is None


def test_a_shallow_clone_with_the_tag_is_enough(
    project: CheckContext, tmp_path: Path, git: Git, answering: Answering
) -> None:
    git(project.root, "tag", "v1.0")
    git(
        tmp_path,
        "clone",
        "-q",
        "--depth",
        "1",
        "--branch",
        "v1.0",
        f"file://{project.root}",
        "shallow",
    )
    project.root = tmp_path / "shallow"
    answering(completed(stdout="1.0\n"))
    assert packaging.Version().run(project).detail == "1.0"


def test_a_folder_without_git_is_refused(
    project: CheckContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    project.root = tmp_path
    assert "not a git checkout" in packaging.Version().run(project).detail


# Build


def building(name: str) -> Callable[[list[str]], Completed]:
    def answer(argv: list[str]) -> Completed:
        folder = Path(argv[argv.index("--outdir") + 1])
        folder.mkdir(parents=True)
        (folder / name).write_bytes(b"0" * 2500)
        return completed()

    return answer


@pytest.mark.parametrize(
    ("kind", "name"),
    [("wheel", "lakekit-1.0-py3-none-any.whl"), ("sdist", "lakekit-1.0.tar.gz")],
)
def test_a_build_lands_in_dist_with_the_dates_of_the_commit(
    project: CheckContext, answering: Answering, git: Git, kind: str, name: str
) -> None:
    calls = answering(building(name))
    assert packaging.BuildDistribution(kind).run(project) == Outcome(
        Status.SUCCESS, f"{name}, 2.5 kB"
    )
    assert [path.name for path in (project.root / "dist").iterdir()] == [name]
    assert f"--{kind}" in calls[0]
    assert list(project.reports.iterdir()) == []
    env = packaging.build_env(project)
    assert env["SOURCE_DATE_EPOCH"] == git(project.root, "log", "-1", "--format=%ct")


@pytest.mark.parametrize("done", [FAILED, CUT_SHORT])
def test_a_failed_build_leaves_nothing_in_dist(
    project: CheckContext, answering: Answering, done: Completed
) -> None:
    answering(done)
    assert packaging.BuildDistribution("wheel").run(project).status is Status.FAILURE
    assert not (project.root / "dist").exists()


@pytest.mark.parametrize(
    "tool",
    [
        packaging.Twine(),
        packaging.WheelContents(),
        packaging.DistributionContents(),
        packaging.ReproducibilityCheck(),
        packaging.InstallWheel("3.10"),
        packaging.Sbom(["3.10"]),
        packaging.Checksums(),
    ],
)
def test_what_was_not_built_is_not_checked(built: CheckContext, tool: Check) -> None:
    (built.root / "dist" / "lakekit-1.0.tar.gz").unlink()
    assert tool.run(built) == Outcome(Status.SKIPPED, "the sdist was not built")
    (built.root / "dist" / "lakekit-1.0-py3-none-any.whl").unlink()
    assert tool.run(built) == Outcome(Status.SKIPPED, "the wheel was not built")


def test_a_check_of_distributions_must_say_what_it_checks(built: CheckContext) -> None:
    with pytest.raises(NotImplementedError):
        packaging.DistributionCheck().run(built)


# The output of twine and check-wheel-contents for broken packages

TWINE_MARKUP = """\
Checking dist/lakekit-1.0-py3-none-any.whl: FAILED
ERROR    `long_description` has syntax errors in markup and would not be \
rendered on PyPI.
         line 4: Error: Unknown directive type "unknown".

         .. unknown:: x
Checking dist/lakekit-1.0.tar.gz: FAILED
ERROR    `long_description` has syntax errors in markup and would not be \
rendered on PyPI.
         line 4: Error: Unknown directive type "unknown".

         .. unknown:: x
"""
TWINE_WARNINGS = """\
Checking dist/lakekit-1.0-py3-none-any.whl: FAILED due to warnings
WARNING  `long_description_content_type` missing. defaulting to `text/x-rst`.
WARNING  `long_description` missing.
"""
WHEEL_CONTENTS = """\
dist/lakekit-1.0-py3-none-any.whl: W005: Wheel contains common toplevel name in library:
  tests/
dist/lakekit-1.0-py3-none-any.whl: W009: Wheel contains multiple \
toplevel library entries:
  pkg/
  tests/
"""


def test_twine_names_each_objection_once_with_its_line_of_the_readme(
    built: CheckContext, answering: Answering
) -> None:
    answering(completed(1, TWINE_MARKUP))
    [finding] = packaging.Twine().run(built).findings
    assert (finding.place, finding.rule) == ("README.md:4", "error")
    assert 'Unknown directive type "unknown".' in finding.message


def test_twines_warnings_are_findings(
    built: CheckContext, answering: Answering
) -> None:
    answering(completed(1, TWINE_WARNINGS))
    outcome = packaging.Twine().run(built)
    assert [
        (finding.place, finding.rule, finding.message) for finding in outcome.findings
    ] == [
        (
            "README.md:1",
            "warning",
            "`long_description_content_type` missing. defaulting to `text/x-rst`.",
        ),
        ("README.md:1", "warning", "`long_description` missing."),
    ]


def test_check_wheel_contents_names_rule_and_wheel(
    built: CheckContext, answering: Answering
) -> None:
    calls = answering(completed(1, WHEEL_CONTENTS))
    outcome = packaging.WheelContents().run(built)
    assert [(finding.place, finding.rule) for finding in outcome.findings] == [
        ("dist/lakekit-1.0-py3-none-any.whl:1", "W005"),
        ("dist/lakekit-1.0-py3-none-any.whl:1", "W009"),
    ]
    assert calls == [
        [built.bin("check-wheel-contents"), "dist/lakekit-1.0-py3-none-any.whl"]
    ]


@pytest.mark.parametrize("tool", [packaging.Twine(), packaging.WheelContents()])
def test_both_pass_clean_packages_and_crash_on_words_they_do_not_know(
    built: CheckContext, answering: Answering, tool: Check
) -> None:
    answering(completed(0, "Checking dist/lakekit-1.0.tar.gz: PASSED\n"))
    assert tool.run(built).status is Status.SUCCESS
    answering(completed(1, "a new way to say no\n"))
    outcome = tool.run(built)
    assert (outcome.status, outcome.findings[0].rule) == (Status.FAILURE, "crash")
    assert outcome.findings[0].message.endswith("a new way to say no")


# Contents


def test_every_file_of_the_package_and_no_other_is_success(built: CheckContext) -> None:
    assert packaging.DistributionContents().run(built) == Outcome(
        Status.SUCCESS, "7 and 6 files"
    )


def test_a_file_that_is_missing_or_too_much_is_named(built: CheckContext) -> None:
    dist = built.root / "dist"
    lacking = "lakekit/nyc_flights/sql/orders.sql"
    wheel = {name: data for name, data in WHEEL.items() if name != lacking}
    pack_wheel(dist / "lakekit-1.0-py3-none-any.whl", {**wheel, "tests/test_a.py": b""})
    sdist = {name: data for name, data in SDIST.items() if name != "README.md"}
    pack_sdist(dist / "lakekit-1.0.tar.gz", {**sdist, ".env": b"secret"})
    assert [
        (finding.rule, finding.place, finding.message)
        for finding in packaging.DistributionContents().run(built).findings
    ] == [
        (
            "missing",
            "utils/lakekit/nyc_flights/sql/orders.sql:1",
            "lakekit-1.0-py3-none-any.whl lacks lakekit/nyc_flights/sql/orders.sql",
        ),
        (
            "unexpected",
            "dist/lakekit-1.0-py3-none-any.whl:1",
            (
                "lakekit-1.0-py3-none-any.whl contains tests/test_a.py, which is not"
                " a file of a package"
            ),
        ),
        ("missing", "README.md:1", "lakekit-1.0.tar.gz lacks README.md"),
        (
            "unexpected",
            "dist/lakekit-1.0.tar.gz:1",
            "lakekit-1.0.tar.gz contains .env, which is not a file of a package",
        ),
    ]


def test_a_new_file_that_git_does_not_ignore_belongs_into_both(
    built: CheckContext,
) -> None:
    (built.root / "utils" / "lakekit" / "new.py").touch()
    assert [
        finding.message
        for finding in packaging.DistributionContents().run(built).findings
    ] == [
        "lakekit-1.0-py3-none-any.whl lacks lakekit/new.py",
        "lakekit-1.0.tar.gz lacks utils/lakekit/new.py",
    ]


def test_a_file_of_another_kind_is_named(built: CheckContext) -> None:
    (built.root / "utils" / "lakekit" / "notes.bak").touch()
    found = packaging.DistributionContents().run(built).findings
    assert [(each.rule, each.place) for each in found if each.rule != "missing"] == [
        ("undeclared", "utils/lakekit/notes.bak:1")
    ]


# Reproducibility


def rebuilding(
    wheel: dict[str, bytes], sdist: dict[str, bytes]
) -> Callable[[list[str]], Completed]:
    """Return a fake `python -m build` that writes archives with these files."""

    def answer(argv: list[str]) -> Completed:
        folder = Path(argv[argv.index("--outdir") + 1])
        folder.mkdir(parents=True)
        if "--wheel" in argv:
            pack_wheel(folder / "lakekit-1.0-py3-none-any.whl", wheel)
        else:
            pack_sdist(folder / "lakekit-1.0.tar.gz", sdist)
        return completed()

    return answer


def test_the_same_bytes_three_times_are_success_and_leave_nothing_behind(
    built: CheckContext, answering: Answering
) -> None:
    calls = answering(rebuilding(WHEEL, SDIST))
    assert packaging.ReproducibilityCheck().run(built) == Outcome(
        Status.SUCCESS, "twice, and from the sdist"
    )
    assert len(calls) == 3
    assert calls[2][-1] == str(built.reports / ".again" / "lakekit-1.0")
    assert list(built.reports.iterdir()) == []


def test_other_bytes_are_named_with_the_file_and_the_build(
    built: CheckContext, answering: Answering
) -> None:
    answering(rebuilding({**WHEEL, "lakekit/__init__.py": b"built = 12:00"}, SDIST))
    assert [
        (finding.place, finding.message)
        for finding in packaging.ReproducibilityCheck().run(built).findings
    ] == [
        (
            "lakekit/__init__.py:1",
            f"lakekit-1.0-py3-none-any.whl, {how}: lakekit/__init__.py differs",
        )
        for how in (
            "built again, with a different umask, time zone and hash seed",
            "built from the unpacked sdist",
        )
    ]


@pytest.mark.parametrize("done", [FAILED, CUT_SHORT])
def test_a_second_build_that_fails_is_a_failure(
    built: CheckContext, answering: Answering, done: Completed
) -> None:
    answering(done)
    assert packaging.ReproducibilityCheck().run(built).status is Status.FAILURE


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (WHEEL, []),
        (
            {**WHEEL, "lakekit/__init__.py": b"x"},
            [("lakekit/__init__.py differs", "lakekit/__init__.py")],
        ),
        ({**WHEEL, "extra.py": b""}, [("extra.py is in only one archive", "extra.py")]),
        (
            {**WHEEL, f"{INFO}/RECORD": b"x"},
            [("only dates, modes or order differ", "a.whl")],
        ),
        (
            dict(reversed(WHEEL.items())),
            [("only dates, modes or order differ", "a.whl")],
        ),
    ],
)
def test_differences_of_wheels_are_told_by_file(
    tmp_path: Path, second: dict[str, bytes], expected: list[tuple[str, str]]
) -> None:
    (tmp_path / "again").mkdir()
    first = pack_wheel(tmp_path / "a.whl", WHEEL)
    assert (
        list(
            packaging.archive_differences(
                first, pack_wheel(tmp_path / "again" / "a.whl", second)
            )
        )
        == expected
    )


def test_differences_of_sdists_are_told_by_file_or_date(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    first, again = (
        pack_sdist(tmp_path / "a.tar.gz", SDIST),
        tmp_path / "again" / "a.tar.gz",
    )
    assert list(packaging.archive_differences(first, pack_sdist(again, SDIST))) == []
    assert list(
        packaging.archive_differences(first, pack_sdist(again, SDIST, date=1))
    ) == [("only dates, modes or order differ", "a.tar.gz")]
    assert list(
        packaging.archive_differences(
            first, pack_sdist(again, {**SDIST, "README.md": b"x"})
        )
    ) == [("lakekit-1.0/README.md differs", "lakekit-1.0/README.md")]


def test_another_version_is_a_difference_of_name(tmp_path: Path) -> None:
    first, second = pack_wheel(tmp_path / "a-1.whl", WHEEL), pack_wheel(
        tmp_path / "a-2.whl", WHEEL
    )
    assert list(packaging.archive_differences(first, second)) == [
        ("is now called a-2.whl", "a-1.whl")
    ]


# Installation


def test_the_wheel_installs_with_the_locked_dependencies_alone_and_starts(
    built: CheckContext, answering: Answering
) -> None:
    calls = answering(*[completed()] * 4, completed(stdout="lakekit 1.0\n"))
    assert packaging.InstallWheel("3.10").run(built) == Outcome(
        Status.SUCCESS, "lakekit 1.0"
    )
    venv, dependencies, wheel, check, start = calls
    assert venv[1:5] == ["venv", "--quiet", "--python", "3.10"]
    assert dependencies[-3:] == ["--require-hashes", "-r", "requirements/runtime.txt"]
    assert wheel[-1] == "lakekit==1.0"
    assert "--no-index" in wheel
    assert check[1:3] == ["pip", "check"]
    assert start == [
        str(built.reports / ".install-3.10" / "bin" / "lakekit"),
        "--version",
    ]


def test_a_missing_python_is_an_incomplete_check_that_says_how_to_get_it(
    built: CheckContext, answering: Answering
) -> None:
    answering(completed(2, stderr="error: No interpreter found for Python 3.9"))
    outcome = packaging.InstallWheel("3.9").run(built)
    assert (outcome.status, outcome.detail) == (Status.WARNING, "no Python 3.9")
    assert outcome.not_checked is not None
    assert "uv python install 3.9" in outcome.not_checked


@pytest.mark.parametrize("step", range(5))
def test_a_step_at_the_time_limit_is_a_timeout(
    built: CheckContext, answering: Answering, step: int
) -> None:
    answering(*[completed()] * step, CUT_SHORT)
    assert packaging.InstallWheel("3.10").run(built).findings[0].rule == "timeout"


@pytest.mark.parametrize(
    ("done", "words"),
    [
        ([completed(), FAILED], "install 3.10 "),
        (
            [completed()] * 3 + [completed(1, stderr="lakekit requires click")],
            " 1",
        ),
        (
            [completed()] * 4 + [completed(1, stderr="ModuleNotFoundError")],
            "`lakekit --version` does not print 1.0",
        ),
        (
            [completed()] * 4 + [completed(0, "lakekit 0.9")],
            "`lakekit --version` does not print 1.0",
        ),
    ],
)
def test_a_step_that_fails_is_a_failure_with_its_last_lines(
    built: CheckContext, answering: Answering, done: list[Completed], words: str
) -> None:
    answering(*done)
    outcome = packaging.InstallWheel("3.10").run(built)
    assert outcome.status is Status.FAILURE
    assert words in outcome.detail
    assert outcome.findings[0].message.endswith(done[-1].last_lines())


# SBOM and checksums


def listing(*names: str) -> Callable[[list[str]], Completed]:
    def answer(argv: list[str]) -> Completed:
        body: dict[str, Any] = (
            {"components": [{"name": name} for name in names]} if names else {}
        )
        Path(argv[argv.index("-o") + 1]).write_text(json.dumps(body))
        return completed()

    return answer


@pytest.fixture
def installed(built: CheckContext) -> CheckContext:
    """Return the project, whose wheel is already installed for two of three Python
    versions.
    """
    for python in ("3.9", "3.10"):
        packaging.install_folder(built, python).mkdir()
    return built


SBOM = packaging.Sbom(["3.9", "3.10", "3.11"])


def test_the_bill_of_materials_counts_what_was_installed_and_clears_away(
    installed: CheckContext, answering: Answering
) -> None:
    calls = answering(listing("lakekit", "click", "sqlglot"))
    assert SBOM.run(installed) == Outcome(Status.SUCCESS, "3 components")
    assert calls[0][-1] == str(packaging.install_folder(installed, "3.10"))
    assert [path.name for path in installed.reports.iterdir()] == ["sbom.json"]


@pytest.mark.parametrize("names", [(), ("click",)])
def test_a_bill_that_does_not_name_the_wheel_is_a_failure(
    installed: CheckContext, answering: Answering, names: tuple[str, ...]
) -> None:
    answering(listing(*names))
    assert SBOM.run(installed).findings[0].rule == "empty"


@pytest.mark.parametrize("done", [FAILED, CUT_SHORT])
def test_a_bill_that_cannot_be_had_is_a_failure(
    installed: CheckContext, answering: Answering, done: Completed
) -> None:
    answering(done)
    assert SBOM.run(installed).status is Status.FAILURE


def test_a_wheel_that_was_installed_nowhere_has_no_bill(built: CheckContext) -> None:
    assert SBOM.run(built) == Outcome(Status.SKIPPED, "the wheel was not installed")


def test_checksums_are_those_that_sha256sum_checks(built: CheckContext) -> None:
    outcome = packaging.Checksums().run(built)
    assert (outcome.status, outcome.detail) == (Status.SUCCESS, "2 files")
    lines = (built.reports / "SHA256SUMS").read_text().splitlines()
    pairs = (line.split("  ") for line in lines)
    assert outcome.data == {"sha256": {name: digest for digest, name in pairs}}
    assert [line.split("  ")[1] for line in lines] == [
        "lakekit-1.0-py3-none-any.whl",
        "lakekit-1.0.tar.gz",
    ]
    for line in lines:
        digest, name = line.split("  ")
        assert (
            hashlib.sha256((built.root / "dist" / name).read_bytes()).hexdigest()
            == digest
        )


def test_anything_else_in_dist_is_a_failure(built: CheckContext) -> None:
    (built.root / "dist" / "lakekit-0.9.tar.gz").touch()
    os.replace(
        built.root / "dist" / "lakekit-0.9.tar.gz", built.root / "dist" / "notes.txt"
    )
    outcome = packaging.Checksums().run(built)
    assert outcome.detail == "dist/ contains files of another build: notes.txt"
    assert not (built.reports / "SHA256SUMS").exists()
