"""The image `api` answers authorized requests, completes pending requests on SIGTERM,
and is killed when it has too little memory.
"""

from __future__ import annotations

import json
import shutil
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from testing.images.containers import OFFLINE, Engine, reason, until
from testing.images.reference_lake import ROOT, ReferenceLake
from testing.images.service import (
    PORT,
    READY_SECONDS,
    Service,
    decisive,
    get,
    make_token,
)

PUBLISHED = f"--publish=127.0.0.1::{PORT}"
TABLE = "gold.busiest_hours"
PAGE = f"/{TABLE.replace('.', '/')}"
END_SECONDS = 5
# Python can start with this memory limit, but the service with DuckDB and Arrow needs
# more memory.
TOO_SMALL = "48m"
# The kernel reports the lack of memory and the end of the container separately. If the
# report of the end arrives first, the engine loses the reason for the end. On a busy
# machine, the engine loses the reason about once in thirty times.
TIMES = 4


@pytest.fixture(scope="module")
def service(engine: Engine, reference: ReferenceLake, folder: Path) -> Service:
    return Service(engine, reference.make(), make_token(engine, folder))


@pytest.fixture(scope="module")
def ready(service: Service) -> str:
    """Return a container that is ready to answer requests."""
    container = service.start(PUBLISHED)
    url = service.url(container)
    is_ready = until(lambda: get(f"{url}/readyz")[0] == 200, READY_SECONDS)
    assert is_ready, f"not ready: {service.logs(container)}"
    return container


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), (PAGE, 401)])
def test_without_a_token_only_its_health_is_answered(
    service: Service, ready: str, path: str, status: int
) -> None:
    answer, _ = get(service.url(ready) + path)
    assert answer == status


def test_its_own_health_check_passes(engine: Engine, ready: str) -> None:
    form = "--format={{json .Config.Healthcheck.Test}}"
    command = json.loads(engine.answer("inspect", form, ready))
    checked = engine.ask("exec", ready, *command[1:])
    assert checked.returncode == 0, reason("HEALTHCHECK", checked)


def test_with_a_token_it_answers_the_rows_of_the_table(
    service: Service, reference: ReferenceLake, ready: str
) -> None:
    url = f"{service.url(ready)}{PAGE}?limit=1000"
    answer, page = get(url, service.token.secret)
    assert answer == 200
    wanted = reference.rows(TABLE)
    assert sorted(map(repr, page["rows"])) == sorted(map(repr, wanted))


def test_on_sigterm_it_answers_the_request_in_hand_and_exits_with_0(
    service: Service, engine: Engine, folder: Path
) -> None:
    hold = folder / "hold"
    hold.mkdir()
    hold.chmod(0o777)  # this machine does not know the image's user
    shutil.copy(ROOT / "testing/images/sitecustomize.py", hold)
    options = (f"--volume={hold}:/hold", "--env=PYTHONPATH=/hold", PUBLISHED)
    container = service.start(*options)
    url = service.url(container)
    is_ready = until(lambda: get(f"{url}/readyz")[0] == 200, READY_SECONDS)
    assert is_ready, f"not ready: {service.logs(container)}"
    (hold / "armed").touch()
    answer: Future[int] = Future()

    def ask() -> None:
        answer.set_result(get(f"{url}{PAGE}?limit=999", service.token.secret)[0])

    threading.Thread(target=ask, daemon=True).start()
    is_held = until((hold / "held").exists, READY_SECONDS)
    assert is_held, "the query of a request did not begin"
    engine.answer("kill", "--signal=TERM", container)
    (hold / "armed").unlink()
    end = service.end(container, END_SECONDS)
    assert end is not None, f"it still runs {END_SECONDS} s after SIGTERM"
    assert end.code == 0, f"it ended with {end.code}: {end.logs}"
    assert answer.result(END_SECONDS) == 200


def test_in_too_little_memory_it_is_ended_by_the_limit(service: Service) -> None:
    limits = (f"--memory={TOO_SMALL}", f"--memory-swap={TOO_SMALL}", OFFLINE)
    started = (service.start(*limits) for _ in range(TIMES))
    end = decisive(service.end(each, READY_SECONDS) for each in started)
    assert end is not None, f"it runs in {TOO_SMALL} of memory"
    assert end.code == 137, f"in {TOO_SMALL} it ended with {end.code}: {end.logs}"
    assert end.by_limit, f"killed {TIMES} times, and never by the limit"
