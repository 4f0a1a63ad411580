"""Prints a JSON object with facts about the files and packages of the container image.

`nox -s docker` runs this script with the image's Python, and passes the script on
standard input.

The script uses only the standard library, and does not enter mounted file systems.
"""

import json
import os
import shutil
import stat
import sys
from importlib.metadata import distributions
from typing import Dict, Iterator, Tuple

ROOT_DEVICE = os.stat("/").st_dev
TOOLS = ("cc", "gcc", "g++", "clang", "make", "ld", "git")
CACHES = (
    "/var/lib/apt/lists",
    "/var/cache/apt/archives",
    "/root/.cache",
    "/opt/lake/.cache",
)


def files() -> Iterator[Tuple[str, os.stat_result]]:
    """Yield every path in the root file system, and the path's `lstat` result."""
    for folder, names, found in os.walk("/"):
        names[:] = [
            name
            for name in names
            if os.lstat(os.path.join(folder, name)).st_dev == ROOT_DEVICE
        ]
        for name in [*names, *found]:
            path = os.path.join(folder, name)
            yield path, os.lstat(path)


def is_setuid(mode: int) -> bool:
    """Return whether the mode of a file has the setuid or the setgid bit."""
    return stat.S_ISREG(mode) and bool(mode & (stat.S_ISUID | stat.S_ISGID))


def is_unneeded(path: str, mode: int) -> bool:
    """Return whether an image does not need a path: a Git repository, tests, pip or a
    cache.
    """
    name = os.path.basename(path)
    if stat.S_ISDIR(mode):
        inside = path.startswith("/opt/lake/")
        return name == ".git" or (inside and name in ("test", "tests", "pip"))
    return (
        stat.S_ISREG(mode)
        and path.startswith(CACHES)
        and name not in ("lock", "partial")
    )


def debian_packages() -> Dict[str, str]:
    """Return the versions of the installed Debian packages."""
    versions, name = {}, ""
    with open("/var/lib/dpkg/status", encoding="utf-8") as status:
        for line in status:
            key, _, value = line.strip().partition(": ")
            if key == "Package":
                name = value
            elif key == "Version" and name:
                versions[name] = value
    return versions


def main() -> None:
    """Walk the file system of the image and print the facts."""
    modes = [(path, facts.st_mode) for path, facts in files()]
    packages = {
        each.metadata["Name"]: each.version
        for each in distributions(path=[sys.path[-1]])
    }
    tools = [tool for tool in TOOLS if shutil.which(tool)]
    found = {
        "setuid": [path for path, mode in modes if is_setuid(mode)],
        "unneeded": [path for path, mode in modes if is_unneeded(path, mode)],
        "tools": tools,
        "packages": packages,
        "debian": debian_packages(),
    }
    json.dump(found, sys.stdout)


main()
