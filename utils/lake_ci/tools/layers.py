"""What is in an image's own layers: read from the archive that `docker save` writes."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

CHUNK = 1 << 20
# Of the configuration, what says when and by what it was built.
DATED = ("created", "history", "docker_version", "container", "container_config")


@dataclass(frozen=True)
class Layers:
    """An image, as far as a project makes it: the layers above its base, and its configuration without dates.

    Attributes:
        digest: over path, kind, mode, owner and sha256 of each file, and the configuration.
        files: those lines, for whoever wants to know where two differ.
        places: the files, or the configuration, in which one of the words that were looked for stands.
    """

    digest: str
    files: tuple[str, ...]
    places: tuple[str, ...]


def read(archive: Path, base_layers: int, words: Sequence[bytes] = ()) -> dict[str, Layers]:
    """The images of an archive by name. Layers that several share are read once.

    Raises:
        ValueError: the archive is not as `docker save` writes it.
    """
    with tarfile.open(archive) as tar:
        try:
            manifest = json.load(_file(tar, "manifest.json"))
            seen: dict[str, tuple[list[str], list[str]]] = {}
            images = {}
            for image in manifest:
                text = _file(tar, image["Config"]).read()
                files, places = _configuration(text, words)
                for layer in image["Layers"][base_layers:]:
                    if layer not in seen:
                        seen[layer] = _layer(_file(tar, layer), words)
                    files += seen[layer][0]
                    places += seen[layer][1]
                digest = hashlib.sha256("\n".join(files).encode()).hexdigest()
                for name in image["RepoTags"] or ():
                    images[name] = Layers(digest, tuple(files), tuple(places))
            return images
        except (KeyError, TypeError) as error:
            raise ValueError(f"{archive.name} is no archive of images: {error}") from None


def _file(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    found = tar.extractfile(name)
    if found is None:
        raise KeyError(name)
    return found


def _configuration(text: bytes, words: Sequence[bytes]) -> tuple[list[str], list[str]]:
    said: dict[str, Any] = json.loads(text)
    places = ["its configuration or history"] if any(word in text for word in words) else []
    kept = {key: value for key, value in said.items() if key not in DATED}
    kept["rootfs"] = None  # digests of archives, which hold dates
    return [json.dumps(kept, sort_keys=True)], places


def _layer(stream: IO[bytes], words: Sequence[bytes]) -> tuple[list[str], list[str]]:
    lines, places = [], []
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            content = member.linkname
            if member.isreg():
                data = tar.extractfile(member)
                assert data is not None  # it is a regular file
                content, found = _hashed(data, words)
                if found:
                    places.append(member.name)
            facts = (member.type.decode(), f"{member.mode:o}", member.uid, member.gid)
            lines.append(f"{member.name} {' '.join(map(str, facts))} {content}")
    return sorted(lines), places


def _hashed(data: IO[bytes], words: Sequence[bytes]) -> tuple[str, bool]:
    """The sha256 of a file, and whether one of the words stands in it."""
    digest, found, rest = hashlib.sha256(), False, b""
    keep = max((len(word) for word in words), default=1) - 1
    for chunk in _chunks(data):
        digest.update(chunk)
        window = rest + chunk
        found = found or any(word in window for word in words)
        rest = window[-keep:] if keep else b""
    return digest.hexdigest(), found


def _chunks(data: IO[bytes]) -> Iterator[bytes]:
    while chunk := data.read(CHUNK):
        yield chunk
