"""Builds a release from the wheel, the scripts and the settings of the job."""

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
# Settings that are allowed in a task of a job, but not in a task of a one-time run.
OF_JOBS_ONLY = ("max_retries", "min_retry_interval_millis", "retry_on_timeout")


@dataclass(frozen=True)
class Release:
    """The files and settings that are deployed together.

    Attributes:
        package, version, commit: the wheel's distribution, version and commit.
        folder: the folder of the release's files on the volume. Its path contains the
            version and a digest of all files, so that different files have different
            folders.
        wheel: the wheel's file name; pip reads the version from this name.
        inspect, restore: the file names of the scripts `inspect` and `restore`.
        files: the sha256 of each file; the keys are file names.
        job: the declared settings of the scheduled job.
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
        """Return the content of the manifest.

        A deploy writes the manifest last, so a folder with a manifest is complete.
        """
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode()

    @property
    def is_consistent(self) -> bool:
        """Whether the manifest agrees with the name of its folder.

        The folder's name contains a digest of all files. A manifest that lists
        different files does not agree with this name.
        """
        return (
            self.folder.endswith(f"/{_address(self.version, self.files)}")
            and {self.wheel, self.inspect, self.restore, JOB} <= self.files.keys()
            and self.files[JOB] == hashlib.sha256(_job_text(self.job)).hexdigest()
            and not any("/" in name for name in self.files)
        )

    def settings(self, cluster_id: str) -> dict[str, Any]:
        """Return the job's settings for this cluster and the release's scripts."""
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
        """Return a task that runs one script of the release in a one-time run."""
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
        """Return the job's tasks; remove the settings that a one-time run refuses."""
        tasks = self.settings(cluster_id)["tasks"]
        return [
            {key: value for key, value in task.items() if key not in OF_JOBS_ONLY}
            for task in tasks
        ]


def make(
    root: Path, target: Target, artifacts: Artifacts
) -> tuple[Release, dict[str, bytes]]:
    """Build the release of a verified wheel for an environment.

    Returns the release, and a dictionary with the content of each file by file name.
    """
    paths = [
        root / script
        for script in dict.fromkeys([*target.scripts, target.inspect, target.restore])
    ]
    contents = {path.name: path.read_bytes() for path in (artifacts.wheel, *paths)}
    contents[JOB] = _job_text(target.job)
    files = {
        name: hashlib.sha256(content).hexdigest()
        for name, content in sorted(contents.items())
    }
    release = Release(
        package=artifacts.package,
        version=artifacts.version,
        commit=artifacts.commit,
        folder=f"{target.base}/{_address(artifacts.version, files)}",
        wheel=artifacts.wheel.name,
        inspect=Path(target.inspect).name,
        restore=Path(target.restore).name,
        files=files,
        job=target.job,
    )
    return release, contents


def _job_text(job: Mapping[str, Any]) -> bytes:
    return json.dumps(job, indent=1, sort_keys=True).encode()


def _address(version: str, files: Mapping[str, str]) -> str:
    """Return the path of a release's folder, relative to the environment's folder."""
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return f"{version}/{digest[:12]}"


def parse(text: bytes) -> Release:
    """Return the release that a manifest describes; raise ValueError if invalid."""
    try:
        return Release(**json.loads(text))
    except TypeError as error:
        raise ValueError(f"{MANIFEST}: {error}") from None


def tag(version: str) -> str:
    """Replace `+` in a version, because the value of a tag cannot contain `+`."""
    return version.replace("+", "_")
