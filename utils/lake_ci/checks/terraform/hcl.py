"""Finds the lines of blocks and assignments in Terraform files.

The files must have the format of `terraform fmt`: the first and the last line of a
block are not indented.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

INDEX = re.compile(r'\[(?:"(?:[^"\\]|\\.)*"|\d+)\]')
LABELS = re.compile(r'^(\w+)((?:\s+"[^"]+")*)\s*\{')
SOURCE = re.compile(r'^\s*source\s*=\s*"(\./[^"]+|\.\./[^"]+)"')
ASSIGNED = re.compile(r"^\s*([A-Za-z_][\w-]*)\s*=")
HEREDOC = re.compile(r"<<-?([A-Za-z_]\w*)\s*$")
# Match strings first, because a `#` or a brace in a string has no meaning.
NO_CODE = re.compile(r'"(?:[^"\\]|\\.)*"|#.*|//.*|/\*.*?\*/')


@dataclass(frozen=True)
class Block:
    """A block such as `resource "aws_s3_bucket" "lake" { ... }`; lines count from 1."""

    kind: str
    labels: tuple[str, ...]
    file: str
    line: int
    text: tuple[str, ...]

    def line_of(self, text: str) -> int:
        """Return the line of a text in this block, or else the block's first line."""
        return next(
            (
                self.line + at
                for at, line in enumerate(self.text)
                if text and text in line
            ),
            self.line,
        )


def blocks(root: Path, folder: str) -> Iterator[Block]:
    """Yield the top-level blocks of the .tf files in a folder, without subfolders."""
    for path in sorted((root / folder).glob("*.tf")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        for at, line in enumerate(lines):
            head = LABELS.match(line)
            if head is None:
                continue
            end = next(
                (n for n in range(at, len(lines)) if lines[n].rstrip() == "}"), at
            )
            file = path.relative_to(root).as_posix()
            labels = tuple(re.findall(r'"([^"]+)"', head[2]))
            yield Block(head[1], labels, file, at + 1, tuple(lines[at : end + 1]))


def locate(root: Path, folder: str, address: str) -> Block | None:
    """Return the block of a resource, data source or module; None if there is none.

    A block such as `module.lake.aws_s3_bucket.this["a"]` is searched in the source of
    the module `lake`, if the source is a local folder. If the block is not found there,
    the block that calls the module is returned.
    """
    parts = INDEX.sub("", address).split(".")
    if parts[0] == "module" and len(parts) > 1:
        call = _find(root, folder, "module", (parts[1],))
        source = _source(call) if call else None
        if source is None or len(parts) == 2:
            return call
        inside = (
            (root / folder / source).resolve().relative_to(root.resolve()).as_posix()
        )
        return locate(root, inside, ".".join(parts[2:])) or call
    kind = "data" if parts[0] == "data" else "resource"
    return _find(root, folder, kind, tuple(parts[1:3] if kind == "data" else parts[:2]))


def _source(module: Block) -> str | None:
    """Return the local folder that is a module's source; None for a remote source."""
    matches = map(SOURCE.match, module.text)
    return next((match[1] for match in matches if match), None)


def _find(root: Path, folder: str, kind: str, labels: tuple[str, ...]) -> Block | None:
    return next(
        (
            block
            for block in blocks(root, folder)
            if (block.kind, block.labels) == (kind, labels)
        ),
        None,
    )


def line_of_provider(root: Path, folder: str, provider: str) -> tuple[str, int] | None:
    """Return the file and line that require a provider, such as `hashicorp/aws`.

    The root module is searched first, because the root module pins the provider.
    """
    wanted = re.compile(rf'source\s*=\s*"(?:[\w.-]+/)?{re.escape(provider)}"')
    for path in sorted(
        (root / folder).rglob("*.tf"), key=lambda path: (len(path.parts), path)
    ):
        for number, line in enumerate(
            path.read_text(encoding="utf-8", errors="replace").splitlines(), 1
        ):
            if wanted.search(line):
                return path.relative_to(root).as_posix(), number
    return None


def assignments(text: str) -> Iterator[tuple[str, int]]:
    """Yield the variables that a .tfvars file sets, each with the variable's line."""
    depth = 0
    until: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if until is not None:
            until = None if line.strip() == until else until
            continue
        name = ASSIGNED.match(line)
        if name and depth == 0:
            yield name[1], number
        code = NO_CODE.sub("", line)
        heredoc = HEREDOC.search(code)
        until = heredoc[1] if heredoc else None
        depth += sum(code.count(bracket) for bracket in "{[(") - sum(
            code.count(bracket) for bracket in "}])"
        )
