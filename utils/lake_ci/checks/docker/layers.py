"""What is in an image's own layers: read from the archive that `docker save` writes."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

CHUNK = 1 << 20
# Of the configuration, what says when and by what it was built, and digests of
# archives, which hold dates.
DATED = (
    "created",
    "history",
    "docker_version",
    "container",
    "container_config",
    "rootfs",
)
CONFIGURATION = "the configuration"


@dataclass(frozen=True)
class Place:
    """Where something was found: a path, or the configuration, and the instruction that
    made its layer.
    """

    path: str
    instruction: str


@dataclass(frozen=True)
class Contents:
    """An image, as far as a project makes it: the layers above its base, and its
    configuration without dates.

    Attributes:
        files: for each path, kind, mode, owner and sha256, and the instruction of its
            layer; one path may be in several.
        secrets: where one of the words that were looked for stands.
    """

    files: frozenset[tuple[Place, str]]
    secrets: tuple[Place, ...]

    @property
    def digest(self) -> str:
        """A sha256 over all of it."""
        lines = sorted(f"{place.path} {facts}" for place, facts in self.files)
        return hashlib.sha256(
            "\n".join(lines).encode("utf-8", "surrogateescape")
        ).hexdigest()


class Reader:
    """Reads archives; a layer that several images share is read once.

    Args:
        base_layers: how many layers of the images are their base's.
        words: what must stand nowhere.
    """

    def __init__(self, base_layers: int, words: Sequence[bytes] = ()) -> None:
        self._base_layers = base_layers
        self._words = words
        self._seen: dict[str, tuple[list[tuple[str, str]], list[str]]] = {}

    def read(self, archive: Path) -> Contents:
        """The one image of an archive.

        Raises:
            ValueError: the archive is not as `docker save` writes it.
        """
        with tarfile.open(archive) as tar:
            try:
                [image] = json.load(_file(tar, "manifest.json"))
                text = _file(tar, image["Config"]).read()
                said: dict[str, Any] = json.loads(text)
                rows = list(
                    zip(image["Layers"], said["rootfs"]["diff_ids"], _history(said))
                )
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{archive.name} is no archive of one image: {error}"
                ) from None
            kept = {key: value for key, value in said.items() if key not in DATED}
            configuration = Place(CONFIGURATION, "")
            files = [(configuration, json.dumps(kept, sort_keys=True))]
            leaks = any(word in text for word in self._words)
            secrets = [configuration] if leaks else []
            for name, digest, instruction in rows[self._base_layers :]:
                if digest not in self._seen:
                    self._seen[digest] = self._layer(_file(tar, name))
                found, places = self._seen[digest]
                files += [(Place(path, instruction), facts) for path, facts in found]
                secrets += [Place(path, instruction) for path in places]
        return Contents(frozenset(files), tuple(secrets))

    def _layer(self, stream: IO[bytes]) -> tuple[list[tuple[str, str]], list[str]]:
        files, places = [], []
        with tarfile.open(fileobj=stream, mode="r|*") as tar:
            for member in tar:
                content = member.linkname
                if member.isreg():
                    data = tar.extractfile(member)
                    assert data is not None  # it is a regular file
                    content, found = _hashed(data, self._words)
                    if found:
                        places.append(member.name)
                facts = (
                    member.type.decode(),
                    f"{member.mode:o}",
                    str(member.uid),
                    str(member.gid),
                    content,
                )
                files.append((member.name, " ".join(facts)))
        return files, places


def line_of(instruction: str, dockerfile: Sequence[str]) -> int | None:
    """The line of a Dockerfile that holds an instruction as an image's history tells
    it; None where none does.

    The history leaves out flags, writes the shell of RUN, and joins continued lines.
    """
    wanted = _plain(re.sub(r"^RUN (?:\|\d+ .*?)?/bin/sh -c ", "RUN ", instruction))
    for number, text in _instructions(dockerfile):
        if _plain(text) == wanted:
            return number
    return None


def _plain(text: str) -> str:
    text = re.sub(r" # buildkit$", "", re.sub(r"\\\n", " ", text))
    return " ".join(
        re.sub(r"(?<= )--\w+=\S+ ", "", " ".join(text.split()) + " ").split()
    )


def _instructions(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    number = 0
    while number < len(lines):
        start, text = number, lines[number]
        while text.endswith("\\") and number + 1 < len(lines):
            number += 1
            text = f"{text[:-1]} {lines[number]}"
        number += 1
        yield start + 1, text


def _file(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    found = tar.extractfile(name)
    if found is None:
        raise KeyError(name)
    return found


def _history(configuration: Mapping[str, Any]) -> list[str]:
    """What made each layer, of the history in an image's configuration."""
    return [
        row.get("created_by", "")
        for row in configuration["history"]
        if not row.get("empty_layer")
    ]


def _hashed(data: IO[bytes], words: Sequence[bytes]) -> tuple[str, bool]:
    """The sha256 of a file, and whether one of the words stands in it."""
    digest, found, rest = hashlib.sha256(), False, b""
    keep = max((len(word) for word in words), default=1) - 1
    while chunk := data.read(CHUNK):
        digest.update(chunk)
        window = rest + chunk
        found = found or any(word in window for word in words)
        rest = window[-keep:] if keep else b""
    return digest.hexdigest(), found
