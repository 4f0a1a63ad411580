from __future__ import annotations

import json
import logging
from typing import Iterator

import pytest

from lakekit_api.logs import LOGGER, configure, log


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, ours = (
        list(root.handlers),
        root.level,
        logging.getLogger(LOGGER).level,
    )
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger(LOGGER).setLevel(ours)


def test_log_is_one_json_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info")
    log(logging.INFO, "answered", path="/a\nb", status=200)
    log(logging.DEBUG, "not said")
    logging.getLogger("elsewhere").warning("of %s", "others")
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "info",
        "message": "answered",
        "path": "/a\nb",
        "status": 200,
    }
    assert (second["level"], second["message"]) == ("warning", "of others")


def test_exception_in_hand_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info")
    try:
        raise KeyError("lost")
    except KeyError:
        log(logging.ERROR, "failed", error=True)
    [line] = capsys.readouterr().out.splitlines()
    assert "KeyError: 'lost'" in json.loads(line)["error"]
