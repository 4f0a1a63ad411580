"""A release: the wheel, the scripts and the scheduled job's settings that belong
together, under one digest.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from lake_ci.deploy.artifacts import Artifacts
from lake_ci.deploy.bundle import CLUSTER, Target

MANIFEST = "release.json"
JOB = "job.json"
# What a task of a job may say and one of a one-time run may not.
OF_JOBS_ONLY = ("max_retries", "min_retry_interval_millis", "retry_on_timeout")


@dataclass(frozen=True)
class Release:
    """What is deployed as one.

    Attributes:
        package, version, commit: what the wheel is. folder: where its files lie on the
        volume: by version and digest, so that other bytes have another place. wheel:
        the wheel's file name, which pip reads. inspect, restore: the file names of
        those two scripts. files: the sha256 of each file by name. job: the settings of
        the scheduled job as declared.
    """

    package: str
    version: str
    commit: str
    folder: str
    wheel: str
    inspect: str
    restore: str
    files: Mapping[str, str]
    job: Mapping[str, Any]

    @property
    def wheel_path(self) -> str:
        return f"{self.folder}/{self.wheel}"

    @property
    def sha256(self) -> str:
        """Of the wheel."""
        return self.files[self.wheel]

    def text(self) -> bytes:
        """The manifest: written last, it says that the folder is whole."""
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode()

    def settings(self, cluster_id: str) -> dict[str, Any]:
        """The scheduled job's settings: on this cluster, with the scripts of this
        release.
        """
        settings = copy.deepcopy(dict(self.job))
        for task in settings["tasks"]:
            task["existing_cluster_id"] = task["existing_cluster_id"].replace(
                f"${{var.{CLUSTER}}}", cluster_id
            )
            script = task["spark_python_task"]
            script["python_file"] = (
                f"{self.folder}/{PurePosixPath(script['python_file']).name}"
            )
        return {
            **settings,
            "format": "MULTI_TASK",
            "tags": {
                **settings["tags"],
                "version": tag(self.version),
                "commit": self.commit[:12],
            },
        }

    def task(
        self, key: str, script: str, cluster_id: str, *parameters: str, **more: Any
    ) -> dict[str, Any]:
        """A task of a one-time run of one of the release's own scripts."""
        python = {
            "python_file": f"{self.folder}/{script}",
            "parameters": list(parameters),
        }
        return {
            "task_key": key,
            "existing_cluster_id": cluster_id,
            "spark_python_task": python,
            **more,
        }

    def once(self, cluster_id: str) -> list[dict[str, Any]]:
        """The job's tasks, for a one-time run."""
        tasks = self.settings(cluster_id)["tasks"]
        return [
            {key: value for key, value in task.items() if key not in OF_JOBS_ONLY}
            for task in tasks
        ]


def make(
    root: Path, target: Target, artifacts: Artifacts
) -> tuple[Release, dict[str, bytes]]:
    """The release of a verified wheel for an environment, and the content of its files
    by name.
    """
    paths = [
        root / script
        for script in dict.fromkeys([*target.scripts, target.inspect, target.restore])
    ]
    contents = {path.name: path.read_bytes() for path in (artifacts.wheel, *paths)}
    contents[JOB] = json.dumps(target.job, indent=1, sort_keys=True).encode()
    files = {
        name: hashlib.sha256(content).hexdigest()
        for name, content in sorted(contents.items())
    }
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    release = Release(
        package=artifacts.package,
        version=artifacts.version,
        commit=artifacts.commit,
        folder=f"{target.base}/{artifacts.version}/{digest[:12]}",
        wheel=artifacts.wheel.name,
        inspect=Path(target.inspect).name,
        restore=Path(target.restore).name,
        files=files,
        job=target.job,
    )
    return release, contents


def parse(text: bytes) -> Release:
    """The release that a manifest tells. Raises ValueError."""
    try:
        return Release(**json.loads(text))
    except TypeError as error:
        raise ValueError(f"{MANIFEST}: {error}") from None


def tag(version: str) -> str:
    """A version as a tag's value, which may not hold every sign."""
    return version.replace("+", "_")
