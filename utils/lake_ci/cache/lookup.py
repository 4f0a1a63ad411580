"""The result cache: finds, restores and stores the results of sessions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

from lake_ci.cache.external_inputs import Machine
from lake_ci.cache.file_hashes import Digests
from lake_ci.cache.fingerprint import (
    Fingerprint,
    Fingerprints,
    below,
    from_listing,
    listing,
)
from lake_ci.cache.restore import OutputRestorer
from lake_ci.cache.signing_key import signing_key
from lake_ci.cache.store import CacheEntry, DamagedError, Store
from lake_ci.errors import UsageError, nearest
from lake_ci.model import results
from lake_ci.model.job import Graph, Job, Variant
from lake_ci.model.results import REPORTS, TIME_FORMAT, Result, Status, as_of, count
from lake_ci.model.settings import read_settings
from lake_ci.system import git
from lake_ci.system.file_lock import locked

SWITCH = "LAKE_CI_CACHE"
FOLDER_VARIABLE = "LAKE_CI_STORE"
# The number of cached results that are compared with a session's inputs, to explain why
# the session runs.
COMPARED = 8


class Mode(str, Enum):
    """How the result cache is used; the values are those of LAKE_CI_CACHE."""

    OFF = "off"
    """The cache is not used."""
    REFRESH = "refresh"
    """Every session runs, and successful results are cached."""
    PIPELINE = ""
    """A bare `nox` uses cached results; a session requested by name always runs."""
    SESSIONS = "sessions"
    """A session requested by name uses cached results, too."""


def mode(env: Mapping[str, str]) -> Mode:
    """Return the cache mode, which depends on LAKE_CI_CACHE and on this run's event.

    A release does not use the cache. The nightly run executes all sessions and caches
    their results. On GitHub each job of the pipeline requests one session by name, and
    these sessions use cached results. Raises UsageError for an unknown value of
    LAKE_CI_CACHE.
    """
    value = env.get(SWITCH, "")
    if value not in {each.value for each in Mode}:
        words = [each.value for each in Mode if each.value]
        raise UsageError(
            f"{SWITCH}={value!r} is not a cache mode{nearest(value, words)}"
        )
    if Mode(value) is Mode.OFF or env.get("GITHUB_REF_TYPE") == "tag":
        return Mode.OFF
    if env.get("GITHUB_EVENT_NAME") == "schedule":
        return Mode.REFRESH
    return (
        Mode.SESSIONS
        if value == "" and env.get("GITHUB_ACTIONS") == "true"
        else Mode(value)
    )


class Answer(Enum):
    """Run a session, reuse its cached result, or decide later."""

    REUSE = "reuse"
    RUN = "run"
    LATER = "later"


@dataclass(frozen=True)
class CacheDecision:
    """The decision to run a session or to reuse its cached result.

    Attributes:
        answer: `LATER` if the decision depends on jobs that run first.
        entry: the cached result that is reused; None if the session runs.
        reasons: the inputs that differ from the most similar cached result, or the
            reason why no cached result may be used.
    """

    variant: Variant
    answer: Answer
    fingerprint: Fingerprint | None = None
    entry: CacheEntry | None = None
    reasons: tuple[str, ...] = ()

    def why(self, shown: int = 3) -> str:
        """Return at most `shown` of the reasons, as one line."""
        if self.entry is not None:
            result = self.entry.result
            return ", ".join([as_of(result.run, ended(result)), *self.reasons])
        more = len(self.reasons) - shown
        return ", ".join(self.reasons[:shown]) + (
            f", and {count(more, 'more input')}" if more > 0 else ""
        )


class ResultCache:
    """The cached results of one checkout.

    Args:
        environment: a function that returns the folder of a session's environment, or
            None if the session has no environment.
        out: a function that prints a message for the user.
    """

    def __init__(
        self,
        graph: Graph,
        root: Path,
        env: Mapping[str, str],
        environment: Callable[[Variant], Path | None],
        *,
        out: Callable[[str], None] = print,
        today: Callable[[], date] = date.today,
    ) -> None:
        self.graph = graph
        self.root = root
        self.env = env
        self._environment = environment
        self._out = out
        self._today = today

    @cached_property
    def store(self) -> Store:
        try:
            key = signing_key(self.env)
        except OSError as error:
            self._out(f"no cached result is valid: the key: {error}")
            key = os.urandom(32)
        return Store(store_folder(self.root, self.env), limit(self.root), key)

    @cached_property
    def _restorer(self) -> OutputRestorer:
        return OutputRestorer(self.root)

    def now(self) -> Fingerprints:
        """Return the fingerprints of the current inputs."""
        digests = Digests(self.root, self.root / ".cache" / "digests")
        machine = Machine(self.root, self.env, digests, self._today())
        return Fingerprints(self.graph, machine, self._environment)

    def forecast(
        self,
        jobs: Iterable[Job],
        now: Fingerprints,
        met: Callable[[CacheDecision], bool] | None = None,
    ) -> list[CacheDecision]:
        """Decide for each session of these jobs whether to run the session.

        If a needed job has no cached result, the session waits for this job. If a
        needed job fails, the session is skipped, even if it has a cached result.

        Args:
            met: a function that restores a cached result, and returns whether this
                succeeded. `met` is called for each result to reuse, in order. Without
                `met`, results are verified but not restored.
        """
        met = met or self._is_whole
        decisions: list[CacheDecision] = []
        running: set[str] = set()
        for job in jobs:
            waits = [need for need in job.needs if need in running]
            for variant in job.variants:
                decision = self._foresee(variant, waits, now)
                if decision.answer is Answer.REUSE and not met(decision):
                    decision = CacheDecision(
                        variant,
                        Answer.RUN,
                        reasons=("its cached result could not be restored",),
                    )
                if decision.answer is not Answer.REUSE:
                    running.add(job.name)
                elif decision.entry is not None:
                    # Later jobs read these files. `nox -s plan` does not restore the
                    # files, so use the digests in the entry.
                    now.assume(variant, _file_states(decision.entry))
                decisions.append(decision)
        now.machine.save()
        return decisions

    def _foresee(
        self, variant: Variant, waits: Sequence[str], now: Fingerprints
    ) -> CacheDecision:
        """Decide whether a session runs, is reused, or waits for other sessions."""
        job = variant.job
        taken = next((need for need in waits if need in job.artifacts_from), None)
        if taken is not None and not job.never_cached:
            reason = f"decided after {taken}, whose artifacts it uses"
            return CacheDecision(variant, Answer.LATER, reasons=(reason,))
        decision = self.look(variant, now)
        if not waits or decision.entry is None:
            return decision
        reason = f"reused after {', '.join(waits)} passed"
        return replace(decision, answer=Answer.LATER, reasons=(reason,))

    def look(self, variant: Variant, now: Fingerprints) -> CacheDecision:
        """Look up a session's cached result that has the current inputs."""
        if variant.job.never_cached:
            return CacheDecision(variant, Answer.RUN, reasons=("always runs",))
        fingerprint = now.of(variant)
        if fingerprint.unknown_input is not None:
            return CacheDecision(
                variant, Answer.RUN, fingerprint, reasons=(fingerprint.unknown_input,)
            )
        try:
            entry = self.store.find(fingerprint.id)
            if entry is not None:
                _check_entry(entry, variant)
                return CacheDecision(variant, Answer.REUSE, fingerprint, entry)
        except DamagedError as error:
            self._out(f"{variant.session} runs: {error}")
            return CacheDecision(
                variant,
                Answer.RUN,
                fingerprint,
                reasons=("its cached result is corrupt",),
            )
        return CacheDecision(
            variant,
            Answer.RUN,
            fingerprint,
            reasons=tuple(self._differences(fingerprint)),
        )

    def seconds(self, variant: Variant) -> float | None:
        """Return the seconds of a session's newest cached result, for any inputs."""
        entries = self.store.of(variant.id)
        return entries[0].result.seconds if entries else None

    def restore(
        self, decision: CacheDecision, facts: Mapping[str, Any]
    ) -> Result | None:
        """Restore the output of a cached result, and return the result for this run.

        If the restore fails, print a message and return None, so that the session runs.

        Args:
            facts: fields that describe this run. These fields replace fields of the
                result.
        """
        entry, variant = decision.entry, decision.variant
        assert entry is not None
        lock = self.root / ".cache" / "locks" / f"{variant.id}.lock"
        with locked(
            lock,
            lambda holder: self._out(f"waiting for another run of {variant.session}"),
        ):
            try:
                self._restorer.restore(entry, variant)
                original = entry.result
                reused = {"run": original.run, "since": ended(original)}
                result = replace(original, **facts, reused=reused)
                results.write(self.root / REPORTS / variant.id, result)
            except (DamagedError, OSError) as error:
                self._out(
                    f"{variant.session} runs:"
                    f" its cached result could not be restored: {error}"
                )
                return None
        return result

    def keep(self, before: Fingerprint, result: Result) -> str | None:
        """Store a new result if it may be cached; a failure drops a cached success.

        Returns a note for the user if a cached success was dropped, or if a result that
        may be cached could not be stored.
        """
        if before.unknown_input is not None or before.variant.job.never_cached:
            return None
        try:
            if result.status is Status.FAILURE and result.cause in (None, "timeout"):
                return self._contradicted(before)
            return (
                self._keep_unchanged(before, result)
                if uncacheable_reason(result) is None
                else None
            )
        except OSError as error:
            return f"not cached: {self.store.folder}: {error.strerror or error}"
        except UsageError as error:
            return f"not cached: {error}"

    def _keep_unchanged(self, before: Fingerprint, result: Result) -> str | None:
        """Store a result if its inputs did not change during the run.

        If an input changed, return a note that names the input.
        """
        after = self.now().of(before.variant)
        if not after.same_moment(before):
            changed = after.differences(before.each) or ["an input was modified"]
            return f"not cached: {changed[0]} while the job ran"
        files = list(below(self.root / REPORTS / result.job))
        if "dist/" in before.variant.job.reports:
            files += below(self.root / "dist")
        self.store.keep(before.id, listing(after.each), result, self.root, files)
        return None

    def _contradicted(self, before: Fingerprint) -> str | None:
        """If a session fails, drop its cached success that has the same inputs.

        Returns a note for the user, or None if there was no cached success.
        """
        try:
            entry = self.store.find(before.id)
        except DamagedError:
            entry = None
        if not self.store.drop(before.id) or entry is None:
            return None
        words = (
            "the job reads an undeclared input (see `nox -s inputs`) or is not"
            " deterministic"
        )
        return (
            f"run {entry.result.run} passed with the same inputs: {words}; its cached"
            " result was removed"
        )

    def _is_whole(self, decision: CacheDecision) -> bool:
        """Return whether a cached result is complete, without restoring it."""
        assert decision.entry is not None
        try:
            self._restorer.check(decision.entry, decision.variant)
        except (DamagedError, OSError) as error:
            self._out(f"{decision.variant.session} runs: {error}")
            return False
        return True

    def _differences(self, fingerprint: Fingerprint) -> list[str]:
        """Return the inputs that differ from the most similar cached result."""
        nearest: list[str] | None = None
        for entry in self.store.of(fingerprint.variant.id)[:COMPARED]:
            try:
                found = fingerprint.differences(from_listing(entry.inputs()))
            except DamagedError:
                continue
            if nearest is None or len(found) < len(nearest):
                nearest = found
        return nearest or ["not cached"]


