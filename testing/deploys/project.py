"""Creates a project to deploy, with a real wheel and with scripts that do not use
Spark. Each table of the project is a file with a list of commits, not a Delta table.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from lake_ci.model import results
from lake_ci.model.results import CheckResult, Result, Status
from lake_ci.system import git

PACKAGE = "shop"
VOLUME = "/Volumes/spark_catalog/shop/artifacts"
LAKE = f"{VOLUME}/lake"
BASE = f"{VOLUME}/{PACKAGE}/trial"
DATE = (2020, 1, 1, 0, 0, 0)

BUNDLE = f"""\
bundle: {{name: shop}}
variables:
  cluster_id: {{description: the cluster, lookup: {{cluster: shop}}}}
  volume: {{description: for wheels, default: {VOLUME}}}
  source: {{description: for sources, default: {VOLUME}/incoming}}
  lake: {{description: the tables, default: {LAKE}}}
artifacts: {{shop: {{type: whl}}}}
resources:
  jobs:
    nightly:
      name: shop nightly
      tags: {{environment: "${{bundle.target}}"}}
      schedule:
        quartz_cron_expression: "0 0 3 * * ?"
        timezone_id: UTC
        pause_status: PAUSED
      tasks:
        - task_key: fill
          existing_cluster_id: ${{var.cluster_id}}
          spark_python_task:
            python_file: scripts/fill.py
            parameters: [--lake, "${{var.lake}}"]
        - task_key: check
          existing_cluster_id: ${{var.cluster_id}}
          depends_on: [{{task_key: fill}}]
          spark_python_task:
            python_file: scripts/check.py
            parameters: [--lake, "${{var.lake}}"]
targets:
  production: {{workspace: {{host: "https://production.invalid"}}}}
  staging: {{workspace: {{host: "https://staging.invalid"}}}}
  dev: {{workspace: {{host: "https://dev.invalid"}}}}
  trial:
"""
SETTINGS = """\
[project]
name = "shop"

[tool.lake_ci.deploy]
package = "shop"
job = "nightly"
inspect = "scripts/inspect_shop.py"
restore = "scripts/restore_shop.py"

[tool.lake_ci.deploy.limits]
request = {request}
attempts = 4
pause = 0.05
poll = 0.2
busy = 300
start = 300
install = 300
run = 300
"""
LAKE_MODULE = """\
import argparse, json, time
from pathlib import Path


def lake():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lake", type=Path, required=True)
    parser.add_argument("--package")
    parser.add_argument("--versions", action="store_true")
    parser.add_argument("--gold", action="store_true")
    parser.add_argument("--table", action="append", default=[])
    parser.add_argument("--run", action="append", default=[])
    options = parser.parse_args()
    options.lake.mkdir(parents=True, exist_ok=True)
    return options


def commits(file):
    return json.loads(file.read_text()) if file.exists() else []


def rows(file):
    return commits(file)[-1]["rows"] if file.exists() else []


# As in Delta, a commit holds the whole table, and setting it back to an older version
# is a further commit.
def commit(file, rows):
    file.write_text(
        json.dumps([*commits(file), {"at": int(time.time() * 1000), "rows": rows}])
    )


def add(file, row):
    commit(file, [*rows(file), row])
"""
SCRIPTS = {
    "fill.py": (
        """
import shop
options = lake()
# Twice is once, as with the real tables.
if shop.VERSION not in rows(options.lake / "gold_sales.json"):
    add(options.lake / "gold_sales.json", shop.VERSION)
print("filled by", shop.VERSION)
"""
    ),
    "check.py": (
        """
assert rows(lake().lake / "gold_sales.json")
"""
    ),
    "inspect_shop.py": (
        """
from importlib import metadata
options = lake()
packages = {
    each.metadata["Name"].lower(): each.version for each in metadata.distributions()
}
tables = {file.stem: commits(file) for file in options.lake.glob("*.json")}
own = ["shop"] if "shop" in packages else []
told = {
    "python": "3.11",
    "version": packages.get("shop"),
    "own": own,
    "packages": packages,
}
told["tables"] = {name: {"version": len(found) - 1} for name, found in tables.items()}
told["gold"] = {
    name: {"rows": len(found[-1]["rows"]), "sums": {}} for name, found in tables.items()
}
print(json.dumps({"lake_ci": told}))
"""
    ),
    "restore_shop.py": (
        """
