"""Deploys a release step by step.

If a step fails after a change, the deploy is undone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lake_ci.deploy import scheduled_job
from lake_ci.deploy.client import TaskRun
from lake_ci.deploy.context import DeployContext
from lake_ci.deploy.errors import RefusedError, StepError, WorkspaceError
from lake_ci.deploy.ledger import DeployRun, LedgerEntry, Pending
from lake_ci.deploy.lock import LostLockError
from lake_ci.deploy.release import MANIFEST, Release
from lake_ci.deploy.resume import (
    finish_interrupted,
    forget_if_complete,
    hold_lock,
    read_pending,
)
from lake_ci.deploy.retries import retry_always
from lake_ci.deploy.tables import (
    Embedded,
    gold_differences,
    sample_files,
    unexpected_package_changes,
    versions,
)
from lake_ci.deploy.undo import undo_deploy

INSPECT = "inspect"
DEPLOYED, UNCHANGED, RETURNED, PLANNED = "deployed", "unchanged", "returned", "planned"
NOT_BACK = "not returned"


@dataclass
class Rollout:
    """Deploys one release to one environment.

    Args:
        contents: the content of each file of the release, by file name.
        root: the repository.
    """

    context: DeployContext
    release: Release
    contents: Mapping[str, bytes]
    root: Path

    def deploy(self) -> str:
        """Hold the lock and deploy; return the outcome.

        If the deploy is refused, raises RefusedError before any change to the cluster,
        the job or the tables.
        """
        with hold_lock(self.context):
            pending = finish_interrupted(self.context, self.release, "deploy")
            current = self.context.ledger.current()
            if pending is None and self._stands(current):
                return UNCHANGED
            self._upload()
            pending = pending or self._begin()
            embedded = self._embedded()
            try:
                return self._change(pending, current, embedded)
            except LostLockError:
                raise
            except (StepError, WorkspaceError) as error:
                if forget_if_complete(self.context, pending):
                    return DEPLOYED
                known = read_pending(self.context, pending)
                return (
                    RETURNED
                    if undo_deploy(self.context, known, str(error))
                    else NOT_BACK
                )
            finally:
                if embedded is not None:
                    embedded.drop()

    def plan(self) -> str:
        """Print what a deploy would do; change nothing, and do not take the lock."""
        context, current = self.context, self.context.ledger.current()
        with context.events.step("plan") as step:
            if context.ledger.pending() is not None:
                step.findings.append(
                    "a deploy was interrupted here: it would be resumed or undone first"
                )
            if self._is_unchanged(current):
                step.detail = (
                    f"{self.release.version} is already deployed: nothing would change"
                )
            else:
                before = current.version if current else None
                wheels = (
                    ", ".join(
                        wheel.path.rpartition("/")[2]
                        for wheel in context.installation.wheels()
                    )
                    or "no wheel"
                )
                words = [
                    f"{before or 'nothing'} → {self.release.version}",
                    f"{len(self.contents)} files to {self.release.folder}",
                    f"on {context.cluster}: {wheels} → {self.release.wheel}",
                    f"then run {', '.join(context.target.scripts)}",
                ]
                step.detail = "; ".join(words)
            self._refuse_other_bytes()
        return PLANNED

    # The steps

    def _stands(self, current: LedgerEntry | None) -> bool:
        with self.context.events.step("compare") as step:
            self._refuse_other_bytes()
            unchanged = self._is_unchanged(current)
            if unchanged and current is not None:
                step.detail = (
                    f"{current.version} was deployed at {current.finished} by"
                    f" {current.by}: nothing to change"
                )
            else:
                step.detail = (
                    f"{(current and current.version) or 'nothing'} →"
                    f" {self.release.version}"
                )
        return unchanged

    def _is_unchanged(self, current: LedgerEntry | None) -> bool:
        if current is None or current.folder != self.release.folder:
            return False
        if not self.context.installation.holds(self.release.wheel_path):
            return False
        job = self.context.workspace.job(self.context.target.job["name"])
        return job is not None and scheduled_job.agrees(
            self.release.settings(self.context.cluster), job.settings
        )

    def _refuse_other_bytes(self) -> None:
        folder, _, digest = self.release.folder.rpartition("/")
        for name in self.context.workspace.names(folder):
            if (
                name != digest
                and self.context.workspace.read(f"{folder}/{name}/{MANIFEST}")
                is not None
            ):
                raise RefusedError(
                    f"{self.release.version} was already deployed with other content"
                    f" ({name}, this is {digest})",
                    "a deployed version cannot change: commit, then run `nox -s build`",
                )

    def _upload(self) -> None:
        workspace, folder = self.context.workspace, self.release.folder
        with self.context.events.step("upload") as step:
            manifest = f"{folder}/{MANIFEST}"
            whole = workspace.read(manifest) is not None
            new = 0
            for name, content in self.contents.items():
                there = workspace.read(f"{folder}/{name}")
                if there != content:
                    if whole:
                        raise RefusedError(
                            f"{folder}/{name} differs from the uploaded file; delete"
                            f" {folder}"
                        )
                    workspace.write(f"{folder}/{name}", content, overwrite=True)
                    new += 1
                    _check(
                        workspace.read(f"{folder}/{name}"),
                        self.release.files[name],
                        f"{folder}/{name}",
                    )
            if not whole:
                workspace.write(manifest, self.release.text(), overwrite=True)
            step.detail = f"{new} of {len(self.contents)} files to {folder}"
        self._sample()

    def _sample(self) -> None:
        target = self.context.target
        if target.sample is None:
            return
        with self.context.events.step("sample") as step:
            files = dict(sample_files(self.root / target.sample))
            for name, path in files.items():
                content = path.read_bytes()
                if self.context.workspace.read(f"{target.source}/{name}") != content:
                    self.context.workspace.write(
                        f"{target.source}/{name}", content, overwrite=True
                    )
            step.detail = f"{len(files)} files of {target.sample} in {target.source}"

    def _begin(self) -> Pending:
        """Write the pending file of this deploy.

        The file is written before the deploy changes the cluster, the job or the
        tables.
        """
        job = self.context.workspace.job(self.context.target.job["name"])
        pending = Pending(
            self.context.me.id,
            "deploy",
            self.release.folder,
            self.release.version,
            job=dict(job.settings) if job else None,
        )
        self.context.ledger.note(pending)
        return pending

    def _embedded(self) -> Embedded | None:
        target = self.context.target
        if target.sample is None or target.compare is None:
            return None
        return Embedded(self.root, target.sample, target.inspect, target.compare)

    def _change(
        self, pending: Pending, current: LedgerEntry | None, embedded: Embedded | None
    ) -> str:
        context = self.context
        with context.events.step("before") as step:
            context.installation.running()
            before = context.inspect(self.release, "before", "--versions")
            if pending.tables is None:
                pending = replace(pending, tables=versions(before))
                context.ledger.note(pending)
            step.detail = (
                f"{self.release.package} {before['version']}"
                if before["version"]
                else f"no {self.release.package}"
            )
            step.detail += (
                f", {len(before['packages'])} packages, {len(before['tables'])} tables"
            )
        with context.events.step("install") as step:
            context.installation.wait_until_idle(self.release.wheel_path)
            done = context.installation.install(self.release.wheel_path)
            step.detail = f"{self.release.wheel} {done}"
        with context.events.step("replace") as step:
            step.detail = context.installation.clear(self.release.wheel_path)
        pending, found = self._run_scripts(pending)
        self._assert(before, found)
        self._compare(found, embedded)
        with context.events.step("job") as step:
            job, done = scheduled_job.upsert(
                context.workspace, self.release.settings(context.cluster)
            )
            step.detail = f"{context.target.job['name']} ({job}) {done}"
        with context.events.step("ledger") as step:
            context.lock.check(context.me)
            gold = found["gold"]
            entry = context.ledger.append(
                context.entry(pending, self.release, current, job=job, gold=gold)
            )
            retry_always(context.ledger.forget, context.target.limits, context.clock)
            step.detail = (
                f"entry {entry.number}: {entry.version} of {self.release.commit[:12]}"
            )
            step.data = {
                "entry": entry.number,
                "version": entry.version,
                "sha256": entry.sha256,
                "gold": gold,
            }
        return DEPLOYED

    def _run_scripts(self, pending: Pending) -> tuple[Pending, dict[str, Any]]:
        """Run the job's tasks and then the script `inspect` as one run.

        The run stops at the first failure.
        """
        context = self.context
        noted = pending

        def started(run_id: int) -> None:
            nonlocal noted
            if run_id not in [run.id for run in noted.runs]:
                # The run gets the end 0 now. Until the run has ended, any commit after
                # this moment may belong to the run.
                begun = DeployRun(run_id, int(1000 * context.clock.now()), 0)
                noted = replace(noted, runs=(*noted.runs, begun))
            context.ledger.note(noted)

        def ended(task: TaskRun) -> None:
            name = "inside" if task.key == INSPECT else task.key
            context.events.row(
                name,
                "success",
                f"run {task.run_id}",
                task.seconds or task.ended - task.started,
            )

        if pending.runs and not any(run.ended == 0 for run in pending.runs):
            noted = replace(pending, attempt=pending.attempt + 1)
        tasks = self._tasks()
        name, token = (
            f"{self.release.package} {self.release.version}",
            f"{noted.id}-scripts-{noted.attempt}",
        )
        with context.events.step("scripts") as step:
            run = context.runs.once(name, token, tasks, started=started, ended=ended)
            ours = tuple(each for each in noted.runs if each.id != run.window.id)
            noted = replace(noted, runs=(*ours, run.window))
            context.ledger.note(noted)
            step.detail = f"{len(tasks)} tasks in run {run.run.id}"
            # Redact before the text is shortened: a part of a secret would not be
            # recognized.
            logs = context.events.redact.tree(run.logs)
            step.data = {"output": {key: log[-4000:] for key, log in logs.items()}}
        return noted, run.result(INSPECT)

    def _tasks(self) -> list[dict[str, Any]]:
        """Return the job's tasks, followed by the script `inspect`."""
        cluster, package = self.context.cluster, self.release.package
        tasks = self.release.once(cluster)
        arguments = ["--package", package, "--lake", self.context.target.lake, "--gold"]
        last = [{"task_key": task["task_key"]} for task in tasks]
        look = self.release.task(
            INSPECT, self.release.inspect, cluster, *arguments, depends_on=last
        )
        return [*tasks, look]

    def _assert(self, before: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        with self.context.events.step("version") as step:
            if found["version"] != self.release.version:
                raise StepError(
                    f"the cluster runs {self.release.package}"
                    f" {found['version']}, not {self.release.version}"
                )
            wrong = unexpected_package_changes(before, found)
            if wrong:
                step.findings.extend(wrong)
                raise StepError(
                    f"the install changed packages of the runtime: {'; '.join(wrong)}"
                )
            own = ", ".join(sorted(set(found["own"]) - {self.release.package}))
            step.detail = (
                f"{found['version']} on Python {found['python']}; only its own packages"
                f" changed ({own})"
            )

    def _compare(self, found: Mapping[str, Any], embedded: Embedded | None) -> None:
        gold = found["gold"]
        with self.context.events.step("gold") as step:
            if not gold:
                raise StepError(f"no gold table in {self.context.target.lake}")
            rows = ", ".join(
                f"{name} {table['rows']:,}" for name, table in sorted(gold.items())
            )
            if embedded is None:
                step.detail = f"queried, {len(gold)} tables: {rows}"
                return
            wrong = gold_differences(embedded.gold(), gold)
            if wrong:
                raise StepError(
                    "the gold tables differ from those of the embedded run:"
                    f" {'; '.join(wrong)}"
                )
            step.detail = f"rows and sums equal to the embedded run: {rows}"


def _check(content: bytes | None, expected: str, path: str) -> None:
    if content is None or hashlib.sha256(content).hexdigest() != expected:
        raise StepError(f"{path} does not hold what was uploaded")
