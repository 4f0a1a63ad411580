"""Creates a project for `lakekit init`: a CSV file, three tables and the settings."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Tuple, Union

from lakekit.errors import FolderNotEmptyError, StorageError

TEMPLATE = Path(__file__).parents[1] / "template"


@dataclass(frozen=True)
class InitResult:
    """The folder and the files of the new project. Paths of files are relative to the
    folder.
    """

    folder: Path
    files: Tuple[str, ...]


def init(folder: Union[str, os.PathLike[str]]) -> InitResult:
    """Create a project in a new or empty folder.

    Raises FolderNotEmptyError if the folder has files; StorageError if the project
    cannot be written. After an error, the folder is unchanged.
    """
    target = Path(os.path.expanduser(folder)).absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FolderNotEmptyError(str(target))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # The temporary folder is on the same disk as the project's folder, so that
        # renaming can move the project.
        beside = target if target.exists() else target.parent
        with tempfile.TemporaryDirectory(prefix=".lakekit-", dir=beside) as temporary:
            made = Path(temporary) / "project"
            _copy_template(made)
            _place(made, target)
    except OSError as error:
        raise StorageError(target, error.strerror or str(error)) from error
    files = sorted(
        str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()
    )
    return InitResult(target, tuple(files))


def _copy_template(target: Path) -> None:
    """Copy the files of the template without their permissions, because installed files
    may be read-only.
    """
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(TEMPLATE, target, ignore=ignored, copy_function=shutil.copyfile)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _place(made: Path, target: Path) -> None:
    """Move the project to its folder. An existing empty folder is not replaced, because
    it may be the working directory of a shell.
    """
    if not target.exists():
        made.replace(target)
        return
    placed = []
    try:
        for part in sorted(made.iterdir()):
            part.replace(target / part.name)
            placed.append(part.name)
    except OSError:
        for name in placed:
            (target / name).replace(made / name)
        raise
