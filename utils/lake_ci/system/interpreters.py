"""Finds Python interpreters that are neither on PATH nor known to nox."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path


def places(env: Mapping[str, str]) -> dict[str, list[str]]:
    """Return where tools install interpreters, by tool, as glob patterns.

    `{}` in a pattern is the version, `3.10`.
    """
    home = Path(env.get("HOME") or Path.home())
    data = Path(env.get("XDG_DATA_HOME") or home / ".local" / "share")
    uv = Path(env.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python")
    pyenv = Path(env.get("PYENV_ROOT") or home / ".pyenv")
    condas = [
        home / name
        for name in ("miniconda3", "miniforge3", "mambaforge", "anaconda3", ".conda")
    ]
    if env.get("CONDA_EXE"):
        condas.append(Path(env["CONDA_EXE"]).parent.parent)
    return {
        "pyenv": [f"{pyenv}/versions/{{}}.*/bin"],
        "uv": [f"{uv}/cpython-{{}}.*/bin"],
        "conda": [
            pattern
            for conda in condas
            for pattern in (f"{conda}/bin", f"{conda}/envs/*/bin")
        ],
        "Homebrew": ["/opt/homebrew/opt/python@{}/bin", "/usr/local/opt/python@{}/bin"],
    }


def find(version: str, env: Mapping[str, str]) -> Path | None:
    """Return the folder of a `python<version>` outside PATH.

    If there are several, return the newest patch release.
    """
    for patterns in places(env).values():
        for pattern in patterns:
            anchor, _, rest = pattern.format(version).partition("/")
            found = [
                path
                for path in Path(anchor or "/").glob(rest)
                if (path / f"python{version}").is_file()
            ]
            if found:
                # Compare numbers: 3.10.13 is newer than 3.10.9, and uv's folder is
                # cpython-3.10.13-linux-...
                return max(
                    found,
                    key=lambda path: [
                        int(part) for part in re.findall(r"\d+", path.parent.name)
                    ],
                )
    return None


def show(versions: Iterable[str], env: MutableMapping[str, str]) -> None:
    """Append the folders of these Pythons to PATH, if PATH lacks them.

    nox and uv then find them. pyenv's shims are on PATH under every name, and fail for
    a version that is not active: the real folder comes after them, and is still found.
    """
    known = env.get("PATH", "").split(os.pathsep)
    for version in versions:
        folder = find(version, env)
        if folder is not None and str(folder) not in known:
            known.append(str(folder))
    env["PATH"] = os.pathsep.join(known)


def missing(version: str, env: Mapping[str, str]) -> str:
    """Return the message for a missing Python.

    It states where the Python was searched, and how to install it.
    """
    looked = ", ".join(["PATH", *places(env)])
    return (
        f"Python {version} was not found (looked in {looked}); install it with `uv"
        f" python install {version}`"
    )
