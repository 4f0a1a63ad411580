"""Serve a Kubernetes API on this machine until standard input is closed. The API is a
new server, or a proxy to a cluster.

    python scripts/serve_kubernetes.py .cache/kubernetes --assets FOLDER
    python scripts/serve_kubernetes.py .cache/kubernetes --context NAME

FOLDER contains the programs etcd and kube-apiserver, for a new server. With --context,
kubectl proxy serves the cluster of the context NAME on a Unix socket.

When the API is ready, the script prints one line of JSON with the address. All files
are in a temporary folder below the given folder. First, the script cleans up after
earlier runs that were killed: it kills their processes and removes their folders.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

READY_SECONDS = 60
ASK_AGAIN_SECONDS = 0.05
LAST_LINES = 8


class ServerEndedError(Exception):
    """A program ended unexpectedly or did not become ready. The message contains the
    end of the program's log.
    """


def free_ports(number: int) -> list[int]:
    """Return the numbers of unused ports of the loopback interface."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def own_folder(parent: Path) -> Iterator[Path]:
    """Create a folder for a `with` block. First, the folders of dead servers are
    removed and their processes are killed.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(parent):
        for left in parent.glob("server.*"):
            sweep(left)
        folder = Path(tempfile.mkdtemp(prefix="server.", dir=parent))
        held = (folder / "lock").open("w")
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        # Without this lock, another process could call `sweep` on a partly removed
        # folder.
        with one_at_a_time(parent):
            shutil.rmtree(folder)
        held.close()


@contextmanager
def one_at_a_time(parent: Path) -> Iterator[None]:
    """Allow only one process at a time to create or remove folders below `parent`."""
    with (parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def sweep(folder: Path) -> None:
    """Remove the folder of a dead server and kill its remaining processes. If the
    server is still alive, it holds the lock of its folder, and nothing is done.
    """
    try:
        with (folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    for pid, command in commands():
        # Match only the server's programs, whose options contain paths in the folder.
        # Do not kill other programs that have opened a file in the folder.
        if f"={folder}/" in command:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder)


def commands() -> Iterator[tuple[int, str]]:
    """Yield the id and the command line of each process of this machine."""
    if Path("/proc/self/cmdline").exists():
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                yield int(entry.parent.name), entry.read_bytes().replace(
                    b"\0", b" "
                ).decode(errors="replace")
        return
    listing = subprocess.run(
        ["ps", "-Aww", "-o", "pid=,args="], capture_output=True, text=True, check=True
    )
    for line in listing.stdout.splitlines():
        pid, _, command = line.strip().partition(" ")
        yield int(pid), command


@contextmanager
def running(argv: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program during a `with` block. The log of the program is a file in the
    folder. At the end, the program is killed. A clean shutdown is not necessary,
    because the data of the program are deleted.
    """
    with (folder / f"{Path(argv[0]).name}.log").open("wb") as log:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_until(
    ready: Callable[[], object],
    processes: dict[str, subprocess.Popen[bytes]],
    folder: Path,
) -> None:
    """Wait until `ready()` returns true. Raises ServerEndedError if a process ends
    before `ready()` returns true, or if the timeout is reached.
    """
    deadline = time.monotonic() + READY_SECONDS
    while not ready():
        for name, process in processes.items():
            try:
                code = process.wait(ASK_AGAIN_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            raise ServerEndedError(
                f"{name} ended with exit code {code}\n{log_of(folder, name)}"
            )
        if time.monotonic() > deadline:
            raise ServerEndedError(
                f"not ready within {READY_SECONDS}"
                f" s\n{log_of(folder, list(processes)[-1])}"
            )


def log_of(folder: Path, name: str) -> str:
    """Return the end of a program's log."""
    text = (folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")
    return "\n".join(text.strip().splitlines()[-LAST_LINES:])


@contextmanager
def own_server(assets: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """Run etcd and kube-apiserver during a `with` block. The server gets a new
    certificate and a new token.
    """
    token = write_credentials(folder)
    client, peer, secure = free_ports(3)
    etcd = etcd_command(assets, folder, client, peer)
    apiserver = apiserver_command(assets, folder, client, secure)
    url, authority = f"https://127.0.0.1:{secure}", folder / "ca.pem"
    ask = asking(url, token, authority)
    with running(etcd, folder) as first, running(apiserver, folder) as second:
        wait_until(
            lambda: ask("/readyz"), {"etcd": first, "kube-apiserver": second}, folder
        )
        version = json.loads(ask("/version") or b"{}").get(
            "gitVersion", "of unknown version"
        )
        yield {"url": url, "token": token, "ca": str(authority), "version": version}


def write_credentials(folder: Path) -> str:
    """Write new credentials to the folder: a certificate authority, a certificate and
    its key, and a file that contains a token. Returns the token.
    """
    import trustme  # imported here, because `--context` does not need this package

    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    token = secrets.token_hex(32)
    (folder / "tokens.csv").write_text(
        f'{token},lake-ci,lake-ci,"system:masters"\n', encoding="utf-8"
    )
    return token


def etcd_command(assets: Path, folder: Path, client: int, peer: int) -> list[str]:
    """Return the command that runs etcd on these ports; the folder has etcd's data."""
    return [
        f"{assets}/etcd",
        f"--data-dir={folder}/etcd",
        "--unsafe-no-fsync",
        f"--listen-client-urls=http://127.0.0.1:{client}",
        f"--advertise-client-urls=http://127.0.0.1:{client}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-cluster=default=http://127.0.0.1:{peer}",
    ]


def apiserver_command(
    assets: Path, folder: Path, client: int, secure: int
) -> list[str]:
    """Return the command that runs kube-apiserver. The server uses etcd on the port
    `client`, and the credentials in the folder.
    """
    return [
        f"{assets}/kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{client}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--secure-port={secure}",
        f"--cert-dir={folder}",
        f"--tls-cert-file={folder}/cert.pem",
        f"--tls-private-key-file={folder}/key.pem",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={folder}/key.pem",
        f"--service-account-key-file={folder}/key.pem",
        f"--token-auth-file={folder}/tokens.csv",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.0.0.0/24",
        # This plugin requires service accounts in each namespace, but no running
        # controller creates service accounts.
        "--disable-admission-plugins=ServiceAccount",
        # Like most clusters, the server allows privileged containers. But the pod
        # security level of a namespace may reject privileged containers.
        "--allow-privileged=true",
    ]


def asking(url: str, token: str, authority: Path) -> Callable[[str], bytes | None]:
    """Return a function that requests a path of the server. The function returns the
    body of the response, or None if the request fails.
    """
    trust = ssl.create_default_context(cafile=str(authority))
    # Ignore proxies that environment variables configure.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
    )

    def ask(path: str) -> bytes | None:
        request = urllib.request.Request(
            url + path, headers={"Authorization": f"Bearer {token}"}
        )
        try:
            with opener.open(request, timeout=5) as answer:
                return bytes(answer.read())
        except (urllib.error.URLError, OSError):
            return None

    return ask


@contextmanager
def door(context: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Run kubectl proxy for the cluster of a context; the proxy uses the user's
    credentials. Only the user can open the socket of the proxy.
    """
    address = folder / "socket"
    argv = ["kubectl", "proxy", f"--context={context}", f"--unix-socket={address}"]
    with running(argv, folder) as proxy:
        wait_until(lambda: is_listened_on(address), {"kubectl": proxy}, folder)
        yield {"socket": str(address)}


def is_listened_on(address: Path) -> bool:
    """Return whether a program accepts connections on a socket. It is not enough that
    the file of the socket exists, because the file is created before connections are
    accepted.
    """
    with socket.socket(socket.AF_UNIX) as visitor:
        try:
            visitor.connect(os.path.relpath(address))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


def stop(number: int, frame: Any) -> NoReturn:
    sys.exit(128 + number)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--assets", type=Path)
    kind.add_argument("--context")
    options = parser.parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    with own_folder(options.folder) as folder:
        served = (
            own_server(options.assets, folder)
            if options.assets
            else door(options.context, folder)
        )
        try:
            with served as how:
                print(json.dumps(how), flush=True)
                # Standard input is closed even if the parent process is killed.
                sys.stdin.read()
        except (ServerEndedError, OSError) as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
