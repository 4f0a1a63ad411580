from __future__ import annotations

import dataclasses
import gc
import json
import logging
import resource
import signal
import socket
from typing import Any, Iterator, List, Optional, Tuple

import pytest
import uvicorn

from lakekit_api import Settings
from lakekit_api.errors import AddressInUseError, StartupError
from lakekit_api.serve import RESERVED_FILES, allow_connections, serve


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """After each test, restore the signal handler and the logging of this process."""
    handler, root = signal.getsignal(signal.SIGTERM), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    signal.signal(signal.SIGTERM, handler)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_port_that_is_taken_is_named(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            AddressInUseError, match=f"Cannot listen on 127.0.0.1:{port}"
        ) as caught:
            serve(dataclasses.replace(settings, no_auth=True, port=port), (), {})
    assert caught.value.exit_code == 3


def test_unknown_log_level_is_refused(settings: Settings) -> None:
    with pytest.raises(StartupError, match="loud is no log level"):
        serve(dataclasses.replace(settings, no_auth=True, log_level="loud"), (), {})


def test_start_is_logged_with_the_port_and_what_means_nothing(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    configured: List[uvicorn.Config] = []

    def run(self: uvicorn.Server, sockets: Any) -> None:
        configured.append(self.config)
        assert gc.get_freeze_count() > 0
        [listening] = sockets
        with listening:
            assert listening.getsockname()[1] > 0
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(uvicorn.Server, "run", run)
    with pytest.raises(SystemExit) as caught:
        serve(
            dataclasses.replace(settings, no_auth=True, port=0),
            (),
            {"LAKEKIT_API_LAEK": "x"},
        )
    assert caught.value.code == 0 and gc.get_freeze_count() == 0
    unknown, listening, stopped = map(json.loads, capfd.readouterr().out.splitlines())
    assert (
        unknown["variables"] == ["LAKEKIT_API_LAEK"] and unknown["level"] == "warning"
    )
    assert listening["message"] == "listening" and listening["port"] > 0
    assert stopped["message"] == "stopped"
    assert configured[0].timeout_graceful_shutdown == settings.grace
    assert configured[0].timeout_keep_alive == settings.keep_alive_timeout


@pytest.mark.parametrize(
    ("soft", "hard", "raised"),
    [
        (1024, 4096, None),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, None),
        (512, 4096, (512 + RESERVED_FILES, 4096)),
        (512, resource.RLIM_INFINITY, (512 + RESERVED_FILES, resource.RLIM_INFINITY)),
    ],
)
def test_limit_of_open_files_is_raised_as_far_as_needed(
    soft: int,
    hard: int,
    raised: Optional[Tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes: List[Tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: changes.append(limits))
    allow_connections(512)
    assert changes == ([] if raised is None else [raised])


def test_more_connections_than_open_files_are_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 600))
    with pytest.raises(StartupError, match="512 connections need 768 open files"):
        serve(dataclasses.replace(settings, no_auth=True), (), {})
