"""Checks the Host header to prevent DNS rebinding.

In DNS rebinding, the owner of a web page points a host name to this machine, so that
the page can read the service under this name.
"""

from __future__ import annotations

import ipaddress
import re
from typing import List, Optional, Union

from starlette.types import ASGIApp, Receive, Scope, Send

from lakekit_api.errors import ProblemError, StartupError, respond
from lakekit_api.settings import Settings

HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^:@/\[\]\s]+?)\.?(:[0-9]*)?")
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
PROBES = frozenset({"/healthz", "/readyz"})
"""A request for these paths may have any IP address as its host, because Kubernetes
probes use the address of the pod.
"""


class HostRule:
    """The hosts that the setting `allowed_hosts` allows in requests: names, `*.SUFFIX`,
    addresses and networks.

    With --no-auth, only loopback hosts are allowed. With tokens, an empty setting
    allows every host. The constructor raises StartupError for an invalid entry in the
    setting.
    """

    def __init__(self, settings: Settings) -> None:
        entries = [each.strip().lower() for each in settings.allowed_hosts.split(",")]
        self._names: List[str] = []
        self._networks: List[Network] = []
        self.checks = settings.no_auth or any(entries)
        self._loopback = settings.no_auth
        for entry in filter(None, entries):
            if settings.no_auth and not is_loopback(entry):
                raise StartupError(
                    f"--no-auth would open the tables to web pages of {entry}",
                    "Remove it from --allowed-hosts, or give tokens with --tokens"
                    " FILE.",
                )
            self._add(entry)

    def _add(self, entry: str) -> None:
        try:
            network = ipaddress.ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            if not re.fullmatch(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*", entry):
                raise StartupError(
                    f"--allowed-hosts: {entry} is no host",
                    "Use hosts without a port, *.SUFFIX, addresses or networks,"
                    " separated by commas.",
                ) from None
            self._names.append(entry)
        else:
            self._networks.append(network)

    def allows(self, name: str) -> bool:
        """Return whether the rule allows a host; the name contains no port."""
        if self._loopback and is_loopback(name):
            return True
        address = address_of(name)
        if address is not None:
            return any(address in network for network in self._networks)
        return any(
            name.endswith(each[1:]) if each.startswith("*.") else name == each
            for each in self._names
        )

    def objection(self, scope: Scope) -> Optional[ProblemError]:
        """Return the error if the Host header of a request is missing, invalid or not
        allowed, otherwise None.
        """
        found = [value for name, value in scope["headers"] if name == b"host"]
        probe = scope["path"] in PROBES
        if not self.checks or (probe and not found):
            return None
        match = HOST.fullmatch(found[0].decode("latin-1").lower()) if found else None
        if match is None or len(found) > 1:
            return ProblemError(400, "The request needs one valid Host header.")
        name = match["name"]
        if self.allows(name) or (probe and address_of(name) is not None):
            return None
        return ProblemError(421, "The host in the Host header is not allowed.")


class HostCheck:
    """Middleware that refuses requests whose Host header is not allowed."""

    def __init__(self, app: ASGIApp, rule: HostRule) -> None:
        self._app, self._rule = app, rule

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = self._rule.objection(scope) if scope["type"] == "http" else None
        if problem is None:
            await self._app(scope, receive, send)
        else:
            response = respond(problem, scope["state"]["request_id"])
            await response(scope, receive, send)


def address_of(name: str) -> Optional[Address]:
    """Return the IP address if the host is an IP address, otherwise None."""
    try:
        return ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Return whether the host is a loopback address or `localhost`."""
    address = address_of(host)
    return host == "localhost" or (address is not None and address.is_loopback)
