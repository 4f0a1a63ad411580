"""Finds Python interpreters that nox does not find."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path


def places(env: Mapping[str, str]) -> dict[str, list[str]]:
    """Return, by tool, patterns of the folders where the tool installs interpreters.

    The patterns are glob patterns. In a pattern, `{}` is the version, such as `3.10`.
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
    """Return the folder where a tool such as uv has installed a Python, or None.

    If a tool has installed several patch releases, return the folder of the newest.
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
                # Compare the versions as numbers, because 3.10.13 is newer than 3.10.9.
                # A folder that uv creates is named cpython-3.10.13-linux-...
                return max(
                    found,
                    key=lambda path: [
                        int(part) for part in re.findall(r"\d+", path.parent.name)
                    ],
                )
    return None


def show(versions: Iterable[str], env: MutableMapping[str, str]) -> None:
    """Append the folder of each of these Python versions to PATH if it is missing.

    Then nox and uv find these versions. With pyenv, PATH contains a shim for each
    version. If a version is not active in pyenv, the shim of the version fails. Then
    nox and uv use the real folder, which is later on PATH.
    """
    known = env.get("PATH", "").split(os.pathsep)
    for version in versions:
        folder = find(version, env)
        if folder is not None and str(folder) not in known:
            known.append(str(folder))
    env["PATH"] = os.pathsep.join(known)


def missing(version: str, env: Mapping[str, str]) -> str:
    """Return the message for a missing Python version.

    The message lists the tools whose folders were searched, and explains how to install
    the version.
    """
    looked = ", ".join(["PATH", *places(env)])
    return (
        f"Python {version} was not found (looked in {looked}); install it with `uv"
        f" python install {version}`"
    )
