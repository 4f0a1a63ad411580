"""Tests DBFS through databricks-cli and the SDK."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest, NotFound, ResourceAlreadyExists

Cli = Callable[..., SimpleNamespace]


def test_cli_copies_a_file_up_and_down_and_lists_it(
    cli: Cli, sdk: WorkspaceClient, tmp_path: Path
) -> None:
    source, target = tmp_path / "numbers.csv", tmp_path / "back.csv"
    source.write_bytes(b"a,b\n1,2\n" * 1000)
    assert cli("fs", "mkdirs", "dbfs:/cli").code == 0
    assert cli("fs", "cp", str(source), "dbfs:/cli/numbers.csv").code == 0
    assert cli("fs", "ls", "dbfs:/cli").out.split() == ["numbers.csv"]
    assert cli("fs", "cp", "dbfs:/cli/numbers.csv", str(target)).code == 0
    assert target.read_bytes() == source.read_bytes()
    found = sdk.dbfs.get_status("/cli/numbers.csv")
    assert (found.path, found.is_dir, found.file_size) == (
        "/cli/numbers.csv",
        False,
        8000,
    )


def test_cli_is_refused_what_exists_and_told_so(cli: Cli, tmp_path: Path) -> None:
    source = tmp_path / "once.txt"
    source.write_text("one")
    assert cli("fs", "cp", str(source), "dbfs:/once.txt").code == 0
    refused = cli("fs", "cp", str(source), "dbfs:/once.txt")
    assert refused.code == 1 and "RESOURCE_ALREADY_EXISTS" in refused.out
    source.write_text("two")
    assert cli("fs", "cp", "--overwrite", str(source), "dbfs:/once.txt").code == 0
    assert cli("fs", "cat", "dbfs:/once.txt").out.strip() == "two"
    assert cli("fs", "rm", "dbfs:/once.txt").code == 0
    gone = cli("fs", "ls", "dbfs:/once.txt")
    assert gone.code == 1 and "RESOURCE_DOES_NOT_EXIST" in gone.out


def test_sdk_streams_in_blocks(sdk: WorkspaceClient) -> None:
    whole = bytes(range(256)) * 10_000
    sdk.dbfs.upload("/stream/big.bin", io.BytesIO(whole))
    with sdk.dbfs.download("/stream/big.bin") as back:
        assert back.read() == whole
    with pytest.raises(ResourceAlreadyExists):
        sdk.dbfs.upload("/stream/big.bin", io.BytesIO(b""))


def test_a_stream_is_not_seen_before_it_is_closed(sdk: WorkspaceClient) -> None:
    handle = sdk.dbfs.create("/half.bin").handle
    assert handle is not None
    sdk.dbfs.add_block(handle, "aGFsZg==")
    with pytest.raises(NotFound):
        sdk.dbfs.get_status("/half.bin")
    sdk.dbfs.close(handle)
    assert sdk.dbfs.read("/half.bin").data == "aGFsZg=="
    with pytest.raises(NotFound, match="No stream"):
        sdk.dbfs.close(handle)


def test_blocks_and_reads_over_a_megabyte_are_refused(sdk: WorkspaceClient) -> None:
    handle = sdk.dbfs.create("/large.bin").handle
    assert handle is not None
    with pytest.raises(BadRequest) as refused:
        sdk.dbfs.add_block(handle, "A" * 4 * 500_000)
    assert refused.value.error_code == "MAX_BLOCK_SIZE_EXCEEDED"
    sdk.dbfs.close(handle)
    with pytest.raises(BadRequest) as refused:
        sdk.dbfs.read("/large.bin", length=2 << 20)
    assert refused.value.error_code == "MAX_READ_SIZE_EXCEEDED"


def test_put_move_and_delete(sdk: WorkspaceClient) -> None:
    sdk.dbfs.put("/tree/a/one.txt", contents="b25l")
    sdk.dbfs.move("/tree/a/one.txt", "/tree/b/two.txt")
    assert [each.path for each in sdk.dbfs.list("/tree")] == ["/tree/a", "/tree/b"]
    assert sdk.dbfs.exists("/tree/b/two.txt") and not sdk.dbfs.exists("/tree/a/one.txt")
    with pytest.raises(BadRequest, match="not empty") as refused:
        sdk.api_client.do(
            "POST", "/api/2.0/dbfs/delete", body={"path": "/tree"}
        )  # `sdk.dbfs.delete` would check the path first
    assert refused.value.error_code == "IO_ERROR"
    sdk.dbfs.delete("/tree", recursive=True)
    with pytest.raises(NotFound):
        sdk.dbfs.get_status("/tree")
