"""Definitions of the service's settings.

`lakekit-api serve` has a flag for every setting, and reads `LAKEKIT_API_<NAME>` if the
flag is not given. Deployments use the names in `variables`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

PREFIX = "LAKEKIT_API_"
TOKENS = f"{PREFIX}TOKENS"
"""The environment variable with the lines of a tokens file, separated by newlines or
semicolons. A secret has no flag, because `ps` shows flags.
"""


def _setting(
    default: Any, description: str, smallest: float = 0, largest: Optional[int] = None
) -> Any:
    return dataclasses.field(
        default=default, metadata={"help": description, "min": smallest, "max": largest}
    )


@dataclass(frozen=True)
class Settings:
    """The settings of a service. Times are in seconds."""

    lake: str = _setting("", "Lake: a folder or s3://BUCKET/PREFIX.")
    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: int = _setting(
        8080, "Port to listen on; 0 takes a free one and logs it.", 0, 65535
    )
    tokens_file: str = _setting(
        "",
        "File of token hashes, as `lakekit-api token` prints them; read again when it"
        " changes.",
    )
    no_auth: bool = _setting(False, "Serve without tokens; only on a loopback address.")
    allowed_hosts: str = _setting(
        "",
        "Hosts that requests may name, with commas: names, *.SUFFIX, addresses and"
        " networks; others get 421. By default any host; only this machine with"
        " --no-auth.",
    )
    declarations: str = _setting(
        "lakekit.nyc_flights.tables:TABLES", "The tables' declarations, MODULE:NAME."
    )
    limit: int = _setting(100, "Rows per page if the request has no limit.", 1)
    max_limit: int = _setting(1000, "Maximum number of rows per page.", 1)
    timeout: float = _setting(10.0, "Time limit of a query.", 0.001)
    concurrency: int = _setting(
        64, "Maximum number of concurrent data requests; more get 429.", 1
    )
    threads: int = _setting(2, "Queries that run at once.", 1)
    refresh: float = _setting(
        1.0, "Minimum time between two checks of a table for a new version."
    )
    max_stale: float = _setting(
        3600.0,
        "Time for which the last version is served if a table cannot be read.",
    )
    memory: str = _setting(
        "1GB",
        "Memory limit for tables and queries; more is spilled to a temporary folder.",
    )
    versions: int = _setting(
        8, "Old versions that stay loaded, for ?version= and for next pages.", 1
    )
    cache: int = _setting(
        64, "Size of the cache of response pages in megabytes; 0 disables it."
    )
    grace: float = _setting(
        20.0, "Time that requests in flight may take to end after SIGTERM."
    )
    max_connections: int = _setting(
        512,
        "Maximum number of connections; one more closes the longest idle, or gets 503.",
        1,
    )
    max_url: int = _setting(8192, "Maximum bytes of a URL; a longer one gets 414.", 64)
    max_headers: int = _setting(100, "Maximum number of headers; more get 431.", 1)
    max_header_bytes: int = _setting(
        16384,
        "Maximum bytes of a request's headers; more get 431.",
        256,
    )
    max_body: int = _setting(
        16384,
        "Maximum bytes of a body, although no endpoint needs one; more get 413.",
    )
    read_timeout: float = _setting(
        20.0,
        "Seconds for a request to arrive, from first to last byte; then 408.",
        0.001,
    )
    write_timeout: float = _setting(
        30.0,
        "Seconds without reading a response after which a client is disconnected.",
        0.001,
    )
    keep_alive_timeout: int = _setting(
        75,
        "Seconds that a connection may be idle. Set more than load balancers allow, or "
        "they send requests on connections that are just being closed.",
        1,
    )
    log_level: str = _setting("info", "debug, info, warning or error.")


def fields() -> List[dataclasses.Field[Any]]:
    """Return the settings as declared, in order."""
    return list(dataclasses.fields(Settings))


def variables() -> Dict[str, str]:
    """Return every environment variable that the service reads, with its meaning."""
    found = {
        f"{PREFIX}{each.name.upper()}": str(each.metadata["help"]) for each in fields()
    }
    return {
        **found,
        TOKENS: "Token hashes themselves, one a line or separated by semicolons.",
    }


def unknown(environment: Mapping[str, str]) -> List[str]:
    """Return variables with the service's prefix that are not settings: misspelled, or
    set by Kubernetes for a Service with this name.
    """
    return sorted(
        name
        for name in environment
        if name.startswith(PREFIX) and name not in variables()
    )
