"""A release: the wheel, the scripts and the job's settings, under one digest."""

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
# Settings that a task of a job may have and a task of a one-time run may not have.
OF_JOBS_ONLY = ("max_retries", "min_retry_interval_millis", "retry_on_timeout")


@dataclass(frozen=True)
class Release:
    """The files and settings that are deployed together.

    Attributes:
        package, version, commit: those of the wheel.
        folder: the folder of its files on the volume. The name contains version and
            digest, so that different content has a different folder.
        wheel: the wheel's file name, which pip reads.
        inspect, restore: the file names of those two scripts.
        files: the sha256 of each file by name.
        job: the settings of the scheduled job as declared.
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
        """The digest of the wheel."""
        return self.files[self.wheel]

    def text(self) -> bytes:
        """Return the manifest.

        It is written last, and means that the folder is complete.
        """
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode()

    def settings(self, cluster_id: str) -> dict[str, Any]:
        """Return the scheduled job's settings, with this cluster and these scripts."""
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
        """Return a task of a one-time run of one of the release's own scripts."""
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
        """Return the job's tasks, for a one-time run."""
        tasks = self.settings(cluster_id)["tasks"]
        return [
            {key: value for key, value in task.items() if key not in OF_JOBS_ONLY}
            for task in tasks
        ]


def make(
    root: Path, target: Target, artifacts: Artifacts
) -> tuple[Release, dict[str, bytes]]:
    """Return the release of a verified wheel for an environment, and its files.

    The files are their contents by name.
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
    """Return the release that a manifest describes. Raises ValueError."""
    try:
        return Release(**json.loads(text))
    except TypeError as error:
        raise ValueError(f"{MANIFEST}: {error}") from None


def tag(version: str) -> str:
    """Return a version as a tag's value, which allows only some characters."""
    return version.replace("+", "_")