def _check_entry(entry: CacheEntry, variant: Variant) -> None:
    """Raise DamagedError if an entry must not be used for a session.

    The entry may belong to another session, or contain a result that must not be
    cached.
    """
    if (entry.job, entry.result.session) != (variant.id, variant.session):
        owner = f"{entry.job}, {entry.result.session}"
        raise DamagedError(f"{entry.folder} belongs to {owner}")
    reason = uncacheable_reason(entry.result)
    if reason is not None:
        raise DamagedError(f"{entry.folder} does not count: {reason}")


def _file_states(entry: CacheEntry) -> dict[str, str]:
    """Return the mode and the hash of each output file of a job, by the file's path."""
    return {file.path: f"{file.mode:o} {file.sha256}" for file in entry.files}


def uncacheable_reason(result: Result) -> str | None:
    """Return the reason why a result must not be cached; None if it may be cached."""
    if result.partial:
        return "the run was partial"
    if result.cause is not None:
        return f"the run was stopped: {result.cause}"
    if result.status not in (Status.SUCCESS, Status.WARNING):
        return f"the status is {result.status.value}"
    for check in result.checks:
        if check.not_checked is not None:
            return f"{check.name} did not check everything"
        if check.status is Status.SKIPPED:
            return f"{check.name} was skipped"
    return None


def ended(result: Result) -> str:
    """Return the time in UTC when a session ended.

    A report shows this time as the date of the result.
    """
    start = datetime.strptime(result.started, TIME_FORMAT)
    return (
        (start + timedelta(seconds=result.seconds))
        .replace(tzinfo=timezone.utc)
        .strftime(TIME_FORMAT)
    )


def store_folder(root: Path, env: Mapping[str, str]) -> Path:
    """Return the store's folder.

    LAKE_CI_STORE sets the folder. By default, all worktrees of the clone share one
    folder in the main worktree.
    """
    if env.get(FOLDER_VARIABLE):
        return Path(root, env[FOLDER_VARIABLE])
    common = Path(
        root, git.ask(root, "rev-parse", "--git-common-dir") or ".git"
    ).resolve()
    return (common.parent if common.name == ".git" else root) / ".cache" / "results"


def limit(root: Path) -> int:
    """Return the size limit of the store in bytes.

    The setting is `megabytes` of `[tool.lake_ci.cache]`. Raises UsageError if the
    settings in pyproject.toml are wrong.
    """
    return read_settings(root).cache.megabytes * 10**6
