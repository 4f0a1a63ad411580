"""Definitions of the service's settings.

`lakekit-api serve` has a flag for every setting. If the flag is not given, the setting
is read from the variable `LAKEKIT_API_<NAME>`. `variables` lists the names of all
variables, for use by deployments.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

PREFIX = "LAKEKIT_API_"
TOKENS = f"{PREFIX}TOKENS"
"""The environment variable that contains the lines of a tokens file, separated by
newlines or semicolons. Tokens have no flag, because `ps` shows the flags of a process.
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
        8080, "Port to listen on; 0 selects a free port and logs it.", 0, 65535
    )
    tokens_file: str = _setting(
        "",
        "File of token hashes, in the format that `lakekit-api token` prints."
        " It is read again when it changes.",
    )
    no_auth: bool = _setting(
        False, "Serve without tokens. Allowed only on a loopback address."
    )
    allowed_hosts: str = _setting(
        "",
        "Allowed hosts in the Host header, separated by commas: names, *.SUFFIX,"
        " addresses and networks. Other hosts get 421. By default every host is"
        " allowed; with --no-auth, only loopback hosts.",
    )
    declarations: str = _setting(
        "lakekit.nyc_flights.tables:TABLES", "The tables' declarations, MODULE:NAME."
    )
    limit: int = _setting(100, "Rows per page if the request does not set `limit`.", 1)
    max_limit: int = _setting(1000, "Maximum number of rows per page.", 1)
    timeout: float = _setting(10.0, "Time limit of a query.", 0.001)
    concurrency: int = _setting(
        64, "Maximum number of concurrent data requests; further requests get 429.", 1
    )
    threads: int = _setting(2, "Maximum number of concurrent queries.", 1)
    refresh: float = _setting(
        1.0, "Minimum time between two checks of a table for a new version."
    )
    max_stale: float = _setting(
        3600.0,
        "Maximum age of the version that is served if a table cannot be read.",
    )
    memory: str = _setting(
        "1GB",
        "Memory limit for tables and queries. Data beyond it goes to a temporary"
        " folder.",
    )
    versions: int = _setting(
        8,
        "Maximum number of old versions in memory, for ?version= and `next` links.",
        1,
    )
    cache: int = _setting(
        64, "Size of the cache of response pages in megabytes; 0 disables it."
    )
    grace: float = _setting(20.0, "Time limit for pending requests after SIGTERM.")
    max_connections: int = _setting(
        512,
        "Maximum number of connections. If all are in use, a new connection replaces"
        " the one that has been idle longest, or gets 503 if none is idle.",
        1,
    )
    max_url: int = _setting(8192, "Maximum bytes of a URL; longer URLs get 414.", 64)
    max_headers: int = _setting(
        100, "Maximum number of headers; requests with more get 431.", 1
    )
    max_header_bytes: int = _setting(
        16384,
        "Maximum bytes of a request's headers; larger headers get 431.",
        256,
    )
    max_body: int = _setting(
        16384,
        "Maximum bytes of a request body; larger bodies get 413. No endpoint needs"
        " one.",
    )
    read_timeout: float = _setting(
        20.0,
        "Maximum seconds from the first to the last byte of a request; slower ones get"
        " 408.",
        0.001,
    )
    write_timeout: float = _setting(
        30.0,
        "Seconds after which a client that does not read its response is disconnected.",
        0.001,
    )
    keep_alive_timeout: int = _setting(
        75,
        "Maximum seconds that a connection is idle. Must be longer than the idle limit"
        " of load balancers, which otherwise send requests on closing connections.",
        1,
    )
    log_level: str = _setting("info", "debug, info, warning or error.")


def fields() -> List[dataclasses.Field[Any]]:
    """Return the dataclass fields of all settings, in the order of definition."""
    return list(dataclasses.fields(Settings))


def variables() -> Dict[str, str]:
    """Return the names and descriptions of all environment variables that the service
    reads.
    """
    found = {
        f"{PREFIX}{each.name.upper()}": str(each.metadata["help"]) for each in fields()
    }
    return {
        **found,
        TOKENS: "The lines of a tokens file, separated by newlines or semicolons.",
    }


def unknown(environment: Mapping[str, str]) -> List[str]:
    """Return the variables that have the service's prefix but are not settings.

    A variable of this kind is misspelled, or Kubernetes sets the variable because a
    Service is named `lakekit-api`.
    """
    return sorted(
        name
        for name in environment
        if name.startswith(PREFIX) and name not in variables()
    )
