"""Validates manifests against the schemas of Kubernetes versions. Unknown fields are
errors.

    python scripts/validate_manifests.py manifests.yaml 1.32 1.34

Prints JSON: `[{"kind", "name", "path", "message", "versions"}]`. If several versions
report the same error, the output has one row with these versions. The exit code is 1 if
there are errors, and 2 if the schemas of a version are not installed.
"""

from __future__ import annotations

import json
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from kubernetes_validate import utils as schemas

# Without this cache, two schema files would be read and parsed again for every object.
schemas.schema_contents = lru_cache(schemas.schema_contents)


def main(file: str, *versions: str) -> int:
    text = Path(file).read_text(encoding="utf-8")
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for thing in yaml.load_all(text, Loader=yaml.CSafeLoader):
        for version in versions:
            path: list[Any] = []
            try:
                used = schemas.validate(thing, version, strict=True)
                if used != version:
                    print(
                        f"the schemas of Kubernetes {version} are not installed;"
                        f" the nearest version is {used}",
                        file=sys.stderr,
                    )
                    return 2
                continue
            except schemas.VersionNotSupportedError as error:
                print(
                    f"{error.message}; the newest is {schemas.latest_version()}",
                    file=sys.stderr,
                )
                return 2
            except schemas.SchemaNotFoundError as error:
                message = re.sub(r" for kubernetes version .*", "", str(error.message))
                path = ["apiVersion"]
            except schemas.ValidationError as error:
                message, path = error.message, list(error.absolute_path)
                unexpected = re.search(r"\('([^']+)' was unexpected\)", message)
                path += [unexpected[1]] if unexpected else []
            kind, name = thing["kind"], thing["metadata"]["name"]
            key = (kind, name, repr(path), message)
            row = {
                "kind": kind,
                "name": name,
                "path": path,
                "message": message,
                "versions": [],
            }
            found.setdefault(key, row)["versions"].append(version)
    print(json.dumps(list(found.values())))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
