"""Tests that each check of `nox -s build` finds a seeded defect, and that two builds of
one commit are identical.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from testing.acceptance.conftest import Checkout, Ran

INSTALLS = {"install 3.9", "install 3.10", "install 3.11"}
ROWS = INSTALLS | {
    "version",
    "wheel",
    "sdist",
    "twine",
    "check-wheel-contents",
    "contents",
    "checksums",
    "reproducible",
    "sbom",
}
WHEEL = "[tool.hatch.build.targets.wheel]\n"
SDIST = '"LICENSE", "pyproject.toml"]'
GOLD = "lakekit/nyc_flights/sql/gold/busiest_hours.sql"
# A build hook that, in each build, writes different content to a file of the package.
RANDOM_HOOK = f"""
import uuid
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Hook(BuildHookInterface):
    def initialize(self, version, build_data):
        file = Path(self.directory) / "random.sql"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(uuid.uuid4()))
        build_data["force_include"][str(file)] = "{GOLD}"

    def finalize(self, version, build_data, artifact_path):
        (Path(self.directory) / "random.sql").unlink()
"""

# Creates a file in dist/ that is not a distribution.
EXTRA_FILE_HOOK = """
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Hook(BuildHookInterface):
    def initialize(self, version, build_data):
        folder = Path(self.root) / "dist"
        folder.mkdir(exist_ok=True)
        (folder / "notes.txt").write_text("not a distribution")
