"""Builds small wheels quickly, for tests that install packages."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    module: str,
    *,
    entry_points: Mapping[str, str] | None = None,
    requires: Sequence[str] = (),
) -> Path:
    """Build a wheel with one module. The module has the name of the distribution, and
    `entry_points` are console scripts.
    """
    info = f"{name}-{version}.dist-info"
    scripts = "".join(
        f"{key} = {value}\n" for key, value in (entry_points or {}).items()
    )
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    contents = {
        f"{name}.py": module,
        f"{info}/METADATA": (
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        ),
        f"{info}/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag:"
            " py3-none-any\n"
        ),
        f"{info}/entry_points.txt": f"[console_scripts]\n{scripts}",
    }
    lines = []
    for path, text in contents.items():
        digest = (
            base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
            .rstrip(b"=")
            .decode()
        )
        lines.append(f"{path},sha256={digest},{len(text.encode())}\n")
    contents[f"{info}/RECORD"] = "".join([*lines, f"{info}/RECORD,,\n"])
    file = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in contents.items():
            archive.writestr(path, text)
    return file
