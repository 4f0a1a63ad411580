"""Reads or creates the key that signs the entries of the result cache.

The key is stored outside the clone. So a cache that comes from a clone, an archive or
another account has no valid entries: unknown code may have written the entries.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path

BYTES = 32
FILE = "lake-ci/cache-key"


def signing_key(env: Mapping[str, str]) -> bytes:
    """Return the key of this account, and create it on the first use.

    On GitHub no file outlives a run, so the key is made from the repository's name.
    On GitHub, the scopes of `actions/cache` decide which runs share cached results.

    Raises:
        OSError: the key can neither be read nor written.
    """
    if env.get("GITHUB_ACTIONS") == "true":
        return f"github {env.get('GITHUB_REPOSITORY', '')}".encode()
    path = _file(env)
    for _ in range(2):
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            pass
        else:
            if len(key) == BYTES:
                return key
            path.unlink(missing_ok=True)
        _create(path)
    return path.read_bytes()


def _file(env: Mapping[str, str]) -> Path:
    state = env.get("XDG_STATE_HOME") or os.path.join(
        env.get("HOME") or os.path.expanduser("~"), ".local", "state"
    )
    return Path(state, FILE)


def _create(path: Path) -> None:
    """Write a new key, unless another process was faster."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(secrets.token_bytes(BYTES))
        os.link(scratch, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(scratch)