"""
# Changes the wheel: py.typed is missing, two files that do not belong in the wheel are
# added, and the build hook writes the file GOLD.
WRONG_WHEEL = f"""\
{WHEEL}exclude = ["utils/lakekit/py.typed", "utils/{GOLD}"]
force-include = {{ "README.md" = "lakekit/stray.md", \
"CHANGELOG.md" = "stray/__init__.py" }}
hooks.custom = {{}}
"""


@pytest.fixture(scope="module")
def sound(original: Checkout) -> tuple[Checkout, Ran]:
    """Return a repository without a defect, and the result of its build. The repository
    has a commit after a tag.
    """
    original.commit()
    original.git("tag", "v1.2.3")
    original.write("NOTES", "Another commit.\n")
    original.commit()
    return original, original.nox("-s", "build", umask=0o022, env={"TZ": "UTC"})


@pytest.fixture
def repository(sound: tuple[Checkout, Ran], tmp_path: Path) -> Checkout:
    return sound[0].copy(tmp_path / "repository")


def build(repository: Checkout) -> Ran:
    """Commit the defect, because an uncommitted change is an additional finding. Then
    build.
    """
    repository.commit()
    return repository.nox("-s", "build")


def test_the_repository_itself_builds(sound: tuple[Checkout, Ran]) -> None:
    checkout, ran = sound
    ran.assert_only("build", failed=set(), rows=ROWS)
    names = [Path(path).name for path in ran.result("build").artifacts]
    assert [name for name in names if name.endswith(".json")] == ["sbom.json"]
    distributions = sorted(file.name for file in (checkout.root / "dist").iterdir())
    assert [name for name in names if name in distributions] == distributions
    assert len(distributions) == 2


def test_verify_refuses_a_wheel_with_one_other_byte(
    sound: tuple[Checkout, Ran],
) -> None:
    checkout = sound[0]
    rows = {"artifacts", "attestation"}
    strict = {"LAKE_CI_STRICT": "1"}
    ran = checkout.nox("-s", "verify", env=strict)
    ran.assert_only("verify", failed=set(), rows=rows, skipped={"attestation"})
    assert "only GitHub can prove" in ran.check("verify", "attestation").detail

    [wheel] = (checkout.root / "dist").glob("*.whl")
    built = wheel.read_bytes()
    middle = len(built) // 2
    changed = bytes([built[middle] ^ 1])
    wheel.write_bytes(built[:middle] + changed + built[middle + 1 :])
    ran = checkout.nox("-s", "verify", env=strict)
    wheel.write_bytes(built)
    ran.assert_only("verify", failed={"artifacts"}, rows={"artifacts"})
    found = ran.finding("verify", "artifacts", "refused")
    assert (found.file, found.line) == (f"dist/{wheel.name}", 1)
    assert "its sha256 does not match" in found.message


@pytest.fixture(scope="module")
def wrong_files(
    sound: tuple[Checkout, Ran], tmp_path_factory: pytest.TempPathFactory
) -> Ran:
    """Run a build with three defects: wrong files in the wheel, no description, and a
    file that differs in each build.
    """
    repository = sound[0].copy(tmp_path_factory.mktemp("files") / "repository")
    repository.write("hatch_build.py", RANDOM_HOOK)
    repository.write("utils/lakekit/notes.bak", "a backup\n")
    repository.replace("pyproject.toml", WHEEL, WRONG_WHEEL)
    repository.replace("pyproject.toml", SDIST, f'{SDIST[:-1]}, "hatch_build.py"]')
    repository.replace("pyproject.toml", 'readme = "README.md"\n', "")
    return build(repository)


def test_wrong_files_fail_the_rows_of_files_alone(wrong_files: Ran) -> None:
    failed = {"contents", "check-wheel-contents", "twine", "reproducible"}
    wrong_files.assert_only("build", failed=failed, rows=ROWS)


def test_finds_a_file_that_the_wheel_lacks(wrong_files: Ran) -> None:
    found = wrong_files.finding("build", "contents", "missing")
    assert (found.tool, found.file, found.line) == (
        "contents",
        "utils/lakekit/py.typed",
        1,
    )
    assert "lakekit/py.typed" in found.message


def test_finds_a_file_of_a_kind_that_is_not_declared(wrong_files: Ran) -> None:
    found = wrong_files.finding("build", "contents", "undeclared")
    assert (found.file, found.line) == ("utils/lakekit/notes.bak", 1)


def test_finds_files_that_do_not_belong_in_the_wheel(wrong_files: Ran) -> None:
    [wheel] = [
        path for path in wrong_files.result("build").artifacts if path.endswith(".whl")
    ]
    found = [
        each
        for each in wrong_files.check("build", "contents").findings
        if each.rule == "unexpected"
    ]
    assert {(each.tool, each.file, each.line) for each in found} == {
        ("contents", wheel, 1)
    }
    messages = "\n".join(each.message for each in found)
    assert "lakekit/stray.md" in messages and "stray/__init__.py" in messages
    assert len(found) == 2
    # check-wheel-contents reports the file that is outside the package; the suite's own
    # rule reports both files.
    [beside] = wrong_files.check("build", "check-wheel-contents").findings
    assert (beside.tool, beside.rule, beside.file) == (
        "check-wheel-contents",
        "W202",
        wheel,
    )


def test_finds_a_missing_description(wrong_files: Ran) -> None:
    found = wrong_files.check("build", "twine").findings
    assert any("`long_description`" in each.message for each in found)
    assert {(each.tool, each.rule, each.file) for each in found} == {
        ("twine", "warning", "pyproject.toml")
    }


def test_finds_a_build_that_cannot_be_repeated(wrong_files: Ran) -> None:
    found = wrong_files.check("build", "reproducible").findings
    assert {(each.tool, each.rule, each.file) for each in found} == {
        ("reproducible", "differs", GOLD)
    }
    assert len(found) == 2


def test_finds_a_wrong_description_an_extra_file_and_a_broken_command(
    repository: Checkout,
) -> None:
    line = repository.write("README.rst", "Title\n=====\n\n.. here:: # here\n")
    repository.replace(
        "pyproject.toml", 'readme = "README.md"', 'readme = "README.rst"'
    )
    repository.replace(
        "pyproject.toml",
        '"api/lakekit_api", "README.md"',
        '"api/lakekit_api", "README.rst"',
    )
    repository.write("hatch_build.py", EXTRA_FILE_HOOK)
    repository.replace("pyproject.toml", WHEEL, f"{WHEEL}hooks.custom = {{}}\n")
    repository.replace("pyproject.toml", SDIST, f'{SDIST[:-1]}, "hatch_build.py"]')
    repository.replace(
        "pyproject.toml",
        '"lakekit.cli.main:main"',
        '"lakekit.cli.main:no_such_function"',
    )
    ran = build(repository)
    ran.assert_only("build", failed=INSTALLS | {"twine", "checksums"}, rows=ROWS)
    found = ran.finding("build", "twine", "error")
    assert (found.tool, found.file, found.line) == ("twine", "README.rst", line)
    assert '"here"' in found.message
    [found] = ran.check("build", "checksums").findings
    assert found.rule == "unexpected"
    assert "notes.txt" in found.message
    for name in INSTALLS:
        [found] = ran.check("build", name).findings
        assert (found.tool, found.rule) == (name, "crash")
        assert "no_such_function" in found.message


def test_finds_a_build_that_fails_and_leaves_no_half_of_it(
    repository: Checkout,
) -> None:
    repository.replace(
        "pyproject.toml", 'requires-python = ">=3.9"', 'requires-python = "three"'
    )
    ran = build(repository)
    ran.assert_only(
        "build",
        failed={"wheel", "sdist"},
        rows=ROWS,
        skipped=ROWS - {"version", "wheel", "sdist"},
    )
    for kind in ("wheel", "sdist"):
        found = ran.finding("build", kind, "crash")
        assert found.tool == kind
        assert "requires-python" in found.message
    assert not list((repository.root / "dist").glob("*"))


def test_a_shallow_clone_without_a_tag_builds_nothing(
    repository: Checkout, tmp_path: Path
) -> None:
    repository.write("README.md", "Another commit.\n")
    repository.commit()
    shallow = Checkout(tmp_path / "shallow")
    repository.git(
        "clone", "--quiet", "--depth=1", repository.root.as_uri(), str(shallow.root)
    )
    shallow.write("dist/lakekit-0.0.1-py3-none-any.whl", "An older build.\n")
    ran = shallow.nox("-s", "build")
    ran.assert_only("build", failed={"version"}, rows=ROWS, skipped=ROWS - {"version"})
    found = ran.finding("build", "version", "no-version")
    assert found.tool == "version"
    assert "git fetch --unshallow --tags" in found.message
    assert not list((shallow.root / "dist").glob("*"))


def test_a_dirty_tree_is_a_remark_and_never_a_failure(repository: Checkout) -> None:
    repository.write("utils/lakekit/seeded.py", "ONE = 1\n")
    ran = repository.nox("-s", "build", env={"LAKE_CI_STRICT": "1"})
    assert ran.code == 0, ran.output
    assert ran.rows("build") == {
        name: "warning" if name == "version" else "success" for name in ROWS
    }
    assert ran.result("build").dirty


def test_a_clone_under_another_umask_and_zone_builds_the_same_bytes(
    sound: tuple[Checkout, Ran], tmp_path: Path
) -> None:
    clone = Checkout(tmp_path / "zweite Kopie für später" / "repository")
    # The umask of a clone determines the modes of its files.
    umask = "--config=core.sharedRepository=umask"
    sound[0].git("clone", "--quiet", umask, str(sound[0].root), str(clone.root))
    ran = clone.nox("-s", "build", umask=0o077, env={"TZ": "Asia/Kathmandu"})
    ran.assert_only("build", failed=set(), rows=ROWS)
    sums = [
        (checkout.root / "reports" / "build" / "SHA256SUMS").read_text(encoding="utf-8")
        for checkout in (sound[0], clone)
    ]
    assert sums[0] == sums[1]
    assert re.search(r"lakekit-1\.\d\.\d\.dev1\+g\w{12}\.tar\.gz", sums[0])


def test_without_network_and_packages_the_row_says_what_is_missing(
    repository: Checkout, tmp_path: Path
) -> None:
    env = {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(tmp_path / "cache")}
    ran = repository.nox("-s", "build", env=env, envdir=tmp_path / "environments")
    ran.assert_only("build", failed={"environment"}, rows={"environment"})
    assert "Traceback" not in ran.output
    assert ran.result("build").cause == "no-environment"
    message = ran.finding("build", "environment", "NoEnvironmentError").message
    assert "requirements/build.txt" in message
