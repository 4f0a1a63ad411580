"""Finds the Pythons that people keep where neither PATH nor nox shows them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path


def places(env: Mapping[str, str]) -> dict[str, list[str]]:
    """Where interpreters are kept, by the tool that keeps them, as glob patterns; `{}`
    is the version, `3.10`.
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
    """The folder of a `python<version>` kept outside PATH; the newest patch release
    where there are several.
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
                # By number: 3.10.13 is newer than 3.10.9, and uv's folder is
                # cpython-3.10.13-linux-...
                return max(
                    found,
                    key=lambda path: [
                        int(part) for part in re.findall(r"\d+", path.parent.name)
                    ],
                )
    return None


def show(versions: Iterable[str], env: MutableMapping[str, str]) -> None:
    """Put the folders of these Pythons at the end of PATH, so that nox and uv find what
    PATH does not hold already.

    pyenv's shims stand on PATH under every name and fail for a version that is not
    switched on: behind them, the real folder is found all the same.
    """
    known = env.get("PATH", "").split(os.pathsep)
    for version in versions:
        folder = find(version, env)
        if folder is not None and str(folder) not in known:
            known.append(str(folder))
    env["PATH"] = os.pathsep.join(known)


def missing(version: str, env: Mapping[str, str]) -> str:
    """The message for a Python that was not found: where it was looked for, and how to
    get it.
    """
    looked = ", ".join(["PATH", *places(env)])
    return (
        f"Python {version} was not found (looked in {looked}); get it by `uv python"
        f" install {version}`"
    )
