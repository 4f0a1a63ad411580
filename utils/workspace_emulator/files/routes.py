"""Routes of the Files API."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate

from aiohttp import web

from ..faults.injection import FileAnswer
from ..routing import Answer, Call, Route
from ..tree import Tree
from .state import Files

OCTETS = "application/octet-stream"


def routes(files: Files, tree: Tree) -> list[Route]:
    async def upload(call: Call) -> Answer:
        path, overwrite = call.match["path"], call.flag("overwrite")
        with tree.receiving() as received:
            with received.open("wb") as opened:
                async for chunk in call.request.content.iter_chunked(1 << 20):
                    opened.write(chunk)
            files.place(received, path, overwrite=overwrite)
        return web.Response(status=204)

    def download(call: Call) -> Answer:
        file = files.file(call.match["path"])
        return FileAnswer(str(file), OCTETS)

    def metadata(call: Call) -> Answer:
        stat = files.file(call.match["path"]).stat()
        headers = {
            "Content-Length": str(stat.st_size),
            "Content-Type": OCTETS,
            "Last-Modified": formatdate(stat.st_mtime, usegmt=True),
        }
        return web.Response(headers=headers)

    def done(action: Callable[[str], object]) -> Callable[[Call], Answer]:
        def handler(call: Call) -> Answer:
            action(call.match["path"])
            return web.Response(status=204)

        return handler

    def folder_metadata(call: Call) -> Answer:
        files.folder(call.match["path"])
        return web.Response(status=200)

    def list_(call: Call) -> Answer:
        return {"contents": files.entries(call.match["path"])}

    file, folder = "/api/2.0/fs/files{path:/.*}", "/api/2.0/fs/directories{path:/.*}"
    return [
        Route("PUT", file, upload, raw=True),
        Route("GET", file, download),
        Route("HEAD", file, metadata),
        Route("DELETE", file, done(files.delete)),
        Route("PUT", folder, done(files.create_folder)),
        Route("GET", folder, list_),
        Route("HEAD", folder, folder_metadata),
        Route("DELETE", folder, done(files.delete_folder)),
    ]
