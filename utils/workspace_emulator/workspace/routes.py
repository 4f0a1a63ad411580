"""Routes of the workspace API."""

from __future__ import annotations

import base64

from aiohttp import web

from ..dbfs.routes import decoded
from ..errors import not_emulated
from ..routing import Answer, Call, Route
from .state import Workspace


def routes(workspace: Workspace) -> list[Route]:
    def import_(call: Call) -> Answer:
        content = (
            call.upload.read_bytes()
            if call.upload
            else decoded("content", call.text("content"))
        )
        how = call.text("format", "SOURCE"), call.text("language", "")
        workspace.import_(
            call.text("path"), content, *how, overwrite=call.flag("overwrite")
        )
        return {}

    def export(call: Call) -> Answer:
        kind = call.text("format", "SOURCE")
        if kind not in ("SOURCE", "AUTO", "RAW"):
            raise not_emulated(f"workspace exports of format {kind}")
        content = workspace.export(call.text("path"))
        if call.flag("direct_download"):
            return web.Response(body=content, content_type="application/octet-stream")
        return {"content": base64.b64encode(content).decode()}

    def status(call: Call) -> Answer:
        return workspace.status(call.text("path"))

    def list_(call: Call) -> Answer:
        return {"objects": workspace.entries(call.text("path"))}

    def mkdirs(call: Call) -> Answer:
        workspace.mkdirs(call.text("path"))
        return {}

    def delete(call: Call) -> Answer:
        workspace.delete(call.text("path"), recursive=call.flag("recursive"))
        return {}

    base = "/api/2.0/workspace"
    return [
        Route("POST", f"{base}/import", import_),
        Route("GET", f"{base}/export", export),
        Route("GET", f"{base}/get-status", status),
        Route("GET", f"{base}/list", list_),
        Route("POST", f"{base}/mkdirs", mkdirs),
        Route("POST", f"{base}/delete", delete),
    ]
