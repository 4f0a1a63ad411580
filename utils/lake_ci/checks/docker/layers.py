"""Reads an archive that `docker save` wrote: an image's layers above its base image."""

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
# Keys of the configuration whose values differ in every build: the build time, the
# build program, and digests of archives, which contain dates.
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
class LayerPath:
    """A path in a layer of an image, with the instruction that created the layer.

    For the configuration of the image, the path is `CONFIGURATION` and the instruction
    is empty.
    """

    path: str
    instruction: str


@dataclass(frozen=True)
class LayerContents:
    """An image's layers above its base image, and its configuration without dates.

    Attributes:
        files: for each path, a text that contains the file's kind, mode, owner and
            sha256. A path may be in several layers.
        secrets: the paths of the files that contain a secret.
    """

    files: frozenset[tuple[LayerPath, str]]
    secrets: tuple[LayerPath, ...]

    @property
    def digest(self) -> str:
        """One sha256 of all files and the configuration together."""
        lines = sorted(f"{place.path} {facts}" for place, facts in self.files)
        return hashlib.sha256(
            "\n".join(lines).encode("utf-8", "surrogateescape")
        ).hexdigest()


class ArchiveReader:
    """Reads archives of images. A layer that several images share is read only once.

    Args:
        base_layers: the number of layers that belong to the base image.
        words: secrets that no layer may contain.
    """

    def __init__(self, base_layers: int, words: Sequence[bytes] = ()) -> None:
        self._base_layers = base_layers
        self._words = words
        self._seen: dict[str, tuple[list[tuple[str, str]], list[str]]] = {}

    def read(self, archive: Path) -> LayerContents:
        """Return the contents of the only image in an archive.

        Raises:
            ValueError: the archive does not have the format of `docker save`.
        """
        with tarfile.open(archive) as tar:
            try:
                [image] = json.load(_file(tar, "manifest.json"))
                text = _file(tar, image["Config"]).read()
                settings: dict[str, Any] = json.loads(text)
                rows = list(
                    zip(
                        image["Layers"],
                        settings["rootfs"]["diff_ids"],
                        _history(settings),
                    )
                )
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{archive.name} is not an archive of one image: {error}"
                ) from None
            undated = {
                key: value for key, value in settings.items() if key not in DATED
            }
            configuration = LayerPath(CONFIGURATION, "")
            files = [(configuration, json.dumps(undated, sort_keys=True))]
            leaks = any(word in text for word in self._words)
            secrets = [configuration] if leaks else []
            for name, digest, instruction in rows[self._base_layers :]:
                if digest not in self._seen:
                    self._seen[digest] = self._layer(_file(tar, name))
                found, places = self._seen[digest]
                files += [
                    (LayerPath(path, instruction), facts) for path, facts in found
                ]
                secrets += [LayerPath(path, instruction) for path in places]
        return LayerContents(frozenset(files), tuple(secrets))

    def _layer(self, stream: IO[bytes]) -> tuple[list[tuple[str, str]], list[str]]:
        files, places = [], []
        with tarfile.open(fileobj=stream, mode="r|*") as tar:
            for member in tar:
                content = member.linkname
                if member.isreg():
                    data = tar.extractfile(member)
                    assert data is not None  # the member is a regular file
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


def instruction_line(instruction: str, dockerfile: Sequence[str]) -> int | None:
    """Return the Dockerfile's line that matches an instruction in an image's history.

    The result is None if no line of the Dockerfile matches. An image's history omits
    the flags of an instruction, adds the shell to RUN, and joins continued lines.
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
    """Return the instruction of each layer, from an image's history."""
    return [
        row.get("created_by", "")
        for row in configuration["history"]
        if not row.get("empty_layer")
    ]


def _hashed(data: IO[bytes], words: Sequence[bytes]) -> tuple[str, bool]:
    """Return the sha256 of a file, and whether the file contains one of these words."""
    digest, found, rest = hashlib.sha256(), False, b""
    keep = max((len(word) for word in words), default=1) - 1
    while chunk := data.read(CHUNK):
        digest.update(chunk)
        window = rest + chunk
        found = found or any(word in window for word in words)
        rest = window[-keep:] if keep else b""
    return digest.hexdigest(), found
