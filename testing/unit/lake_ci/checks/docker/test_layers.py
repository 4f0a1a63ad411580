"""Tests how an image's contents are read from archives that `docker save` writes."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from lake_ci.checks.docker.layers import (
    CONFIGURATION,
    ArchiveReader,
    LayerPath,
    instruction_line,
)

DOCKERFILE = """\
FROM base AS api
ARG VERSION=1
RUN --mount=type=cache,target=/root/.cache \\
    install \\
 && clean
COPY --from=wheel --chmod=755 /dist /opt/lake
WORKDIR /work
""".splitlines()


def layer(
    files: dict[str, bytes], *, mode: int = 0o644, uid: int = 0, mtime: int = 0
) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.uid, member.mtime = (
                len(content),
                mode,
                uid,
                mtime,
            )
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def archive(
    path: Path, layers: list[bytes], *, created: str = "today", user: str = "10001"
) -> Path:
    """Return an archive of one image, whose first layer comes from the base image."""
    configuration = {
        "created": created,
        "config": {"User": user},
        "rootfs": {
            "diff_ids": [f"{path.name}-{number}" for number, _ in enumerate(layers)]
        },
        "history": (
            [{"created_by": f"COPY /{n} /x # buildkit"} for n, _ in enumerate(layers)]
            + [{"created_by": "USER 10001", "empty_layer": True}]
        ),
    }
    names = [f"{number}/layer.tar" for number, _ in enumerate(layers)]
    contents = dict(zip(names, layers)) | {
        "config.json": json.dumps(configuration).encode(),
        "manifest.json": (
            json.dumps(
                [{"Config": "config.json", "Layers": names, "RepoTags": ["x:1"]}]
            ).encode()
        ),
    }
    path.write_bytes(layer(contents))
    return path


def test_dates_and_the_base_are_no_part_of_the_contents(tmp_path: Path) -> None:
    reader = ArchiveReader(1)
    one = reader.read(
        archive(tmp_path / "1", [layer({"base": b"1"}), layer({"x": b"a"}, mtime=1)])
    )
    two = reader.read(
        archive(
            tmp_path / "2",
            [layer({"base": b"2"}), layer({"x": b"a"}, mtime=2)],
            created="later",
        )
    )
    assert one.digest == two.digest and not one.files ^ two.files


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"files": {"x": b"b"}}, "x"),
        ({"files": {"x": b"a", "y": b""}}, "y"),
        ({"files": {"x": b"a"}, "mode": 0o4755}, "x"),
        ({"files": {"x": b"a"}, "uid": 1}, "x"),
    ],
    ids=["content", "path", "mode", "owner"],
)
def test_what_differs_is_named_with_the_instruction_that_made_it(
    tmp_path: Path, other: dict[str, object], named: str
) -> None:
    reader, base = ArchiveReader(1), layer({"base": b""})
    one = reader.read(archive(tmp_path / "1", [base, layer({"x": b"a"})]))
    changed = layer(**other)  # type: ignore[arg-type]  # a table of keywords
    two = reader.read(archive(tmp_path / "2", [base, changed]))
    assert one.digest != two.digest
    assert {place for place, _ in one.files ^ two.files} == {
        LayerPath(named, "COPY /1 /x # buildkit")
    }


def test_the_configuration_is_part_of_the_contents(tmp_path: Path) -> None:
    reader, layers = ArchiveReader(1), [layer({"base": b""})]
    one = reader.read(archive(tmp_path / "1", layers))
    two = reader.read(archive(tmp_path / "2", layers, user="0"))
    assert {place.path for place, _ in one.files ^ two.files} == {CONFIGURATION}


def test_a_secret_is_found_where_it_lies_across_two_chunks(tmp_path: Path) -> None:
    text = b"x" * ((1 << 20) - 3) + b"canary"
    found = ArchiveReader(1, [b"canary"]).read(
        archive(
            tmp_path / "1", [layer({"a": b"canary"}), layer({"b": text, "c": b"canar"})]
        )
    )
    assert [place.path for place in found.secrets] == ["b"]


def test_what_is_no_archive_of_one_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    path.write_bytes(layer({"manifest.json": b"[]"}))
    with pytest.raises(ValueError, match=r"image\.tar is not an archive of one image"):
        ArchiveReader(0).read(path)


@pytest.mark.parametrize(
    ("instruction", "line"),
    [
        ("RUN /bin/sh -c install  && clean # buildkit", 3),
        ("RUN |1 VERSION=1 /bin/sh -c install  && clean # buildkit", 3),
        ("COPY /dist /opt/lake # buildkit", 6),
        ("WORKDIR /work", 7),
        ("COPY /other /opt/lake # buildkit", None),
    ],
)
def test_the_line_of_an_instruction_is_found_by_what_the_history_says(
    instruction: str, line: int | None
) -> None:
    assert instruction_line(instruction, DOCKERFILE) == line
