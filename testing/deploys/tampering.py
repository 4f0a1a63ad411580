"""Changes the built files of the sample project, in all ways that a deploy must refuse.

For each kind of change, `KINDS` contains the function that makes the change, and words
that the error message must contain. Most functions also rewrite the checksums, as a
careful attacker would.
"""

from __future__ import annotations

import io
import shutil
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from lake_ci.model.results import CheckResult, Status
from lake_ci.system import git
from testing.deploys.project import DATE, build, sdist, seal, wheel

WHEEL = "shop-1.0-py3-none-any.whl"
SDIST = "shop-1.0.tar.gz"
INFO = "shop-1.0.dist-info"
SUMS = "reports/build/SHA256SUMS"
Members = list[tuple[str, bytes]]


def repack(project: Path, edit: Callable[[Members], Members]) -> None:
    """Apply `edit` to the wheel's members, and rewrite the checksums."""
    file = project / "dist" / WHEEL
    with zipfile.ZipFile(file) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(file, "w") as archive, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate name")  # one kind of change
        for name, data in edit(members):
            archive.writestr(zipfile.ZipInfo(name, DATE), data)
    seal(project)


def replaced(members: Members, name: str, old: bytes, new: bytes) -> Members:
    return [
        (each, data.replace(old, new) if each == name else data)
        for each, data in members
    ]


def repack_sdist(project: Path, members: Sequence[tarfile.TarInfo], text: str) -> None:
    """Replace the sdist by an archive with these members. Every file in the archive has
    the content `text`.
    """
    data = text.encode()
    with tarfile.open(project / "dist" / SDIST, "w:gz") as archive:
        for member in members:
            member.size = len(data) if member.isfile() else 0
            archive.addfile(member, io.BytesIO(data))
    seal(project)


def append(project: Path, name: str) -> None:
    with (project / "dist" / name).open("ab") as file:
        file.write(b"\0")


def wheel_changed(project: Path) -> None:
    append(project, WHEEL)


def sdist_changed(project: Path) -> None:
    append(project, SDIST)


def wheel_missing(project: Path) -> None:
    (project / "dist" / WHEEL).unlink()


def file_added(project: Path) -> None:
    (project / "dist" / "stray.whl").write_bytes(b"")


def symlink(project: Path) -> None:
    file = project / "dist" / WHEEL
    file.rename(project.parent / WHEEL)
    file.symlink_to(project.parent / WHEEL)


def folder_added(project: Path) -> None:
    (project / "dist" / "more").mkdir()


def sums_missing(project: Path) -> None:
    (project / SUMS).unlink()


def sums_malformed(project: Path) -> None:
    (project / SUMS).write_text("odd\n")


def sums_with_duplicate(project: Path) -> None:
    text = (project / SUMS).read_text()
    (project / SUMS).write_text(text + text.splitlines()[0] + "\n")


def sums_with_path(project: Path) -> None:
    text = (project / SUMS).read_text()
    (project / SUMS).write_text(text.replace(WHEEL, f"../{WHEEL}"))


def partial_build(project: Path) -> None:
    seal(project, partial=True)


def failed_build(project: Path) -> None:
    seal(project, cause="timeout")


def result_missing(project: Path) -> None:
    (project / "reports/build/result.json").unlink()


def result_of_other_commit(project: Path) -> None:
    seal(project, commit="0" * 40)


def result_of_changed_tree(project: Path) -> None:
    seal(project, dirty=True)


def result_of_other_files(project: Path) -> None:
    result = project / "reports/build/result.json"
    recorded = result.read_bytes()
    repack(project, lambda members: replaced(members, f"{INFO}/WHEEL", b"t", b"T"))
    result.write_bytes(recorded)


def result_without_digests(project: Path) -> None:
    seal(project, checks=(CheckResult("checksums", Status.SUCCESS),))


def two_wheels(project: Path) -> None:
    wheel(project / "dist", "1.1")
    seal(project)


