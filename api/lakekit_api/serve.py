"""The server process: runs uvicorn with lakekit's logging and socket, and exits cleanly
on signals.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from functools import partial
from types import FrameType
from typing import Mapping, Optional, Sequence, Type, Union, cast

import uvicorn
from fastapi import FastAPI

if sys.platform != "win32":
    import resource

from lakekit_api import settings as known
from lakekit_api.app import create_app
from lakekit_api.errors import AddressInUseError, StartupError
from lakekit_api.keyring import Keyring
from lakekit_api.limits import IdleConnections
from lakekit_api.logs import configure, flush, log, logged_stderr
from lakekit_api.protocol import LimitedProtocol
from lakekit_api.settings import Settings
from lakekit_api.tokens import Token

BACKLOG = 2048
RESERVED_FILES = 256
"""The number of files that may be open in addition to the connections, such as files of
the lake, libraries, and sockets to object stores.
"""


def serve(
    settings: Settings,
    tokens: Union[Sequence[Token], Keyring],
    environment: Mapping[str, str],
) -> None:
    """Serve until a signal arrives. After SIGTERM, the process answers pending requests
    and exits with code 0.

    Raises StartupError, AddressInUseError.
    """
    if settings.log_level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise StartupError(
            f"{settings.log_level} is no log level",
            "Use debug, info, warning or error.",
        )
    app = create_app(settings, tokens)
    allow_connections(settings.max_connections)
    listening = _listen(settings.host, settings.port)
    configure(settings.log_level)
    _log_start(settings, tokens, environment, listening)
    server = uvicorn.Server(_config(app, settings))
    # Exclude the existing objects from garbage collection, because scanning them
    # would delay requests.
    gc.collect()
    gc.freeze()
    # After a graceful shutdown, uvicorn restores this handler and raises the signal
    # again.
    signal.signal(signal.SIGTERM, _end)
    try:
        with logged_stderr():
            server.run(sockets=[listening])
    finally:
        flush()
        # Without this call, DuckDB would report at process exit that objects were not
        # freed.
        gc.unfreeze()


def _log_start(
    settings: Settings,
    tokens: Union[Sequence[Token], Keyring],
    environment: Mapping[str, str],
    listening: socket.socket,
) -> None:
    unknown = known.unknown(environment)
    if unknown:
        log(logging.WARNING, "ignored unknown variables", variables=unknown)
    host, port = listening.getsockname()[:2]
    log(
        logging.INFO,
        "listening",
        host=host,
        port=port,
        lake=settings.lake,
        tokens=len(tokens),
    )


def _config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    # uvicorn declares that this argument is a class, but accepts any function that
    # returns a protocol.
    protocol = partial(LimitedProtocol, settings, IdleConnections(), app.state.metrics)
    return uvicorn.Config(
        app,
        http=cast(Type[asyncio.Protocol], protocol),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_timeout,
        timeout_graceful_shutdown=round(settings.grace),
    )


def allow_connections(count: int) -> None:
    """Raise the limit of open files so that `count` connections are possible.

    Raises StartupError if the hard limit of open files is too low.
    """
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + RESERVED_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise StartupError(
            f"{count} connections need {needed} open files, but the limit is {hard}",
            "Lower --max-connections, or raise the limit (ulimit -Hn).",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _end(_: int, __: Optional[FrameType]) -> None:
    log(logging.INFO, "stopped")
    sys.exit(0)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise AddressInUseError(
            f"Cannot listen on {host}:{port}: {error.strerror}",
            "Choose another address with --host and --port.",
        ) from None
