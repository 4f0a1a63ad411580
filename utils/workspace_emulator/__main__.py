"""Starts the emulator, and prints the URL of the workspace on the first line. The
emulator ends on SIGTERM, or when its standard input is closed.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from aiohttp import web

from .errors import ApiError
from .server import Server

VARIABLE = "WORKSPACE_EMULATOR_TOKEN"
JARS = "LAKE_CI_JARS"
USAGE, UNFIT = 2, 3


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m workspace_emulator",
        description=(
            f"A local Databricks workspace. {VARIABLE} is the token that clients must"
            " send; without it, a token is generated."
        ),
    )
    options.add_argument(
        "--port",
        type=int,
        default=0,
        help="the port on 127.0.0.1; default: 0 (a free port)",
    )
    options.add_argument(
        "--state",
        type=Path,
        help="the folder that stores the workspace; default: a temporary folder",
    )
    options.add_argument(
        "--faults",
        type=Path,
        help="a JSON file with a list of faults to set at the start",
    )
    jars = Path(os.environ[JARS]) if os.environ.get(JARS) else None
    options.add_argument(
        "--jars",
        type=Path,
        default=jars,
        help=f"the folder of Delta's jars; default: {JARS}",
    )
    return options


async def serve(
    folder: Path, token: str, port: int, jars: Path | None, faults: Path | None
) -> None:
    """Serve requests until the emulator is stopped."""
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, end.set)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = Server(folder, token, url, jars=jars)
        for fault in json.loads(faults.read_text(encoding="utf-8")) if faults else ():
            server.faults.add(fault)
        runner = web.AppRunner(server.application(), access_log=None)
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            print(url, flush=True)
            # Standard input ends even if the parent process is killed.
            threading.Thread(target=_watch, args=(loop, end), daemon=True).start()
            await end.wait()
        finally:
            await runner.cleanup()


def _watch(loop: asyncio.AbstractEventLoop, end: asyncio.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    loop.call_soon_threadsafe(end.set)


def main(arguments: Sequence[str]) -> int:
    """Run the emulator. Returns the exit code: 0 after a normal end, 2 for invalid
    options, 3 if the port or the state folder cannot be used.
    """
    options = parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    # The state contains secrets and uploaded data, so only its owner may read it.
    os.umask(0o077)
    with ExitStack() as held:
        if options.state is None:
            options.state = Path(
                held.enter_context(tempfile.TemporaryDirectory(prefix="workspace-"))
            )
        options.state = options.state.resolve()
        options.state.mkdir(parents=True, exist_ok=True)
        options.state.chmod(0o700)
        lock = held.enter_context((options.state / "lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                f"{options.state}: another emulator uses this folder; set another"
                " folder with --state",
                file=sys.stderr,
            )
            return UNFIT
        # A token that was read from a file may end in a line break, but an HTTP header
        # cannot contain a line break.
        token = os.environ.get(VARIABLE, "").strip()
        token = token or _own_token(options.state / "token")
        try:
            asyncio.run(
                serve(options.state, token, options.port, options.jars, options.faults)
            )
        except OSError as error:
            print(
                f"cannot serve on port {options.port}: {error.strerror or error}",
                file=sys.stderr,
            )
            return UNFIT
        except (ApiError, ValueError, TypeError) as error:
            print(f"{options.faults}: {error}", file=sys.stderr)
            return USAGE
    return 0


def _own_token(file: Path) -> str:
    """Return the token from the state folder, and create it if it does not exist. Only
    the owner of the token file can read it.
    """
    if not file.exists():
        with open(
            os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600),
            "w",
            encoding="utf-8",
        ) as opened:
            opened.write(f"dapi{secrets.token_hex(16)}\n")
    print(f"the token: {file}", file=sys.stderr)
    return file.read_text(encoding="utf-8").strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
