"""Installs libraries into the environments of clusters, in the background. Each cluster
installs one library at a time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from ..clusters.state import Clusters
from ..errors import ApiError, not_emulated
from ..runtime.background import Background
from ..runtime.environment import Environment, InstallError, normalized
from ..store import Document, Store
from ..tree import Tree
from .errors import DBFS_ROOT, not_a_library

Library = dict[str, Any]
FOREIGN = ("jar", "egg", "maven", "cran")
PENDING = ("PENDING", "RESOLVING", "INSTALLING")


class Libraries:
    """The libraries of every cluster, in the order of the install requests.

    Installed packages are never replaced while a cluster runs. If a library would
    replace an installed package, the install is only tested in a separate folder. When
    the next start of the cluster creates a new environment, the library is installed.
    """

    def __init__(
        self, store: Store, tree: Tree, clusters: Clusters, background: Background
    ) -> None:
        self._libraries = store.collection("library")
        self._tree = tree
        self._clusters = clusters
        self._background = background
        clusters.on_start.append(self._started)
        clusters.on_stop.append(self._stopped)
        clusters.on_delete.append(self._deleted)

    def resume(self) -> None:
        """Continue the installs that were interrupted when the previous emulator
        process ended.
        """
        for library in self._libraries.values():
            if library["status"] in PENDING:
                self._set(library, "PENDING")
                self._work(library["cluster_id"])

    def install(self, cluster_id: str, libraries: Sequence[Library]) -> None:
        """Start the install of libraries. On a stopped cluster, the libraries are
        installed at the next start.
        """
        self._clusters.get(cluster_id)
        for library in libraries:
            check(library)
        for library in libraries:
            before = self._libraries.get(_key(cluster_id, library))
            if before is None or before["status"] == "FAILED":
                fresh = {"cluster_id": cluster_id, "library": library}
                self._set(fresh, "PENDING")
            elif before["status"] == "UNINSTALL_ON_RESTART":
                self._set(before, "INSTALLED")
        self._work(cluster_id)

    def uninstall(self, cluster_id: str, libraries: Sequence[Library]) -> None:
        """Remove libraries at the next start of a cluster. Missing libraries are
        ignored.
        """
        self._clusters.get(cluster_id)
        for library in libraries:
            key = _key(cluster_id, library)
            if key in self._libraries:
                if self._clusters.state(cluster_id) == "TERMINATED":
                    del self._libraries[key]
                else:
                    self._set(self._libraries[key], "UNINSTALL_ON_RESTART")

    def statuses(self, cluster_id: str) -> list[Document]:
        """Return the libraries of a cluster in the API's format."""
        self._clusters.get(cluster_id)
        return [
            {
                "library": each["library"],
                "status": each["status"],
                **({"messages": each["messages"]} if each["messages"] else {}),
                "is_library_for_all_clusters": False,
            }
            for each in self._of(cluster_id)
        ]

    def all_statuses(self) -> list[Document]:
        """Return the libraries of all clusters that have libraries."""
        clusters = dict.fromkeys(
            each["cluster_id"] for each in self._libraries.values()
        )
        return [
            {"cluster_id": each, "library_statuses": self.statuses(each)}
            for each in clusters
        ]

    async def wait_until_installed(self, cluster_id: str) -> None:
        """Wait until all installs on a cluster have ended, or the cluster has
        stopped.
        """
        await self._background.until(
            lambda: not self._clusters.runs(cluster_id)
            or not any(each["status"] in PENDING for each in self._of(cluster_id))
        )

    def _of(self, cluster_id: str) -> list[Document]:
        return [
            each
            for each in self._libraries.values()
            if each["cluster_id"] == cluster_id
        ]

    def _set(self, library: Document, status: str, *messages: str) -> None:
        key = _key(library["cluster_id"], library["library"])
        self._libraries[key] = {**library, "status": status, "messages": list(messages)}

    def _started(self, cluster_id: str) -> None:
        for library in self._of(cluster_id):
            if library["status"] == "UNINSTALL_ON_RESTART":
                del self._libraries[_key(cluster_id, library["library"])]
            else:
                self._set({**library, "at_start": True}, "PENDING")
        self._work(cluster_id)

    def _stopped(self, cluster_id: str, reason: str) -> None:
        self._background.cancel(_name(cluster_id))

    def _deleted(self, cluster_id: str) -> None:
        for library in self._of(cluster_id):
            del self._libraries[_key(cluster_id, library["library"])]

    def _work(self, cluster_id: str) -> None:
        if self._clusters.runs(cluster_id) and not self._background.runs(
            _name(cluster_id)
        ):
            self._background.spawn(_name(cluster_id), self._install_all(cluster_id))

    async def _install_all(self, cluster_id: str) -> None:
        environment = self._clusters.environment(cluster_id)
        while True:
            pending = [
                each for each in self._of(cluster_id) if each["status"] == "PENDING"
            ]
            if not pending:
                return
            library = pending[0]
            try:
                await self._install(environment, library)
            except (InstallError, ApiError) as error:
                self._advance(library, "FAILED", self._tree.show(str(error)))
            else:
                self._advance(library, "INSTALLED")
            self._background.changed()

    def _advance(self, library: Document, status: str, *messages: str) -> None:
        """Store the status of an install. If a client has requested the uninstall in
        the meantime, the status does not change.
        """
        now = self._libraries.get(_key(library["cluster_id"], library["library"]))
        if now is not None and now["status"] in PENDING:
            self._set(library, status, *messages)

    async def _install(self, environment: Environment, library: Document) -> None:
        self._advance(library, "RESOLVING")
        arguments = self._arguments(library["library"])
        installed = environment.packages()
        changes = await environment.changes(arguments)
        self._advance(library, "INSTALLING")
        if library.get("at_start"):  # no task has run in this environment yet
            await environment.install(arguments)
        elif changes.removed or wheel_name(library["library"]) in installed:
            await environment.rehearse(
                arguments, environment.folder.with_name("rehearsal")
            )
        else:
            await environment.install(arguments)

    def _arguments(self, library: Library) -> list[str]:
        """Return pip's arguments for a library. Raises ApiError or InstallError if the
        file of the library cannot be installed.
        """
        if "pypi" in library:
            repo = library["pypi"].get("repo")
            return [
                *(["--index-url", repo] if repo else []),
                library["pypi"]["package"],
            ]
        kind = "whl" if "whl" in library else "requirements"
        path = str(library[kind])
        file = self._tree.real(path)
        if file.is_relative_to(self._tree.root / "dbfs"):
            raise InstallError(DBFS_ROOT)
        if not file.is_file():
            raise InstallError(f"Library file does not exist: {path}")
        return [str(file)] if kind == "whl" else ["--requirement", str(file)]


def check(library: Library) -> None:
    """Validate a library. Raises ApiError; the status is 501 if the library is not a
    Python library.
    """
    for kind in FOREIGN:
        if kind in library:
            raise not_emulated(f"libraries of kind {kind}")
    kinds = [kind for kind in ("whl", "pypi", "requirements") if kind in library]
    if len(kinds) != 1:
        raise not_a_library()
    value = library[kinds[0]]
    if kinds == ["pypi"] and isinstance(value, dict):
        value = value.get("package")
    if not _is_argument(value):
        raise not_a_library()


def _is_argument(value: Any) -> bool:
    """Return whether pip would treat a value as a requirement and not as an option."""
    return isinstance(value, str) and value != "" and not value.startswith("-")


def wheel_name(library: Library) -> str:
    """Return the package name from a wheel's file name. Returns an empty text if the
    library is not a wheel.
    """
    return normalized(PurePosixPath(library.get("whl", "")).name.split("-")[0])


def _key(cluster_id: str, library: Library) -> str:
    return f"{cluster_id} {json.dumps(library, sort_keys=True)}"


def _name(cluster_id: str) -> str:
    return f"libraries {cluster_id}"
