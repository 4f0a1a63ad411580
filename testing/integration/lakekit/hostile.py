"""Sends generated hostile requests, one after another, to an API that runs on this
machine. No response may have a status 5xx, and the API's process must not end.

`python -m testing.integration.lakekit.hostile 10000` sends 10,000 requests to a service
that serves the sample. The program prints the number of responses by status, the
maximum memory, and the duration of the slowest health check.
"""

from __future__ import annotations

import contextlib
import random
import re
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple

import lakekit
from testing.integration.lakekit.test_api import PATHS, SECRET, Service, served

TEXTS = (
    *("", "0", "-1", "1", "9" * 30, "1e309", "NaN", "inf", "null", "true", "'", '"'),
    *("' OR 1=1 --", "1; DROP TABLE t", "../../etc/passwd", "..%2f..%2fetc", "%00"),
    *("%", "%zz", "%ff%fe", "%ed%a0%80", "%0d%0aX: y", "%F0%9F%92%A9", "a" * 3000),
    *("{{7*7}}", "${jndi:x}", "<script>", "[]", "[[", "(((" * 50, "*", "?", "&", "=,"),
    *("2013-01-01", "0000-00-00", "9999-12-31T23:59:60Z", "-292277-01-01", "UA", "JFK"),
)
NAMES = ("limit", "sort", "after", "version", "flight_day", "carrier", "origin", "x")
SUFFIXES = ("", "__ge", "__lt", "__in", "__ne", ".ge", "[]", "[ge]", "%00")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
ODD_METHODS = ("CONNECT", "get", "PRI", "G\x00T", "", "X" * 300, "GET GET", "M-SEARCH")
HOSTS = (
    *("127.0.0.1", "localhost", "evil.example", "", "[::1]", "[", "a:b:c", "x" * 300),
    *("127.0.0.1:0", "127.0.0.1:99999999", "\xff\xfe", "a b", "@", "http://x/", "*"),
)
HEADERS = (
    *("Accept: " + "a/b," * 200, "Accept-Encoding: gzip;q=nan", "Range: bytes=9-1"),
    *("If-None-Match: *", 'If-None-Match: "' + "x" * 2000, "Connection: upgrade"),
    *("Upgrade: websocket", "Upgrade: h2c", "Expect: 100-continue", "Expect: x"),
    *("Content-Length: -1", "Content-Length: 9999999999999", "Content-Length: x"),
    *("Content-Length: 5", "Transfer-Encoding: chunked", "Transfer-Encoding: x"),
    *("X-Forwarded-For: " + "1," * 500, "X-Request-Id: \x1b[31m", "no colon", ": y"),
    *("Authorization: Bearer", "Authorization: Basic !!", "Cookie: " + "a=b;" * 500),
    *(" folded: line", "X\x00: y", "X: \r", "X: " + "y" * 20_000, "\xff: \xfe"),
)
BODIES = ("", "x" * 5, "ffffffffffffffff\r\n", "0\r\n\r\n", "-1\r\nx\r\n", "x" * 20_000)
UNFINISHED = re.compile(b"Content-Length|Transfer-Encoding")
SECONDS = 30
"""The maximum time to wait for a response."""


class Outcome(NamedTuple):
    """The outcome of a series of hostile requests.

    `statuses` has the number of responses by status; 0 means that the connection was
    closed without a response. `first_mb` and `last_mb` are the maximum memory of the
    service after the first tenth of the requests, and after all requests. `slowest` is
    the duration of the slowest health check in seconds. `failures` are the lines of the
    service's log that report errors.
    """

    statuses: Dict[int, int]
    first_mb: int
    last_mb: int
    slowest: float
    failures: List[str]


def request(chance: random.Random, cursor: str) -> bytes:
    """Return one request. `cursor` is a valid cursor. The request may contain a damaged
    form of this cursor.
    """
    path = _path(chance) + _query(chance, cursor)
    methods = METHODS if chance.random() < 0.9 else ODD_METHODS
    method = "GET" if chance.random() < 0.7 else chance.choice(methods)
    version = "HTTP/1.1" if chance.random() < 0.95 else _junk(chance)
    lines = [f"{method} {path} {version}"]
    hosts = ["127.0.0.1"] if chance.random() < 0.8 else chance.choices(HOSTS, k=2)
    lines += [f"Host: {host}" for host in hosts[: chance.choice((1, 1, 1, 2))]]
    if chance.random() < 0.9:
        lines.append(f"Authorization: Bearer {SECRET}")
    if chance.random() < 0.3:
        lines += chance.choices(HEADERS, k=chance.choice((1, 1, 2, 3, 150)))
    lines += ["Connection: close", "", chance.choice(BODIES)]
    return "\r\n".join(lines).encode("latin-1")