def sdist_missing(project: Path) -> None:
    (project / "dist" / SDIST).unlink()
    seal(project)


def wheel_not_a_zip(project: Path) -> None:
    (project / "dist" / WHEEL).write_bytes(b"not a zip")
    seal(project)


def wheel_damaged(project: Path) -> None:
    file = project / "dist" / WHEEL
    file.write_bytes(file.read_bytes().replace(b"VERSION", b"VERSIOM", 1))
    seal(project)


def file_not_in_record(project: Path) -> None:
    repack(project, lambda members: [*members, ("shop/more.py", b"import os\n")])


def file_of_record_missing(project: Path) -> None:
    repack(project, lambda members: members[1:])


def file_with_other_content(project: Path) -> None:
    repack(project, lambda members: replaced(members, "shop/__init__.py", b"0", b"1"))


def file_with_other_size(project: Path) -> None:
    repack(project, lambda members: replaced(members, "shop/__init__.py", b"0", b"00"))


def duplicate_file(project: Path) -> None:
    repack(project, lambda members: [*members, ("shop/__init__.py", b"VERSION = 0")])


def duplicate_row_of_record(project: Path) -> None:
    row = f"{INFO}/RECORD,,\n".encode()
    repack(project, lambda members: replaced(members, f"{INFO}/RECORD", row, row * 2))


def path_outside(project: Path) -> None:
    repack(project, lambda members: [*members, ("../evil.py", b"")])


def second_metadata(project: Path) -> None:
    repack(project, lambda members: [*members, ("a-1.dist-info/METADATA", b"")])


def rewrite_metadata(project: Path, old: str, new: str) -> None:
    """Replace a text in METADATA, and update the row of METADATA in RECORD."""
    build(project, "1.0", metadata=(old, new))


def other_name(project: Path) -> None:
    rewrite_metadata(project, "Name: shop", "Name: shap")


def other_version(project: Path) -> None:
    rewrite_metadata(project, "Version: 1.0", "Version: 1.1")


def renamed_wheel(project: Path) -> None:
    (project / "dist" / WHEEL).rename(project / "dist/shop-1.1-py3-none-any.whl")
    seal(project)


def sdist_of_other_version(project: Path) -> None:
    text = "Metadata-Version: 2.1\nName: shop\nVersion: 1.1\n"
    repack_sdist(project, [tarfile.TarInfo("shop-1.0/PKG-INFO")], text)


def sdist_of_other_release(project: Path) -> None:
    (project / "dist" / SDIST).unlink()
    sdist(project / "dist", "1.1")
    seal(project)


def sdist_not_a_tar(project: Path) -> None:
    (project / "dist" / SDIST).write_bytes(b"not a tar")
    seal(project)


