"""Tests workspace files and notebooks through databricks-cli and the SDK."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import (
    BadRequest,
    NotFound,
    NotImplemented,
    ResourceAlreadyExists,
)
from databricks.sdk.service.workspace import (
    ExportFormat,
    ImportFormat,
    Language,
    ObjectType,
)

Cli = Callable[..., SimpleNamespace]


def test_cli_imports_lists_exports_and_removes(
    cli: Cli, sdk: WorkspaceClient, tmp_path: Path
) -> None:
    source, back = tmp_path / "note.py", tmp_path / "back.py"
    source.write_text("print(1)\n")
    assert cli("workspace", "mkdirs", "/Users/me").code == 0
    assert (
        cli("workspace", "import", str(source), "/Users/me/note", "-l", "PYTHON").code
        == 0
    )
    assert cli("workspace", "ls", "/Users/me").out.split() == ["note"]
    assert sdk.workspace.get_status("/Users/me/note").language is Language.PYTHON
    assert cli("workspace", "export", "/Users/me/note", str(back)).code == 0
    assert back.read_text() == source.read_text()
    again = cli("workspace", "import", str(source), "/Users/me/note", "-l", "PYTHON")
    assert again.code == 1 and "RESOURCE_ALREADY_EXISTS" in again.out
    assert cli("workspace", "delete", "/Users/me/note").code == 0
    gone = cli("workspace", "ls", "/Users/me/note")
    assert gone.code == 1 and "RESOURCE_DOES_NOT_EXIST" in gone.out


def test_sdk_uploads_files_as_they_are(sdk: WorkspaceClient) -> None:
    sdk.workspace.mkdirs("/Shared")
    sdk.workspace.upload(
        "/Shared/job.py", io.BytesIO(b"print(2)\n"), format=ImportFormat.RAW
    )
    found = sdk.workspace.get_status("/Workspace/Shared/job.py")
    assert found.object_type is ObjectType.FILE and found.path == "/Shared/job.py"
    with sdk.workspace.download("/Shared/job.py", format=ExportFormat.AUTO) as opened:
        assert opened.read() == b"print(2)\n"
    with pytest.raises(ResourceAlreadyExists):
        sdk.workspace.upload("/Shared/job.py", io.BytesIO(b""), format=ImportFormat.RAW)
    sdk.workspace.upload(
        "/Shared/job.py", io.BytesIO(b"3"), format=ImportFormat.RAW, overwrite=True
    )
    assert sdk.workspace.export("/Shared/job.py").content == "Mw=="


def test_a_folder_with_content_goes_only_recursively(sdk: WorkspaceClient) -> None:
    sdk.workspace.upload("/Old/x.txt", io.BytesIO(b"x"), format=ImportFormat.RAW)
    with pytest.raises(BadRequest) as refused:
        sdk.workspace.delete("/Old")
    assert refused.value.error_code == "DIRECTORY_NOT_EMPTY"
    sdk.workspace.delete("/Old", recursive=True)
    with pytest.raises(NotFound):
        sdk.workspace.get_status("/Old")


def test_other_formats_say_that_they_are_not_emulated(sdk: WorkspaceClient) -> None:
    with pytest.raises(NotImplemented, match="format DBC"):
        sdk.workspace.upload(
            "/Shared/archive", io.BytesIO(b""), format=ImportFormat.DBC
        )