def _junk(chance: random.Random) -> str:
    """Return random characters below U+0100, most of them printable."""
    least, most = (0, 255) if chance.random() < 0.2 else (33, 126)
    size = chance.choice((1, 5, 40))
    return "".join(chr(chance.randint(least, most)) for _ in range(size))


def _text(chance: random.Random) -> str:
    return chance.choice(TEXTS) if chance.random() < 0.8 else _junk(chance)


def _path(chance: random.Random) -> str:
    kind, path = chance.random(), chance.choice([*PATHS, "/tables", "/readyz"])
    if kind < 0.7:
        return path
    if kind < 0.8:
        return path + chance.choice(("/", "//", "/..", "%2f", "%00", ";x", "/.", "#"))
    return chance.choice(("/", "//", "/gold/", "http://evil/", "*", "")) + _text(chance)


def _query(chance: random.Random, cursor: str) -> str:
    pairs = []
    for _ in range(chance.choice((0, 0, 0, 1, 1, 1, 2, 3, 30))):
        name = chance.choice(NAMES) if chance.random() < 0.9 else _text(chance)
        value = _text(chance)
        if name == "after" and chance.random() < 0.8:
            value = _damaged(chance, cursor)
        pairs.append(f"{name}{chance.choice(SUFFIXES)}={value}")
    return "?" + "&".join(pairs) if pairs else ""


def _damaged(chance: random.Random, cursor: str) -> str:
    """Return a damaged cursor: with a wrong length, or with a changed character."""
    place, kind = chance.randrange(len(cursor)), chance.random()
    if kind < 0.2:
        return cursor[:place]
    if kind < 0.3:
        return cursor * 2
    letter = chance.choice("AZaz09-_=+/ ")
    return cursor[:place] + letter + cursor[place + 1 :]


def send(port: int, content: bytes) -> int:
    """Send a request. Returns the status of the response, or 0 if there is no
    response.
    """
    answer = b""
    with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
        try:
            connection.sendall(content)
            if UNFINISHED.search(content):  # otherwise, the service waits for a body
                # The service may already have closed the connection.
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
            while b"\r\n" not in answer:
                block = connection.recv(65536)
                if not block:
                    break
                answer += block
        except ConnectionError:
            pass  # the service closed the connection during the request
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    return int(found.group(1)) if found else 0


def attack(
    service: Service,
    count: int,
    seed: int,
    cursor: str = "",
    clock: Callable[[], float] = time.perf_counter,
) -> Outcome:
    """Send `count` hostile requests to a service, with a health check after every tenth
    request. If `cursor` is empty, first request a cursor from the service. Raises
    AssertionError if the service's process has ended.
    """
    chance, statuses, slowest = random.Random(seed), Counter[int](), 0.0
    log: List[str] = []
    reader = threading.Thread(target=_read, args=(service, log), daemon=True)
    cursor = cursor or _cursor(service)
    reader.start()
    first_mb = 0
    for number in range(count):
        statuses[send(service.port, request(chance, cursor))] += 1
        if number % 10 == 0:
            begun = clock()
            service.get("/healthz", {})
            slowest = max(slowest, clock() - begun)
        if number == count // 10:
            first_mb = _peak_mb(service)
    assert service.process.poll() is None, "the service ended"
    last_mb = _peak_mb(service)
    service.process.terminate()
    reader.join(SECONDS)
    failures = [
        line for line in log if '"level":"error"' in line or "Traceback" in line
    ]
    return Outcome(dict(statuses), first_mb, last_mb, slowest, failures)


def _cursor(service: Service) -> str:
    """Request a page, and return the cursor for the next page."""
    following = str(service.get(f"{PATHS[0]}?limit=1")["next"])
    return following.partition("after=")[2].partition("&")[0]


def _read(service: Service, log: List[str]) -> None:
    stdout: Any = service.process.stdout
    log.extend(stdout)


def _peak_mb(service: Service) -> int:
    """Return the maximum memory that the service has used so far, in MB, or 0 if the
    system does not report the memory.
    """
    status = Path(f"/proc/{service.process.pid}/status")
    if not status.exists():
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    return int(found.group(1)) // 1024 if found else 0


def main(count: str) -> None:
    """Send hostile requests to a new service that serves the sample, and print the
    outcome.
    """
    seed = random.SystemRandom().randrange(10**6)
    with tempfile.TemporaryDirectory() as folder:
        lakekit.run(Path(__file__).parents[2] / "data", Path(folder) / "lake")
        with served(Path(folder) / "lake") as service:
            outcome = attack(service, int(count), seed)
    print(f"seed {seed}: {outcome._asdict()}")
    if outcome.failures or any(status >= 500 for status in outcome.statuses):
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