options = lake()
before = {
    name: int(version)
    for name, _, version in (each.partition("=") for each in options.table)
}
runs = [tuple(map(int, each.split(":")[1:])) for each in options.run]
told = {"restored": {}, "dropped": [], "left": {}}
for file in options.lake.glob("*.json"):
    since = commits(file)[before.get(file.stem, -1) + 1:]
    ours = [
        any(
            start <= each["at"] and (each["at"] <= end or not end)
            for start, end in runs
        )
        for each in since
    ]
    if not since:
        continue
    if not all(ours):
        told["left"][file.stem] = "a commit is of somebody else"
    elif file.stem in before:
        commit(file, commits(file)[before[file.stem]]["rows"])
        told["restored"][file.stem] = before[file.stem]
    else:
        file.unlink()
        told["dropped"].append(file.stem)
print(json.dumps({"lake_ci": told}))
"""
    ),
}


def make(root: Path, version: str, *, request: int = 300, **scripts: str) -> Path:
    """Create a checkout of the project at a version, tag its commit, and build the
    project.

    Args:
        scripts: the new text of each script to replace, by the script's name.
        request: the number of seconds that the deploy waits for a response before it
            retries the request.
    """
    files = {f"scripts/{name}": LAKE_MODULE + text for name, text in SCRIPTS.items()}
    files |= {
        f"scripts/{name}.py": LAKE_MODULE + text for name, text in scripts.items()
    }
    files |= {
        "databricks.yml": BUNDLE,
        "pyproject.toml": SETTINGS.format(request=request),
        ".gitignore": "/dist/\n/reports/\n",
    }
    files |= {"VERSION": version}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    who = [
        "-c",
        "user.name=Test",
        "-c",
        "user.email=test@example.com",
        "-c",
        "commit.gpgsign=false",
    ]
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for command in (
        ["init", "-q"],
        ["add", "."],
        [*who, "commit", "-q", "-m", f"Version {version}"],
        ["tag", f"v{version}"],
    ):
        subprocess.run(["git", *command], cwd=root, env=env, check=True)
    build(root, version)
    return root


def build(root: Path, version: str, **more: Any) -> None:
    """Build the project again: the wheel, the sdist, and the reports of the build.

    Args:
        more: the keyword arguments for `wheel`.
    """
    shutil.rmtree(root / "dist", ignore_errors=True)
    wheel(root / "dist", version, **more)
    sdist(root / "dist", version)
    seal(root)


def seal(root: Path, **changes: Any) -> None:
    """Write SHA256SUMS and the build's result for the files that are in `dist/`.

    Args:
        changes: the fields of the result to replace, with their new values.
    """
    digests = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted((root / "dist").iterdir())
        if file.is_file()
    }
    reports = root / "reports" / "build"
    reports.mkdir(parents=True, exist_ok=True)
    lines = [f"{digest}  {name}\n" for name, digest in digests.items()]
    (reports / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
    checksums = CheckResult("checksums", Status.SUCCESS, data={"sha256": digests})
    made = Result(
        run="1",
        attempt=1,
        event="push",
        commit=git.commit(root),
        dirty=False,
        job="build",
        session="build",
        started="2026-01-31T02:00:00Z",
        seconds=1.0,
        reproduce="nox -s build",
        checks=(checksums,),
    )
    results.write(reports, replace(made, **changes))


def sdist(folder: Path, version: str) -> Path:
    """Write an sdist that contains only the package's metadata."""
    stem = f"{PACKAGE}-{version}"
    text = f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {version}\n".encode()
    file = folder / f"{stem}.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        member = tarfile.TarInfo(f"{stem}/PKG-INFO")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return file


def wheel(
    folder: Path, version: str, *, needs: str = "", metadata: tuple[str, str] = ("", "")
) -> Path:
    """Build a reproducible wheel of the package. Returns its path.

    Args:
        metadata: a text in METADATA to replace, and the new text.
    """
    info = f"{PACKAGE}-{version}.dist-info"
    text = f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {version}\n"
    text += f"Requires-Dist: {needs}\n" if needs else ""
    members = {
        f"{PACKAGE}/__init__.py": f'VERSION = "{version}"\n',
        f"{info}/METADATA": text.replace(*metadata) if metadata[0] else text,
        f"{info}/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n"
            "Tag: py3-none-any\n"
        ),
    }
    record = [
        f"{name},sha256={_digest(text)},{len(text)}" for name, text in members.items()
    ]
    members[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{PACKAGE}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in members.items():
            archive.writestr(zipfile.ZipInfo(name, DATE), text)
    return file


def _digest(text: str) -> str:
    return (
        base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
        .rstrip(b"=")
        .decode()
    )
