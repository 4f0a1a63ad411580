"""Prints a digest of all inputs of a job. Two runs print the same digest only if all
their inputs are the same, so testing/acceptance/changes.py uses the digest to test the
result cache.

    python look.py PATTERN... [--variable NAME] [--folder NAME]

If the content of a file is BROKEN, the script fails.
"""

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path


def seen(path: Path) -> str:
    """Return a file's name, mode and digest, or a link's name and target."""
    if path.is_symlink():
        return f"{path} -> {os.readlink(path)}"
    content = path.read_bytes()
    if content == b"BROKEN":
        sys.exit(f"{path} is broken")
    return f"{path} {path.stat().st_mode:o} {hashlib.sha256(content).hexdigest()}"


parser = argparse.ArgumentParser()
parser.add_argument("patterns", nargs="*")
parser.add_argument("--variable", action="append", default=[])
parser.add_argument("--folder", action="append", default=[])
parser.add_argument("--git", action="store_true")
options = parser.parse_args()
listing = [
    "git",
    "ls-files",
    "-z",
    "--cached",
    "--others",
    "--exclude-standard",
    "--",
    *options.patterns,
]
names = subprocess.run(
    listing, check=True, capture_output=True, text=True
).stdout.split("\0")
lines = [
    seen(Path(name)) for name in sorted(set(names)) if name and os.path.lexists(name)
]
lines += [f"{name}={os.environ.get(name)}" for name in options.variable]
# The files of a needed job are inputs, except result.json, which has times and ids.
taken = [
    path
    for name in options.folder
    for path in sorted(Path(name).rglob("*"))
    if path.is_file()
]
lines += [seen(path) for path in taken if path.name != "result.json"]
lines += [sys.version]
if options.git:
    head = ["git", "log", "-1", "--format=%H %D"]
    lines += [
        subprocess.run(head, check=True, capture_output=True, text=True).stdout.split(
            " "
        )[0]
    ]
print(len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16])
