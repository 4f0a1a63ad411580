from __future__ import annotations

import json
import logging
import os
from typing import Iterator

import pytest

from lakekit_api.logs import LOGGER, configure, flush, log, logged_stderr


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


def test_log_is_one_json_object_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    configure("info")
    log(logging.INFO, "answered", path="/a\nb", status=200)
    log(logging.DEBUG, "not said")
    logging.getLogger("elsewhere").warning("of %s", "others")
    flush()
    first, second = map(json.loads, capfd.readouterr().out.splitlines())
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "info",
        "message": "answered",
        "path": "/a\nb",
        "status": 200,
    }
    assert (second["level"], second["message"]) == ("warning", "of others")


def test_exception_in_hand_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    configure("info")
    try:
        raise KeyError("lost")
    except KeyError:
        log(logging.ERROR, "failed", error=True)
    flush()
    [line] = capfd.readouterr().out.splitlines()
    assert "KeyError: 'lost'" in json.loads(line)["error"]


def test_text_on_standard_error_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    configure("info")
    with logged_stderr():
        os.write(2, b"thread panicked\n\n at lib.rs:1\n")
    os.write(2, b"after it\n")
    flush()
    out, err = capfd.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    texts = [line["text"] for line in lines]
    assert texts == ["thread panicked", " at lib.rs:1"] and err == "after it\n"
