"""Say, as JSON, what is inside the image that this runs in: given to its Python on
standard input, by `nox -s docker`.

It needs nothing but the standard library, and walks what the image's own file system
holds.
"""

import json
import os
import shutil
import stat
import sys
from importlib.metadata import distributions
from typing import Iterator, List, Tuple

ROOT_DEVICE = os.stat("/").st_dev
TOOLS = ("cc", "gcc", "g++", "clang", "make", "ld", "git")
CACHES = (
    "/var/lib/apt/lists",
    "/var/cache/apt/archives",
    "/root/.cache",
    "/opt/lake/.cache",
)


def files() -> Iterator[Tuple[str, os.stat_result]]:
    """Every path of the root file system, with its facts."""
    for folder, names, found in os.walk("/"):
        names[:] = [
            name
            for name in names
            if os.lstat(os.path.join(folder, name)).st_dev == ROOT_DEVICE
        ]
        for name in [*names, *found]:
            path = os.path.join(folder, name)
            yield path, os.lstat(path)


def main() -> None:
    """Walk the image, and print what was found."""
    setuid: List[str] = []
    stray: List[str] = []
    for path, facts in files():
        name = os.path.basename(path)
        if stat.S_ISREG(facts.st_mode) and facts.st_mode & (
            stat.S_ISUID | stat.S_ISGID
        ):
            setuid.append(path)
        inside = path.startswith("/opt/lake/")
        if stat.S_ISDIR(facts.st_mode) and (
            name == ".git" or (inside and name in ("test", "tests", "pip"))
        ):
            stray.append(path)
        if (
            stat.S_ISREG(facts.st_mode)
            and path.startswith(CACHES)
            and name not in ("lock", "partial")
        ):
            stray.append(path)
    packages = {
        each.metadata["Name"]: each.version
        for each in distributions(path=[sys.path[-1]])
    }
    debian, name = {}, ""
    with open("/var/lib/dpkg/status", encoding="utf-8") as status:
        for line in status:
            key, _, value = line.strip().partition(": ")
            if key == "Package":
                name = value
            elif key == "Version" and name:
                debian[name] = value
    tools = [tool for tool in TOOLS if shutil.which(tool)]
    found = {
        "setuid": setuid,
        "stray": stray,
        "tools": tools,
        "packages": packages,
        "debian": debian,
    }
    json.dump(found, sys.stdout)


main()