def sdist_with_link(project: Path) -> None:
    link = tarfile.TarInfo("shop-1.0/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    repack_sdist(project, [link], "")


def sdist_beside_its_folder(project: Path) -> None:
    repack_sdist(project, [tarfile.TarInfo("other/PKG-INFO")], "")


def sdist_without_metadata(project: Path) -> None:
    repack_sdist(project, [tarfile.TarInfo("shop-1.0/README.md")], "")


def build_of_other_commit(project: Path) -> None:
    build(project, "1.1.dev3+g" + "0" * 12)


def build_of_other_tag(project: Path) -> None:
    build(project, "9.9")


def other_project(project: Path) -> None:
    """Commit a different `[project] name`, and pretend that the old files were built
    from this commit.
    """
    file = project / "pyproject.toml"
    file.write_text(file.read_text().replace('name = "shop"', 'name = "store"'))
    for command in (
        ["-c", "user.name=n", "-c", "user.email=n@e", "commit", "-qam", "Rename"],
        ["tag", "--force", "v1.0"],
    ):
        assert git.ask(project, *command) is not None
    seal(project)


def changed_tree(project: Path) -> None:
    (project / "scripts/fill.py").write_text("changed")


def no_build(project: Path) -> None:
    shutil.rmtree(project / "dist")
    shutil.rmtree(project / "reports")


KINDS: dict[Callable[[Path], None], str] = {
    changed_tree: "the tree is dirty: scripts/fill.py",
    no_build: "SHA256SUMS is missing: nothing was built here",
    wheel_changed: f"dist/{WHEEL} differs from the built file: its sha256 does not",
    sdist_changed: f"dist/{SDIST} differs from the built file: its sha256 does not",
    wheel_missing: f"dist/{WHEEL} is missing, which {SUMS} names",
    file_added: f"dist/stray.whl is not in {SUMS}",
    symlink: f"dist/{WHEEL} is not a regular file",
    folder_added: "dist/more is not a regular file",
    sums_missing: f"{SUMS} is missing: nothing was built here",
    sums_malformed: f"{SUMS} is not a list of checksums",
    sums_with_duplicate: f"{SUMS} names {WHEEL} 2 times",
    sums_with_path: f"{SUMS} names ../{WHEEL}, which is not a file of dist/",
    partial_build: "dist/ is incomplete: arguments selected a part of build",
    failed_build: "reports/build/result.json: the build did not pass",
    result_missing: "reports/build/result.json is missing",
    result_of_other_commit: "result.json is of commit 000000000000, not of",
    result_of_changed_tree: "with uncommitted changes, not of",
    result_of_other_files: f"{SUMS} have different checksums of {WHEEL}",
    result_without_digests: f"{SUMS} have different checksums of {WHEEL}",
    two_wheels: "dist/ must hold one wheel and one sdist, and holds shop-1.0-py3",
    sdist_missing: f"dist/ must hold one wheel and one sdist, and holds {WHEEL}",
    wheel_not_a_zip: f"dist/{WHEEL} is not an intact wheel",
    wheel_damaged: f"dist/{WHEEL} is not an intact wheel: Bad CRC-32",
    file_not_in_record: f"dist/{WHEEL}: shop/more.py is not in RECORD",
    file_of_record_missing: f"dist/{WHEEL} lacks shop/__init__.py, which RECORD names",
    file_with_other_content: (
        f"dist/{WHEEL}: shop/__init__.py has another sha256 than in RECORD"
    ),
    file_with_other_size: f"{WHEEL}: shop/__init__.py has 17 bytes, and 16 in RECORD",
    duplicate_file: f"dist/{WHEEL} has shop/__init__.py 2 times",
    duplicate_row_of_record: f"dist/{WHEEL}: RECORD has {INFO}/RECORD 2 times",
    path_outside: f"dist/{WHEEL}: the path '../evil.py' is not allowed",
    second_metadata: f"dist/{WHEEL} has 2 folders *.dist-info, expected 1",
    other_name: f"dist/{WHEEL}: the metadata is of shap 1.0, which is not in the name",
    other_version: f"dist/{WHEEL}: the metadata is of shop 1.1, which is not in the",
    renamed_wheel: "dist/shop-1.1-py3-none-any.whl: the metadata is of shop 1.0",
    sdist_of_other_version: f"dist/{SDIST}: the metadata is of shop 1.1",
    sdist_of_other_release: (
        "dist/shop-1.1.tar.gz: PKG-INFO is of shop 1.1, and the wheel of shop 1.0"
    ),
    sdist_not_a_tar: f"dist/{SDIST} is not an intact sdist",
    sdist_with_link: f"dist/{SDIST}: shop-1.0/link is not a regular file",
    sdist_beside_its_folder: f"dist/{SDIST}: other/PKG-INFO is not below shop-1.0/",
    sdist_without_metadata: f'dist/{SDIST} is not an intact sdist: "filename',
    build_of_other_commit: "was not built from this commit",
    build_of_other_tag: "shop-9.9-py3-none-any.whl was not built from this commit",
    other_project: "dist/ holds the package shop, and pyproject.toml names store",
}
